"""Evaluation of a model: its metrics, tables and warnings."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from localizer.boxes import Array, to_pixels
from localizer.calibration import Calibration, calibrate, coverage_range, mean_side, protrusion
from localizer.evaluation.evaluate import EvaluationResult, evaluate, pool
from localizer.evaluation.evaluated_model import (
    IMAGE_COLUMNS,
    EvaluatedModel,
    baseline_ious,
    predictions,
    relative_spread,
)
from localizer.evaluation.intervals import mean, share
from localizer.evaluation.metrics import constant_iou, mean_box
from localizer.tables import EDGES, PREDICTED_EDGES, true_boxes, write_table

METRICS = [
    "mean_iou",
    "mean_iou_low",
    "mean_iou_high",
    "gain_over_mean_box",
    "gain_over_mean_box_low",
    "gain_over_mean_box_high",
    "median_iou",
    "worst_decile_iou",
    "mean_giou",
    "iou_50",
    "iou_75",
    "iou_90",
    "iou_50_95",
    "centre_error_px",
    "width_error_px",
    "height_error_px",
    "gain_over_centre_box",
    "coverage",
    "confident",
    "mean_box_iou",
    "centre_box_iou",
    "margin_px",
    "images",
    "clusters",
    "warnings",
]
COUNTS = ("images", "clusters", "warnings")


def boxes(count: int, *, seed: int) -> Array:
    """Return boxes [N, 4] of many places and sizes."""
    rng = np.random.default_rng(seed)
    center, half = rng.uniform(0.3, 0.7, (count, 2)), rng.uniform(0.1, 0.25, (count, 2))
    return np.concatenate([center - half, center + half], axis=1)


def noisy(true: Array, *, seed: int) -> Array:
    return np.asarray(true + np.random.default_rng(seed).normal(0, 0.02, true.shape))


def split_of(true: Array) -> pd.DataFrame:
    """Return a test split with these boxes as `split` writes it, in an order and with columns of its own."""
    count = len(true)
    images = pd.DataFrame({"image": [f"{index:04d}.jpg" for index in range(count)], "file": "boxes.csv"})
    images["label"] = np.where(np.arange(count) % 3, "cat", "dog")
    images[["width", "height"]] = 200, 100
    images["cluster"] = images["sha256"] = [f"{index:064x}" for index in range(count)]
    images[EDGES] = to_pixels(true, np.full(count, 200), np.full(count, 100))
    return images


TRAIN = boxes(300, seed=0)
NO_CALIBRATION = Calibration(0, None, 0.5)  # whose margin holds any box


@cache
def calibration() -> Calibration:
    """Return what errors like those of `noisy` teach."""
    true, size = boxes(300, seed=1), (np.full(300, 200), np.full(300, 100))
    pred_px = to_pixels(noisy(true, seed=2), *size)
    return calibrate(pred_px, to_pixels(true, *size), np.linspace(0.5, 1, 300))


def evaluated(count: int = 60, **other: Any) -> EvaluationResult:
    """Return the evaluation of a good model, with changed arguments."""
    true = boxes(count, seed=3)
    arguments: dict[str, Any] = {"pred": noisy(true, seed=4), "agreement": np.linspace(0.5, 1, count)}
    return evaluate(split_of(true), **(arguments | {"calibration": calibration(), "train": TRAIN} | other))


def test_the_metrics_are_these_in_this_order() -> None:
    assert list(evaluated().metric_values()) == METRICS


def test_metrics_are_plain_numbers_and_counts_are_whole() -> None:
    found = evaluated().metric_values()
    assert {type(found[name]) for name in COUNTS} == {int}
    assert {type(value) for name, value in found.items() if name not in COUNTS} == {float}


def test_metrics_are_the_tables_values() -> None:
    found = evaluated()
    metrics, table = found.metric_values(), found.metrics_table().set_index("measure")
    assert {*table.index} == {*METRICS} - {"margin_px", *COUNTS} - {
        name for name in METRICS if name.endswith(("_low", "_high"))
    }
    assert all(metrics[name] == table["value"][name] for name in table.index)
    for name in ("mean_iou", "gain_over_mean_box"):
        assert (metrics[f"{name}_low"], metrics[f"{name}_high"]) == (table["low"][name], table["high"][name])


def test_metrics_are_those_of_the_images() -> None:
    found = evaluated()
    images, iou = found.images, found.images["iou"].to_numpy()
    assert found.metrics["mean_iou"] == mean(iou)
    assert found.metrics["coverage"] == share(images["covered"].to_numpy())
    assert found.metrics["confident"] == share(images["confident"].to_numpy(dtype=bool))
    assert found.metric_values()["margin_px"] == pytest.approx(images["margin_px"].mean(), abs=1e-6)
    assert found.metric_values()["images"] == 60
    assert found.slices.groupby("kind")["images"].sum().tolist() == [60] * 4
    assert found.curve["share"][10] == pytest.approx(found.metrics["iou_50"].value, abs=1e-6)


def test_the_gain_is_over_the_mean_of_the_training_boxes_image_by_image() -> None:
    found, true = evaluated(), boxes(60, seed=3)
    constant = constant_iou(mean_box(TRAIN), true)
    assert found.metrics["mean_box_iou"].value == pytest.approx(constant.mean(), abs=1e-6)
    expected = mean(found.images["iou"].to_numpy() - constant)
    gain = found.metrics["gain_over_mean_box"]
    assert (gain.value, gain.low, gain.high) == pytest.approx((expected.value, expected.low, expected.high), abs=1e-5)
    iou = found.metrics["mean_iou"]
    assert gain.high - gain.low != pytest.approx(iou.high - iou.low, rel=0.01)


def test_a_row_has_these_columns() -> None:
    images = split_of(np.array([[0.1, 0.2, 0.5, 0.8]]))  # 20, 20, 100, 80
    found = predictions(images, np.array([[0.12, 0.2, 0.5, 0.7]]), np.array([0.75]), Calibration(50, 0.2, 0.75))
    assert found.columns.tolist() == [
        *IMAGE_COLUMNS,
        *PREDICTED_EDGES,
        *["iou", "giou", "centre_error_px", "width_error_px", "height_error_px"],
        *["margin_px", "covered", "agreement", "confident", "cluster", "digest"],
    ]
    row = found.iloc[0]
    assert row[PREDICTED_EDGES].tolist() == [24, 20, 100, 70]
    assert row["iou"] == pytest.approx(76 * 50 / (80 * 60), abs=1e-6)
    assert (row["width_error_px"], row["height_error_px"]) == (4, 10)
    assert row["margin_px"] == 12.6  # 0.2 of the mean of 76 and 50
    assert row["covered"]  # it sticks out by 10
    assert row["confident"]  # the threshold itself counts


@pytest.mark.parametrize(("margin", "covered"), [(10 / 63, True), (9.9 / 63, False)])
def test_an_image_is_covered_when_the_margin_reaches_what_sticks_out(margin: float, covered: bool) -> None:
    images = split_of(np.array([[0.1, 0.2, 0.5, 0.8]]))
    found = predictions(images, np.array([[0.12, 0.2, 0.5, 0.7]]), np.array([0.5]), Calibration(50, margin, 0.75))
    assert found["covered"].tolist() == [covered]
    assert found["confident"].tolist() == [False]


def test_the_image_whose_error_is_the_margin_is_covered_in_spite_of_rounding() -> None:
    true = boxes(200, seed=5)
    images, pred = split_of(true), noisy(true, seed=6)
    pred_px = to_pixels(pred, np.full(200, 200), np.full(200, 100))
    scores = protrusion(pred_px, images[EDGES].to_numpy()) / mean_side(pred_px)
    for index, score in enumerate(scores):
        found = predictions(images[index:][:1], pred[index:][:1], np.ones(1), Calibration(9, score, 0.5))
        assert found["covered"].all()


def test_a_good_model_raises_no_warning() -> None:
    found = evaluated()
    assert found.warnings == ()
    assert found.metric_values()["warnings"] == 0


def only(warnings: Sequence[str], *beginnings: str) -> bool:
    """Return whether the warnings are these and no others."""
    return len(warnings) == len(beginnings) and all(map(str.startswith, warnings, beginnings))


def test_the_same_box_on_every_image_is_a_warning_and_gains_nothing() -> None:
    found = evaluated(pred=np.tile(mean_box(TRAIN), (60, 1)), calibration=NO_CALIBRATION)
    assert only(
        found.warnings,
        "about the same box on every image: their spread is 0%",
        "no evidence of more than",
    )
    assert found.metric_values()["warnings"] == 2
    gain = found.metrics["gain_over_mean_box"]
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_boxes_that_spread_but_follow_nothing_are_no_evidence() -> None:
    found = evaluated(pred=boxes(60, seed=9), calibration=NO_CALIBRATION)
    assert only(found.warnings, "no evidence of more than a constant box")
    gain = found.metrics["gain_over_mean_box"]
    assert f"interval, {gain.low:+.3f} to {gain.high:+.3f}, is not above 0" in found.warnings[0]


def test_a_gain_whose_interval_includes_0_is_no_evidence_and_a_small_significant_one_is() -> None:
    true, strange = boxes(60, seed=3), boxes(60, seed=9)
    unsure, sure = (
        evaluated(pred=part * strange + (1 - part) * true, calibration=NO_CALIBRATION) for part in (0.76, 0.7)
    )
    assert unsure.metrics["gain_over_mean_box"].low < 0 < unsure.metrics["gain_over_mean_box"].value
    assert only(unsure.warnings, "no evidence of more than a constant box")
    assert only(sure.warnings)


@pytest.mark.parametrize(("count", "warned"), [(19, True), (20, False)])
def test_few_images_are_a_warning(count: int, warned: bool) -> None:
    found = evaluated(count)
    assert only(found.warnings, *([f"{count} test images: too few"] if warned else []))


def evaluated_in(clusters: NDArray[Any], **other: Any) -> EvaluationResult:
    """Return the evaluation of a good model on images of these clusters."""
    true = boxes(len(clusters), seed=3)
    arguments: dict[str, Any] = {"agreement": np.linspace(0.5, 1, len(clusters)), "calibration": calibration()}
    arguments |= {"train": TRAIN} | other
    return evaluate(split_of(true).assign(cluster=clusters.astype(str)), noisy(true, seed=4), **arguments)


def test_images_that_belong_together_are_numbered_alike_and_counted_once() -> None:
    found = evaluated_in(np.array([7, 7, 3, 7, 5]))
    assert found.images["cluster"].tolist() == [0, 0, 1, 0, 2]
    assert (found.metric_values()["images"], found.metric_values()["clusters"]) == (5, 3)


def test_intervals_are_over_clusters() -> None:
    of = np.arange(60) // 3
    found, independent = evaluated_in(of), evaluated_in(np.arange(60))
    assert found.metrics["mean_iou"] == mean(found.images["iou"].to_numpy(), clusters=of)
    assert found.metrics["mean_iou"] != independent.metrics["mean_iou"]
    assert not found.slices.equals(independent.slices)
    assert not found.curve.equals(independent.curve)


@pytest.mark.parametrize(
    ("clusters", "warned"),
    [
        (np.arange(60) // 3, ()),  # 20
        (np.arange(60) // 4, ("60 test images, but of only 15 clusters",)),
        (np.zeros(60), ("all 60 test images belong together",)),
    ],
)
def test_few_clusters_are_a_warning(clusters: NDArray[Any], warned: tuple[str, ...]) -> None:
    assert only(evaluated_in(clusters, calibration=NO_CALIBRATION).warnings, *warned)


def test_the_coverage_range_counts_clusters_not_images() -> None:
    found = evaluated_in(np.arange(60) // 3, calibration_clusters=100)
    assert found.coverage_range == coverage_range(calibration(), 20, calibrated=100)
    assert found.coverage_range[0] < evaluated().coverage_range[0]


@pytest.mark.parametrize(
    ("clusters", "part", "claim"),
    [
        (np.arange(60), 0, "better"),
        (np.arange(60) // 4, 0, "too few images"),
        (np.arange(19), 0, "too few images"),
        (np.arange(60), 0.76, "not shown to be better"),
    ],
)
def test_a_gain_is_claimed_of_enough_images_and_beyond_chance(clusters: Array, part: float, claim: str) -> None:
    true, strange = boxes(len(clusters), seed=3), boxes(len(clusters), seed=9)
    images = split_of(true).assign(cluster=clusters.astype(str))
    agreement = np.linspace(0.5, 1, len(clusters))
    found = evaluate(images, part * strange + (1 - part) * true, agreement, train=TRAIN, calibration=NO_CALIBRATION)
    assert found.claim == claim


def test_a_model_below_the_mean_box_is_called_worse() -> None:
    found = evaluated(
        pred=np.tile([0, 0, 0.01, 0.01], (60, 1)) + np.linspace(0, 0.5, 60)[:, None], calibration=NO_CALIBRATION
    )
    assert found.claim == "worse"


@pytest.mark.parametrize(
    ("train", "problem"),
    [
        (np.empty((0, 4)), "0 without in 0 images"),
        (np.array([[0, 0, 1, 1], [0, 0, np.nan, 1]]), "1 without in 2 images"),
    ],
)
def test_training_boxes_that_make_no_mean_box_are_refused(train: Array, problem: str) -> None:
    with pytest.raises(
        ValueError, match=f"train split: expected one image or more.* got {problem}; `dvc repro` rebuilds"
    ):
        evaluated(train=train)


def test_a_true_box_that_is_no_number_is_refused() -> None:
    true = boxes(20, seed=3)
    images = split_of(true)
    images.loc[4, "xmin_px"] = np.nan
    with pytest.raises(ValueError, match=r"test split: .* got 1 without in 20 images"):
        evaluate(images, true, np.ones(20), train=TRAIN, calibration=NO_CALIBRATION)


def test_a_margin_that_covers_too_few_boxes_is_a_warning() -> None:
    found = evaluated(calibration=Calibration(300, 0.0, 0.5))
    assert only(found.warnings, f"the margin covers {found.metrics['coverage'].value:.1%} of the ground truth")


def test_a_margin_that_covers_more_boxes_than_chance_allows_is_a_warning() -> None:
    found = evaluated(200, calibration=Calibration(300, 5.0, 0.5))
    assert only(found.warnings, "the margin covers 100.0% of the ground truth")


def test_the_warning_of_the_margin_agrees_with_the_coverage_range() -> None:
    found = evaluated()
    low, high = found.coverage_range
    assert low <= found.metrics["coverage"].value <= high < 1


def test_true_boxes_that_are_all_alike_do_not_make_a_model_collapsed() -> None:
    alike = np.tile([0.1, 0.1, 0.3, 0.7], (3, 1))
    assert relative_spread(alike, alike) == relative_spread(noisy(alike, seed=0), alike) == 1
    assert relative_spread(boxes(9, seed=0) / 2, boxes(9, seed=0)) == pytest.approx(0.5)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_images_are_refused(count: int) -> None:
    with pytest.raises(
        ValueError, match=rf"test split: expected 2 or more images, got {count}; raise split\.test in params\.yaml"
    ):
        evaluated(count)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("what", ["pred", "agreement"])
def test_a_prediction_that_is_not_finite_is_refused_with_its_image(what: str, value: float) -> None:
    given: dict[str, Any] = {"pred": boxes(60, seed=3), "agreement": np.full(60, 0.9)}
    given[what][7:9] = value
    with pytest.raises(ValueError, match=r"expected finite predicted boxes and agreements, got 2 of 60 .* 0007\.jpg"):
        evaluated(**given)


def test_two_images_are_evaluated() -> None:
    assert evaluated(2).metric_values()["images"] == 2


def test_without_calibration_images_confidence_is_unknown_and_the_margin_covers_all() -> None:
    found = evaluated(calibration=Calibration(0, None, None))
    assert "confident" not in found.metrics
    assert list(found.metric_values()) == [name for name in METRICS if name != "confident"]
    assert found.images["confident"].isna().all()
    assert found.metrics["coverage"].value == 1
    assert (found.images["margin_px"] == 200).all()


def test_a_split_selected_from_a_larger_table_is_evaluated_like_a_table_of_its_own() -> None:
    true = boxes(120, seed=5)
    table, pred, agreement = split_of(true), noisy(true, seed=6), np.linspace(0.5, 1, 120)
    test = np.random.default_rng(0).random(120) < 0.5
    assert table[test].index.tolist() != [*range(test.sum())]
    selected = evaluate(table[test], pred[test], agreement[test], train=TRAIN, calibration=calibration())
    separate = evaluate(
        table[test].reset_index(drop=True), pred[test], agreement[test], train=TRAIN, calibration=calibration()
    )
    assert selected.metric_values() == separate.metric_values()
    pd.testing.assert_frame_equal(selected.images, separate.images)
    pd.testing.assert_frame_equal(selected.slices, separate.slices)
    assert selected.images["image"].tolist() == table["image"][test].tolist()


def test_boxes_are_compared_with_those_of_their_own_image() -> None:
    true = boxes(60, seed=3)
    found = evaluated(pred=true).images
    assert found["iou"].tolist() == [1.0] * 60
    assert found[EDGES].to_numpy() == pytest.approx(to_pixels(true, np.full(60, 200), np.full(60, 100)))
    assert true_boxes(found) == pytest.approx(true)


def written(folder: Path) -> list[bytes]:
    """Return the content of all files written for an evaluation."""
    found = evaluated()
    tables = {"images": found.images, "slices": found.slices, "curve": found.curve, "measures": found.metrics_table()}
    for name, table in tables.items():
        write_table(table, folder / f"{name}.csv")
    files = [(folder / f"{name}.csv").read_bytes() for name in tables]
    return [*files, json.dumps(found.metric_values()).encode(), repr(found.warnings).encode()]


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "first") == written(tmp_path / "second")


def noisy_model(count: int, *, seed: int, per_cluster: int = 1) -> EvaluatedModel:
    """Return a model's noisy predictions on images of its own, in clusters of so many."""
    true = boxes(count, seed=seed)
    images = split_of(true).assign(cluster=np.arange(count) // per_cluster)
    images["image"] = [f"{seed}-{name}" for name in images["image"]]
    table = predictions(images, noisy(true, seed=seed), np.full(count, 0.9), calibration())
    return EvaluatedModel(table, baseline_ious(TRAIN, true), calibration())


def test_one_model_is_pooled_as_itself() -> None:
    model = noisy_model(30, seed=5)
    pooled = pool([model])
    assert pooled.images is model.images
    assert pooled.folds == 0
    assert "fold" not in pooled.images


def test_the_models_of_folds_are_evaluated_on_all_their_images_together() -> None:
    models = [noisy_model(count, seed=count) for count in (30, 50)]
    pooled = pool(models)
    ious = np.concatenate([model.images["iou"] for model in models])
    assert pooled.metrics["mean_iou"] == mean(ious)
    assert pooled.metrics["mean_iou"].value == pytest.approx((30 * ious[:30].mean() + 50 * ious[30:].mean()) / 80)
    assert pooled.images["fold"].value_counts().to_dict() == {0: 30, 1: 50}
    assert (pooled.folds, len(pooled.images), pooled.metric_values()["images"]) == (2, 80, 80)
    assert pooled.slices["images"].max() > 50


def test_each_model_is_compared_with_the_mean_box_of_its_own_training_images() -> None:
    true = boxes(40, seed=5)
    table = predictions(split_of(true), true, np.full(40, 0.9), calibration())
    small, large = (np.tile([0.5 - half, 0.5 - half, 0.5 + half, 0.5 + half], (5, 1)) for half in (0.05, 0.3))
    models = [EvaluatedModel(table, baseline_ious(train, true), calibration()) for train in (small, large)]
    alone = [pool([model]).metrics["mean_box_iou"].value for model in models]
    assert alone[0] != pytest.approx(alone[1], abs=0.05)
    assert pool(models).metrics["mean_box_iou"].value == pytest.approx(np.mean(alone))


def test_clusters_of_two_folds_with_one_number_are_two() -> None:
    models = [noisy_model(20, seed=seed, per_cluster=2) for seed in (1, 2)]
    assert pool(models).clusters == 20
    clusters = pool(models).images.groupby("cluster")["fold"]
    assert clusters.nunique().max() == 1
    assert clusters.size().tolist() == [2] * 20


def test_one_collapsed_model_among_the_folds_is_warned_of() -> None:
    true = boxes(40, seed=5)
    same = predictions(split_of(true), np.tile(true.mean(axis=0), (40, 1)), np.full(40, 0.9), calibration())
    collapsed = EvaluatedModel(same, baseline_ious(TRAIN, true), calibration())
    warnings = pool([noisy_model(40, seed=6), collapsed]).warnings
    assert warnings[0].startswith("about the same box on every image of a fold: their spread is 0%")
    assert not any(
        "of a fold" in warning for warning in pool([noisy_model(40, seed=6), noisy_model(40, seed=7)]).warnings
    )
