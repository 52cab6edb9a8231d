"""From image files to boxes, with a small network of random weights."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from localizer import predictor
from localizer.boxes import paired_iou
from localizer.calibration import Calibration
from localizer.images.decoding import THREADS, ImageError, open_rgb, to_square
from localizer.model.localizer import Architecture, Localizer
from localizer.model.saving import save
from localizer.predictor import ImageSource, Predictor, predict_boxes, predict_with_flip, to_tensor

SMALL = Architecture(depth=18)
CARD: dict[str, Any] = {
    "image_size": 32,
    "label": "cat",
    "best_epoch": 3,
    "val_iou": 0.5,
    "params": {"lr": 0.1, "deterministic": True, "epochs": 3},
    "calibration": Calibration(images=20, margin=0.25, agreement=0.4),
}
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> Localizer:
    torch.manual_seed(0)
    model = Localizer(SMALL)
    torch.nn.init.normal_(model.get_parameter("backbone.fc.cell.weight"), std=0.1)
    return model.eval()


@pytest.fixture
def weights(tmp_path: Path, model: Localizer) -> Path:
    path = tmp_path / "models" / "localizer.safetensors"
    save(path, model, **CARD)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_loaded_model_answers_as_the_one_that_was_saved(weights: Path, model: Localizer) -> None:
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    loaded = Predictor.load(weights, device=CPU).model
    np.testing.assert_allclose(predict_boxes(loaded, pixels), predict_boxes(model, pixels), atol=1e-6)


def test_a_box_is_in_pixels_of_the_image_and_inside(weights: Path, photo: Path, model: Localizer) -> None:
    found = Predictor.load(weights, device=CPU).predict(photo)
    share = predict_boxes(model, to_tensor(to_square(open_rgb(photo), 32)[None]))[0]
    assert (found.image, found.width, found.height) == (str(photo), 80, 40)
    assert found.box_xyxy_px == pytest.approx(share * [80, 40, 80, 40], abs=0.006)


def test_one_by_one_and_in_batches_give_the_same_boxes(weights: Path, photo: Path) -> None:
    predictor = Predictor.load(weights, device=CPU)
    seen = predictor.predict_with_flip([photo] * 3, batch_size=2)
    one = predictor.predict(photo).box_xyxy_px
    assert seen.boxes.shape == (3, 4)
    np.testing.assert_allclose(seen.boxes * [80, 40, 80, 40], [one] * 3, atol=0.006)
    np.testing.assert_allclose(seen.agreement, seen.agreement[:1].repeat(3), atol=1e-6)


def test_the_number_of_threads_changes_a_box_by_less_than_a_millionth_of_its_image(model: Localizer) -> None:
    """Its last bits may differ: so `predict` takes the number that it is given, and none that follows the load."""
    pixels, before = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8), torch.get_num_threads()
    try:
        boxes = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            boxes.append(predict_boxes(model, pixels))
    finally:
        torch.set_num_threads(before)
    np.testing.assert_allclose(boxes, [boxes[0]] * 3, rtol=0, atol=1e-6)


def test_no_images_give_no_boxes(weights: Path) -> None:
    seen = Predictor.load(weights, device=CPU).predict_with_flip([])
    assert (seen.boxes.shape, seen.agreement.shape) == ((0, 4), (0,))


def test_agreement_is_the_iou_with_the_mirror_images_box_mirrored_back(model: Localizer) -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen, mirrored = predict_with_flip(model, pixels), predict_boxes(model, pixels.flip(3))
    back = mirrored[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]
    np.testing.assert_allclose(seen.agreement, paired_iou(seen.boxes, back))
    assert seen.agreement.max() < 1  # a control: random weights are no mirror of themselves


def test_an_image_that_is_its_own_mirror_agrees_with_itself_up_to_where_its_box_lies(model: Localizer) -> None:
    half = torch.randint(0, 256, (1, 3, 32, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = predict_with_flip(model, torch.cat([half, half.flip(3)], dim=3))
    box = seen.boxes
    np.testing.assert_allclose(seen.agreement, paired_iou(box, box[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [1, 0, 1, 0]))


def test_the_margin_is_the_calibrations_share_of_the_boxs_mean_side(weights: Path, photo: Path) -> None:
    found = Predictor.load(weights, device=CPU).predict(photo)
    xmin, ymin, xmax, ymax = found.box_xyxy_px
    assert found.margin_px == pytest.approx(0.25 * ((xmax - xmin) + (ymax - ymin)) / 2, abs=0.02)


@pytest.mark.parametrize(("agreement", "confident"), [(0.0, True), (1.0, False), (None, None)])
def test_a_box_is_trusted_where_image_and_mirror_image_agree_well_enough(
    tmp_path: Path, photo: Path, model: Localizer, agreement: float | None, confident: bool | None
) -> None:
    path = tmp_path / "trusted.safetensors"
    save(path, model, **CARD | {"calibration": Calibration(20, None, agreement)})
    found = Predictor.load(path, device=CPU).predict(photo)
    assert found.confident is confident
    assert found.margin_px == 80  # no margin is known: the longer side holds any box


def test_a_model_of_another_preprocessing_is_refused(weights: Path) -> None:
    card = weights.with_suffix(".json")
    card.write_text(card.read_text().replace("stretched to a square", "cropped to a square"))
    with pytest.raises(ValueError, match=r"localizer.json: expected the preprocessing .* got 'RGB, upright, cropped"):
        Predictor.load(weights, device=CPU)


def test_few_images_are_decoded_at_once(weights: Path, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pools = []

    def noted(size: int) -> ThreadPoolExecutor:
        pools.append(size)
        return ThreadPoolExecutor(size)

    monkeypatch.setattr(predictor, "ThreadPoolExecutor", noted)
    answers = Predictor.load(weights, device=CPU).predict_all([ImageSource("a", photo)] * 5, batch_size=2)
    assert (len([*answers]), pools) == (5, [THREADS])


def test_the_network_normalises_by_imagenets_mean(model: Localizer) -> None:
    seen: list[torch.Tensor] = []
    hook = model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(torch.tensor([123.675, 116.28, 103.53]).view(1, 3, 1, 1).expand(1, 3, 32, 32))
    hook.remove()
    torch.testing.assert_close(seen[0], torch.zeros(1, 3, 32, 32), atol=1e-5, rtol=0)


def test_the_card_says_all_that_is_needed(weights: Path) -> None:
    card = json.loads(weights.with_suffix(".json").read_text())
    told = {"architecture": {"depth": 18}, "calibration": asdict(CARD["calibration"])}
    assert {name: card[name] for name in (*CARD, "architecture")} == CARD | told


def test_the_same_weights_are_saved_as_the_same_bytes(weights: Path, model: Localizer, tmp_path: Path) -> None:
    again = tmp_path / "again.safetensors"
    save(again, model, **CARD)
    assert again.read_bytes() == weights.read_bytes()


def test_a_broken_image_is_named(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>")
    with pytest.raises(ImageError, match=r"a\.jpg: not an image"):
        Predictor.load(weights, device=CPU).predict(tmp_path / "a.jpg")


def test_weights_that_the_card_does_not_describe_are_refused(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ValueError, match=r"localizer.safetensors: not the weights of localizer.json"):
        Predictor.load(weights, device=CPU)


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "no such file"), ("{", "not a model card"), ('{"version": 4}', "not a model card")],
)
def test_a_missing_or_wrong_card_is_named(weights: Path, text: str | None, message: str) -> None:
    card = weights.with_suffix(".json")
    card.unlink() if text is None else card.write_text(text)
    with pytest.raises(ValueError, match=rf"localizer.json: {message}"):
        Predictor.load(weights, device=CPU)


def test_a_card_of_another_version_is_refused(weights: Path) -> None:
    card = weights.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | {"version": 3}))
    with pytest.raises(ValueError, match="expected version 4, got 3; train again, or use Localizer at commit f93d18a"):
        Predictor.load(weights, device=CPU)


def test_missing_weights_are_named(weights: Path) -> None:
    weights.unlink()
    with pytest.raises(ValueError, match=r"localizer\.safetensors: no such file"):
        Predictor.load(weights, device=CPU)


def test_weights_of_another_network_are_refused(weights: Path) -> None:
    card = weights.with_suffix(".json")
    card.write_text(card.read_text().replace('"depth": 18', '"depth": 50'))
    with pytest.raises(ValueError, match=r"localizer\.safetensors: not the weights of .*depth=50.*: size mismatch"):
        Predictor.load(weights, device=CPU)
