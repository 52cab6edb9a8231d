"""The training loop, on a handful of painted squares at 32 px."""

import math
import re
from dataclasses import replace

import pytest
import torch
from training_toy import RECIPE, SMALL, squares, weights

from localizer.model.augmentation import Augmentation
from localizer.model.localizer import Localizer
from localizer.training.loop import EpochRecord, fit, validate
from localizer.training.samples import Samples
from localizer.training.state import TrainConfig, TrainState


def train(config: TrainConfig, samples: Samples) -> tuple[Localizer, list[EpochRecord]]:
    torch.manual_seed(config.seed)
    model = Localizer(SMALL)
    return model, list(fit(TrainState(model, config, images=len(samples)), samples, squares(4, seed=9), config=config))


@pytest.fixture(scope="module")
def trained() -> tuple[Localizer, list[EpochRecord]]:
    return train(RECIPE, squares(9))


def test_it_yields_one_record_an_epoch(trained: tuple[Localizer, list[EpochRecord]]) -> None:
    assert [epoch.epoch for epoch in trained[1]] == [1, 2]
    assert all(math.isfinite(epoch.loss) and 0 <= epoch.val_iou <= 1 for epoch in trained[1])


def test_the_validation_iou_of_the_last_record_is_the_models(trained: tuple[Localizer, list[EpochRecord]]) -> None:
    model, history = trained
    assert validate(model, squares(4, seed=9), batch_size=2)[0] == pytest.approx(history[-1].val_iou, abs=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    trained: tuple[Localizer, list[EpochRecord]],
) -> None:
    assert torch.equal(weights(train(RECIPE, squares(9))[0]), weights(trained[0]))
    assert not torch.equal(weights(train(replace(RECIPE, seed=1), squares(9))[0]), weights(trained[0]))


@pytest.mark.slow
def test_it_learns_what_it_sees() -> None:
    samples = squares(8)
    config = replace(RECIPE, epochs=25, batch_size=8, lr=2e-3, augmentation=Augmentation())
    torch.manual_seed(0)
    model = Localizer(SMALL)
    losses = [
        epoch.loss for epoch in fit(TrainState(model, config, images=len(samples)), samples, samples, config=config)
    ]
    assert losses[-1] < losses[0] / 2


def test_the_rate_warms_up_and_falls_to_near_nothing() -> None:
    rates = [epoch.lr for epoch in train(replace(RECIPE, epochs=4, warmup=0.25), squares(4))[1]]
    # Four steps, one of them warm-up at the full rate; then half a cosine over three: 1, 3/4 and 1/4.
    assert rates == pytest.approx([1e-3, 1e-3, 0.75e-3, 0.25e-3])


def test_an_infinite_loss_stops_the_run_and_names_epoch_and_step() -> None:
    samples = squares(8)
    samples.boxes[:] = torch.nan
    with pytest.raises(ValueError, match="not finite at epoch 1, step 1; try"):
        train(RECIPE, samples)


def test_the_images_of_a_step_with_an_infinite_loss_are_named_and_no_others() -> None:
    samples = replace(squares(8), names=[f"{number}.jpg" for number in range(8)])
    samples.boxes[3] = torch.nan
    with pytest.raises(ValueError, match=r"at epoch 1, step \d+, on ") as told:
        train(RECIPE, samples)
    named = re.findall(r"\d\.jpg", str(told.value))
    assert "3.jpg" in named
    assert len(named) == RECIPE.batch_size < 8


def test_a_network_that_answers_nan_is_refused_and_not_scored() -> None:
    model = Localizer(SMALL)
    model.get_buffer("backbone.bn1.running_mean").fill_(torch.nan)
    with pytest.raises(ValueError, match="diverged"):
        validate(model, squares(2), batch_size=2)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 and 4"):
        train(RECIPE, squares(1))


def test_leaving_the_loop_stops_the_training() -> None:
    torch.manual_seed(0)
    model = Localizer(SMALL)
    config = replace(RECIPE, epochs=1000)
    state = TrainState(model, config, images=8)
    for _ in fit(state, squares(8), squares(4, seed=9), config=config):
        stopped = weights(model).clone()
        break
    assert state.epoch == 1
    assert torch.equal(weights(model), stopped)


def test_averaged_weights_are_what_counts_and_lag_behind() -> None:
    samples = squares(8)
    config = replace(RECIPE, ema_decay=0.9)
    torch.manual_seed(0)
    model = Localizer(SMALL)
    state = TrainState(model, config, images=8)
    (_, last) = fit(state, samples, squares(4, seed=9), config=config)
    assert state.eval_model is not model
    assert not torch.equal(weights(state.eval_model), weights(model))
    assert validate(state.eval_model, squares(4, seed=9), batch_size=4)[0] == pytest.approx(last.val_iou, abs=1e-6)
    plain, _ = train(replace(RECIPE), samples)
    assert torch.equal(weights(plain), weights(model))  # averaging changes nothing about the training itself


def test_the_average_is_an_exponential_one_that_begins_at_the_first_step() -> None:
    model = Localizer(SMALL)
    state = TrainState(model, replace(RECIPE, lr=1e-12, weight_decay=0.0, ema_decay=0.9), images=8)
    averages = []
    for value in (1.0, 2.0, 3.0):
        torch.nn.init.constant_(model.backbone.conv1.weight, value)
        state.step(state.forward(torch.rand(4, 3, 32, 32)).boxes.sum())
        averages.append(state.eval_model.backbone.conv1.weight.mean().item())
    assert averages == pytest.approx([1, 1.1, 1.29])  # 0.9 * 1 + 0.1 * 2; 0.9 * 1.1 + 0.1 * 3


def test_a_frozen_backbone_keeps_its_weights_and_statistics_while_the_head_learns() -> None:
    torch.manual_seed(0)
    model = Localizer(SMALL)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    config = replace(RECIPE, backbone_lr=0.0)
    list(fit(TrainState(model, config, images=8), squares(8), squares(4, seed=9), config=config))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {name for name in before if name.startswith("backbone.fc.")}


def test_a_lower_rate_moves_the_backbone_less() -> None:
    torch.manual_seed(0)
    start = Localizer(SMALL).backbone.conv1.weight.detach().clone()
    moved = []
    for rate in (1.0, 0.01):
        model, _ = train(replace(RECIPE, backbone_lr=rate), squares(8))
        moved.append((model.backbone.conv1.weight - start).abs().mean().item())
    assert moved[1] < moved[0] / 10


def test_a_clipped_gradient_is_no_longer_than_told() -> None:
    torch.manual_seed(0)
    model = Localizer(SMALL)
    state = TrainState(model, replace(RECIPE, clip=0.5), images=8)
    state.step(1000 * state.forward(torch.rand(4, 3, 32, 32)).boxes.sum())
    gradients = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
    assert gradients.norm().item() == pytest.approx(0.5, rel=1e-3)


def test_the_spread_tells_boxes_that_are_all_the_same() -> None:
    samples = squares(8)
    start = Localizer(SMALL)  # which answers the centred box
    assert validate(start, samples, batch_size=4)[1] == pytest.approx(0, abs=1e-6)

    class Knowing(Localizer):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return samples.boxes

    assert validate(Knowing(SMALL), samples, batch_size=8) == pytest.approx((1, 1))
