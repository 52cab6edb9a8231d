"""The benches: that they measure what they say, and say so where they can't."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from PIL import Image

from bench import beside, folds, judging, kept, million, paper, peers, quality, seed, sharing, study, turns, using
from bench.works import PARAMS, batch_of, photographs, state
from localizer.images.decoding import read_squares
from localizer.model.augmentation import Augmentation
from localizer.predictor import ImageSource
from localizer.tables import EDGES
from localizer.training.loop import fit
from localizer.training.samples import Samples

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")
PAGE = Path(__file__).parents[2] / "bench/README.md"


def test_what_is_compared_runs_in_turn_and_the_first_round_does_not_count() -> None:
    ran: list[str] = []
    took = turns.in_turn({name: lambda name=name: ran.append(name) for name in "ab"}, CPU, rounds=2)  # type: ignore[misc]
    assert ran == ["b", "a", "a", "b", "b", "a"]
    assert [len(times) for times in took.values()] == [2, 2]


def test_a_row_is_the_median_of_its_rounds_between_the_lowest_and_the_highest() -> None:
    row = turns.row("a", [1.0, 4.0, 2.0], unit="x", device="cpu")
    assert (row.ratio, row.low, row.high, row.rounds) == (2.0, 1.0, 4.0, 3)


def test_what_was_not_measured_has_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    row = turns.row("gpu", [], unit="x", device="cuda", note="no GPU here")
    turns.show([row])
    assert "not run" in capsys.readouterr().out
    kept.write(Path("rows.json"), [asdict(row)])
    (written,) = json.loads(Path("rows.json").read_text())
    assert {*written} >= {"name", "ratio", "low", "high", "unit", "device", "commit"}
    assert written["ratio"] is None


def test_the_seeds_network_is_torchvisions_with_biases() -> None:
    plain = torchvision.models.resnet50(num_classes=4)
    biases = sum(module.out_channels for module in plain.modules() if isinstance(module, torch.nn.Conv2d))
    count = sum(parameter.numel() for parameter in seed.seed_network().parameters())
    assert count == sum(parameter.numel() for parameter in plain.parameters()) + biases
    images = torch.rand(2, 3, 64, 64)
    assert seed.seed_network()(images).shape == (2, 4)


def test_the_seeds_images_are_scaled_by_one_global_number_and_may_be_resized() -> None:
    table, *_ = photographs(Path("photos"), 3)
    images = seed.SeedImages(table, side=32)
    pixels, box = images[0]
    assert pixels.shape == (3, 32, 32)
    assert box.tolist() == pytest.approx([20 / 120, 30 / 120, 100 / 120, 1])
    assert seed.SeedImages(table, side=None)[0][0].shape == (3, 427, 640)


def test_the_seeds_script_goes_through_its_epochs() -> None:
    table, *_ = photographs(Path("photos"), 4, side=32)
    images, step = seed.SeedImages(table, side=None), seed.SeedStep(CPU)
    before = seed.predicted(images, step, [0, 1])
    assert next(seed.epochs(images, step)) > 0
    after = seed.predicted(images, step, [0, 1])
    assert before.shape == after.shape == (2, 4)
    assert not np.allclose(before, after)


def test_the_seeds_script_trains_on_one_side_of_a_split_and_is_judged_on_another() -> None:
    _, paths, _ = photographs(Path("photos"), 5)
    images = pd.DataFrame(
        {"path": paths, "split": ["train"] * 3 + ["calibration", "test"], "width": 640, "height": 427}
    )
    images[EDGES] = [64.0, 0.0, 320.0, 427.0]
    boxes, epochs = peers.script(images, side=32, seconds=0)
    assert epochs == 1
    assert boxes.shape == (1, 4)
    rows = seed.SeedImages(Path("squares/boxes.csv"), side=None).rows
    assert [[float(number) for number in row[1:]] for row in rows] == [[3.2, 0, 32, 12.8]] * 4


def dots(count: int) -> Samples:
    """Return black images of 64 px with a white square of 20 px at (10, 30)."""
    pixels = torch.zeros(count, 3, 64, 64, dtype=torch.uint8)
    pixels[:, :, 30:50, 10:30] = 255
    return Samples(pixels, torch.tensor([[10, 30, 30, 50]]).expand(count, 4) / 64)


def test_fcos_gets_the_box_of_what_it_sees_in_its_own_units() -> None:
    torch.manual_seed(0)
    pixels, boxes = next(peers.batches(dots(20), Augmentation(horizontal_flip=0.5)))
    assert pixels.shape == (peers.BATCH, 3, 64, 64)
    assert len({tuple(box) for box in boxes.tolist()}) == 2  # as they were, and flipped
    for image, (left, top, right, bottom) in zip(pixels, boxes.round().int().tolist(), strict=True):
        assert (image > 0.5).sum() == (image[:, top:bottom, left:right] > 0.5).sum() == 3 * 20 * 20


@pytest.mark.parametrize("bf16", [True, False])
def test_fcos_trains_in_our_precision_with_finite_gradients(bf16: bool) -> None:
    torch.manual_seed(0)
    model = peers.detector(64, bf16=bf16).to(memory_format=torch.channels_last).train()
    pixels, boxes = next(peers.batches(dots(8), Augmentation()))
    losses = model(list(pixels), [{"boxes": box[None], "labels": torch.ones(1, dtype=torch.int64)} for box in boxes])
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    sum(losses.values()).backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in model.parameters() if weight.grad is not None)


def test_fcos_stops_in_time_and_gives_a_box_for_each_image_even_untrained() -> None:
    params = PARAMS.model_copy(update={"device": "cpu"})
    boxes, steps = peers.fcos(dots(8), dots(3), params, seconds=0)
    assert steps == 1
    assert boxes.shape == (3, 4)
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, 2:] - boxes[:, :2] > 0.2).all()  # without the first bias of 2 strides many are of no size


def test_a_row_of_quality_is_made_once_and_again_for_peers_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bool] = []

    def run(_told: object, _folder: Path, *, with_peers: bool) -> dict[str, float]:
        made.append(with_peers)
        peers_too = {"fcos_iou": 0.3, "script_iou": 0.2, "above_fcos_error": 0.01} if with_peers else {}
        return {"mean_iou": 0.5, "mean_box_iou": 0.4, "images": 9} | peers_too

    monkeypatch.setattr(kept, "RESULTS", tmp_path)
    monkeypatch.setattr(quality, "run", run)
    for options in (["--alone"], ["--alone"], [], [], ["--alone"]):
        monkeypatch.setattr("sys.argv", ["quality", "raccoon", "--seeds", "0", *options])
        quality.main()
    (row,) = kept.rows("quality")
    assert (made, row["fcos_iou"]) == ([False, True], 0.3)


def test_the_table_of_quality_pools_folds_by_image_and_averages_seeds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"dataset": "a", "epochs": 1, "commit": "c", "script_iou": 0.1, "mean_box_iou": 0.2}
    rows = [
        told | {"seed": 0, "mean_iou": mean_iou, "fcos_iou": 0.4, "above_fcos_error": 0.03, "images": images}
        for mean_iou, images in ((0.5, 10), (0.9, 30))
    ]
    monkeypatch.setattr(kept, "rows", lambda _: [row | {"folds": folds} for folds in (0, 2) for row in rows])
    quality.show()
    seeds, folds = capsys.readouterr().out.strip().splitlines()[2:]
    # Over seeds (0.5 + 0.9) / 2 and an error of hypot(0.03, 0.03) / 2; over images (0.5 + 3 * 0.9) / 4 and
    # hypot(10 * 0.03, 30 * 0.03) / 40.
    assert seeds.startswith("| a, 1 epochs | c | 2 | 0.700 | 0.400 | 0.100 | 0.200 |")
    assert "+0.300 (+0.100 to +0.500), standard error 0.021" in seeds
    assert folds.startswith("| a, 1 epochs, 2 folds | c | 2 | 0.800 |")
    assert "+0.400 (+0.100 to +0.500), standard error 0.024" in folds


def test_busy_loops_run_beside_a_block_and_end_with_it() -> None:
    with beside.busy(2) as loops:
        assert all(loop.is_running() for loop in loops)
    assert len(loops) == 2
    assert not any(loop.is_running() for loop in loops)


def test_a_measurement_beside_others_tells_who_had_the_processor() -> None:
    before = torch.get_num_threads()
    found = beside.measure(lambda: time.sleep(0.01), [], threads=2, seconds=0.2)
    torch.set_num_threads(before)
    assert found["images_per_s"] > 0
    assert found["share"] < 0.5  # it sleeps, and asks for no processor
    assert {*found} == {"images_per_s", "share", "waiting", "other"}


def test_the_photographs_differ_and_are_the_same_again() -> None:
    _, paths, digests = photographs(Path("photos"), 4)
    with Image.open(paths[0]) as photo:
        assert photo.size == (640, 427)
    assert len(set(digests)) == 4
    assert photographs(Path("again"), 4)[2] == digests


def test_our_state_trains_on_a_batch_of_the_bench() -> None:
    ours, how = state(CPU, images=4, batch=2)
    samples = Samples(*batch_of(4, 32, CPU))
    (epoch,) = fit(ours, samples, samples, config=how)
    assert epoch.images_per_s > 0


def test_judging_is_timed_by_its_parts(capsys: pytest.CaptureFixture[str]) -> None:
    seconds = judging.measured(judging.made(50))
    assert {"rows", "metrics", "slices", "label errors"} <= {*seconds}
    judging.show({"images": 50, "first_s": 1, "peak_mib": 2, "before_mib": 1}, seconds)
    assert capsys.readouterr().out.startswith("50 images: 1.0 s with imports")


@pytest.mark.parametrize(
    "show",
    [
        partial(study.show, "bccd", "plain", epochs=50),
        partial(study.show, "raccoon", "bf16", epochs=100),
        partial(study.show, "raccoon", "ResNet-18", min_steps=600),
        partial(study.show, "bccd", "ResNet-18", min_steps=600),
        quality.show,
        peers.show,
        lambda: turns.show([turns.Row(**row) for row in kept.rows("cpu")]),
        lambda: turns.show([turns.Row(**row) for row in kept.rows("processes_cpu")]),
        million.show,
        sharing.show,
        paper.show,
        folds.show,
    ],
    ids=[
        "study of bccd",
        "study of raccoon",
        "present study of raccoon",
        "present study of bccd",
        "quality",
        "peers",
        "speed",
        "processes",
        "million",
        "sharing",
        "paper",
        "folds",
    ],
)
def test_the_page_quotes_the_committed_rows(show: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> None:
    show()
    table = capsys.readouterr().out.strip()
    assert table.count("\n") > 2
    assert table in PAGE.read_text(encoding="utf-8")


def test_a_variant_is_compared_on_the_folds_and_seeds_that_the_base_has_too() -> None:
    cells = [("base", 0, 0, 0.5, 10), ("base", 1, 0, 0.6, 30), ("both", 0, 0, 0.6, 10), ("both", 1, 0, 0.8, 30)]
    cells += [("lucky", 0, 0, 0.9, 10), ("lucky", 2, 0, 0.1, 10), ("lucky", 1, 1, 0.1, 30), ("alone", 3, 0, 0.9, 10)]
    found = study.gains(pd.DataFrame(cells, columns=["variant", "fold", "seed", "iou", "images"]), "base")
    assert list(found.index) == ["both", "base", "lucky"]  # the lucky one has one pair of two, alone has none
    assert list(found["pairs"]) == [2, 2, 1]
    assert list(found["complete"]) == [True, True, False]
    assert found["gain"].tolist() == pytest.approx([0.15, 0, 0.4])
    assert found["pooled"].tolist() == pytest.approx([(10 * 0.1 + 30 * 0.2) / 40, 0, 0.4])
    assert found["error"]["both"] == pytest.approx(0.05)  # sqrt(2 * 0.05 ** 2 / 1) / sqrt(2)
    assert np.isnan(found["error"]["lucky"])


def test_the_smaller_photographs_of_the_bench_on_using_have_half_the_sides() -> None:
    big, small = (using.photos(Path("photos"), 3, width) for width in (640, 320))
    with Image.open(BytesIO(content(small[0]))) as photo:
        assert (photo.format, photo.size) == ("JPEG", (320, 214))  # 427 / 2, rounded to even
    assert content(big[0]) == Path("photos/photos/0.jpg").read_bytes()
    assert len({content(one) for one in small}) == 3


def content(source: ImageSource) -> bytes:
    assert isinstance(source.image, bytes)
    return source.image


def test_onnx_is_timed_on_the_squares_that_the_predictor_sees() -> None:
    photos = using.photos(Path("photos"), 3, 320)
    squares = using.squares_of(photos, 32)
    for number in range(3):
        Path(f"{number}.jpg").write_bytes(content(photos[number]))
    np.testing.assert_array_equal(squares, read_squares([Path(f"{number}.jpg") for number in range(3)], 32))
    assert len(np.unique(squares, axis=0)) == 3  # else their order would not show


def test_onnxruntimes_threads_do_not_spin_while_another_is_timed() -> None:
    options = using.session_of(using.made(Path(), 32)).get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


USED = {
    "one forward pass, BatchNorm folded": "folded_over_floor_{}_32",
    "the same next to our network": "folded_over_unfolded_{}_32",
    "rate of whole answers, from JPEG": "predictor_over_floor_{}_32",
    "what an answer takes": "overhead_{}_32",
    "that share for photographs of 320 x 214": "overhead_{}_32_of_320",
    "rate of whole answers by": "onnx_over_predictor_{}_32",
    "time of a request to": "served_over_predictor_{}_32",
    "time of such a request of one image": "served_over_predictor_{}_1",
}


def test_the_simulation_of_folds_tests_each_image_once_in_whole_clusters() -> None:
    rng = np.random.default_rng(0)
    data = folds.draw(rng, 40, 4)
    tested = np.zeros(40)
    for fold, rest in folds.folds(rng, data.clusters):
        tested[fold] += 1
        assert not {*data.clusters[fold]} & {*data.clusters[rest]}
        assert len(fold) + len(rest) == 40
    assert (tested == 1).all()


def test_the_simulation_of_folds_knows_the_truth_and_its_intervals_contain_it_mostly() -> None:
    row = folds.row(150, 1, 40)
    assert 0.6 < row["models"] <= 1
    assert row["split_width"] > 2 * row["width"]
    assert row["iou"] < row["final_iou"] + 0.02


@pytest.mark.parametrize("begins", sorted(USED))
def test_the_page_on_using_tells_what_was_measured(begins: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    measured = {row["name"]: row["ratio"] for row in kept.rows("using_cpu")}
    told = [line.split("|")[2:4] for line in page.splitlines() if line.startswith(f"| {begins}")]
    assert [[float(cell) for cell in cells] for cells in told] == [
        [round(measured[USED[begins].format(side)], 2) for side in (224, 64)]
    ]
