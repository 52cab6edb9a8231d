"""When a challenger takes the champion's place."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from localizer.comparison.gate import Decision, decide, decide_first
from localizer.comparison.groups import Result
from localizer.tables import EDGES

SMALL, LARGE = [0, 0, 20, 20], [10, 10, 90, 90]  # of 100 pixels: 4% at the top left, and 64% in the middle
SLIGHTLY = 0.01


def table_of(gains: list[float], *, large: int = 0) -> pd.DataFrame:
    """Return predictions with IoU 0.5 plus the gains; the first `large` images have a large box."""
    boxes = [LARGE if number < large else SMALL for number in range(len(gains))]
    names = [f"{number}.png" for number in range(len(gains))]
    table = pd.DataFrame(boxes, columns=EDGES, dtype=float).assign(image=names, label="cat", width=100, height=100)
    return table.assign(iou=0.5 + np.array(gains), digest="", cluster=range(len(gains)))


def around(gain: float, images: int) -> list[float]:
    """Return gains, half of them SLIGHTLY above and half below."""
    return [gain + SLIGHTLY * (-1) ** number for number in range(images)]


def decision_on(gains: list[float], *, large: int = 0, clusters: list[int] | None = None) -> Decision:
    old, new = (
        table_of(some, large=large).assign(cluster=clusters or range(len(gains)))
        for some in ([0.0] * len(gains), gains)
    )
    return decide(result("the old one", old), result("the new one", new))


def result(name: str, table: pd.DataFrame | None = None, **metrics: float) -> Result:
    return Result(name, {}, metrics, table)


def test_a_clearly_better_challenger_is_promoted() -> None:
    decision = decision_on(around(0.1, 40))
    assert decision.promoted
    assert decision.gain.value == pytest.approx(0.1)
    assert decision.reasons[0].startswith(
        "better than the old one on 40 test images: +0.1000 mean IoU, 90% interval +0"
    )
    assert decision.reasons[1:] == ("not clearly worse on any of 3 slices of 20 independent images or more",)


def test_a_worse_challenger_is_refused() -> None:
    decision = decision_on(around(-0.1, 40))
    assert not decision.promoted
    assert decision.reasons[0].startswith("worse than the old one on 40 test images: -0.1000")


def test_a_challenger_that_is_better_by_chance_is_refused() -> None:
    decision = decision_on(
        [0.1] * 21 + [-0.1] * 19
    )  # +0.005, and the interval's half is about 1.68 * 0.1 / sqrt(40) = 0.027
    assert not decision.promoted
    assert decision.gain.low == pytest.approx(0.005 - 0.027, abs=0.004)
    assert 0 < decision.gain.value < decision.gain.high
    assert decision.reasons[0].startswith("not clearly better than the old one on 40 test images: +0.0050")


def test_random_differences_without_a_gain_are_refused() -> None:
    gains = np.random.default_rng(3).normal(0, 0.05, size=60)
    assert not decision_on(list(gains - gains.mean() + 0.001)).promoted


def test_the_same_predictions_are_refused() -> None:
    decision = decision_on([0.0] * 40)
    assert not decision.promoted
    assert decision.reasons[0].startswith("not clearly better than the old one on 40 test images: +0.0000")


def test_a_challenger_that_is_better_overall_but_clearly_worse_on_a_slice_is_refused_with_its_name() -> None:
    decision = decision_on([*around(-0.1, 20), *around(0.2, 40)], large=20)  # (-2 + 8) / 60
    assert not decision.promoted
    assert decision.reasons[0].startswith("better than the old one on 60 test images: +0.1000")
    assert decision.reasons[1:] == (
        "clearly worse on size 50% or more: -0.1000 on 20 images",
        "clearly worse on position middle centre: -0.1000 on 20 images",
    )


def test_a_slice_of_fewer_images_decides_nothing() -> None:
    decision = decision_on([*around(-0.1, 19), *around(0.2, 40)], large=19)
    assert decision.promoted
    assert {one["slice"]: one["images"] for one in decision.slices} == {
        "1 to 5%": 40,
        "about square": 59,
        "top left": 40,
    }


def test_without_a_slice_of_enough_images_none_is_decisive() -> None:
    decision = decision_on(around(0.1, 24), clusters=[*range(12)] * 2)
    assert decision.reasons[1:] == ("no slice has 20 independent images or more, so none is decisive",)


@pytest.mark.parametrize(("count", "promoted"), [(2, False), (19, False), (20, True)])
def test_fewer_than_20_images_promote_no_one(count: int, promoted: bool) -> None:
    decision = decision_on(around(0.1, count))
    assert decision.promoted == promoted
    few = f"too few images to tell: expected 20 or more independent images, got {count}"
    assert (decision.reasons[0] == few) != promoted


def test_copies_of_images_promote_no_one() -> None:
    copied = decision_on(around(0.1, 40), clusters=[*range(19), *range(19), 0, 0])
    assert not copied.promoted
    assert copied.reasons[0] == "too few images to tell: expected 20 or more independent images, got 19"


def test_a_slice_of_fewer_clusters_decides_nothing() -> None:
    gains = [*around(-0.1, 20), *around(0.2, 40)]
    assert not decision_on(gains, large=20).promoted
    assert decision_on(gains, large=20, clusters=[0, *range(59)]).promoted  # the first two of the large are one


def test_a_gain_of_rounding_promotes_no_one() -> None:
    decision = decision_on([1e-6] * 40)
    assert not decision.promoted
    assert decision.reasons[0].startswith("not clearly better than the old one on 40 test images: +0.0000")


def test_a_slice_that_is_worse_by_rounding_refuses_nothing() -> None:
    decision = decision_on([*[-1e-6] * 20, *around(0.2, 40)], large=20)
    assert decision.promoted
    assert {one["verdict"] for one in decision.slices if one["gain"] < 0} == {"no clear difference"}


def test_a_slice_that_is_worse_by_chance_refuses_nothing() -> None:
    decision = decision_on([*[0.1] * 9, *[-0.1] * 11, *around(0.2, 40)], large=20)
    large = next(one for one in decision.slices if one["slice"] == "50% or more")
    assert large["gain"] == pytest.approx(-0.01)
    assert large["low"] < 0 < large["high"]
    assert decision.promoted


def test_a_slices_interval_is_as_wide_as_so_many_looks_need() -> None:
    decision = decision_on(around(0.1, 40))
    # Student's t at 1 - 0.1 / 3 with 39 degrees of freedom is 2.21, the gains' deviation 0.01 * sqrt(40 / 39)
    half = 2.21 * 0.01 * np.sqrt(40 / 39) / np.sqrt(40)
    assert [one["high"] - one["gain"] for one in decision.slices] == pytest.approx([half] * 3, rel=0.01)


def test_a_challenger_without_one_of_the_images_is_refused() -> None:
    table = table_of(around(0.1, 40))
    with pytest.raises(ValueError, match=r"^new and old, the champion, were tested on different splits: 1 images are"):
        decide(result("old", table), result("new", table[1:]))


def test_a_challenger_with_another_box_on_an_image_is_refused() -> None:
    table = table_of(around(0.1, 40))
    moved = table.assign(xmin_px=[1, *table["xmin_px"][1:]])
    with pytest.raises(ValueError, match="tested on different splits: 1 images are"):
        decide(result("old", table), result("new", moved))


def test_splits_that_share_no_image_are_refused() -> None:
    table = table_of(around(0.1, 40))
    with pytest.raises(ValueError, match="old and new were tested on different images: 0 of 40 and 40 are the same"):
        decide(result("old", table), result("new", table.assign(image="other " + table["image"])))


def over_mean_box(low: float, *, table: pd.DataFrame | None = None, count: int = 20) -> Result:
    gain = {"gain_over_mean_box": 0.2, "gain_over_mean_box_low": low, "gain_over_mean_box_high": 0.3}
    return result("new", table, **gain, images=count)


def test_the_first_champion_beats_the_mean_box() -> None:
    decision = decide_first(over_mean_box(0.1))
    assert decision.promoted
    assert decision.reasons == (
        "there is no champion yet",
        "better: +0.2000 mean IoU over the mean box, 90% interval +0.1000 to +0.3000",
    )


def test_a_first_challenger_that_may_be_no_better_than_the_mean_box_is_refused() -> None:
    decision = decide_first(over_mean_box(-0.1))
    assert not decision.promoted
    assert decision.reasons[1].startswith("not clearly better: +0.2000 mean IoU over the mean box")


def test_a_first_challenger_of_fewer_than_20_images_is_refused() -> None:
    decision = decide_first(over_mean_box(0.1, count=19))
    assert not decision.promoted
    assert decision.reasons[1] == "too few images to tell: expected 20 or more independent images, got 19"


def test_a_first_challenger_of_fewer_than_20_clusters_is_refused() -> None:
    table = table_of(around(0.1, 40))
    assert decide_first(over_mean_box(0.1, table=table, count=40)).promoted
    assert not decide_first(over_mean_box(0.1, table=table.assign(cluster=[*range(10)] * 4), count=40)).promoted


def test_a_first_challenger_that_ties_with_the_mean_box_is_refused() -> None:
    low, gain, high = 1e-6, 2e-6, 3e-6
    metrics = {"gain_over_mean_box": gain, "gain_over_mean_box_low": low, "gain_over_mean_box_high": high}
    assert not decide_first(result("new", None, **metrics, images=40)).promoted


def test_the_error_names_the_metrics_that_a_first_challenger_of_an_older_version_lacks() -> None:
    with pytest.raises(ValueError, match="new: its evaluation has no gain_over_mean_box_low, gain_over_mean_box_high,"):
        decide_first(result("new", gain_over_mean_box=0.2, images=40))


def test_a_decision_has_these_keys_as_json() -> None:
    fields = json.loads(json.dumps(asdict(decision_on(around(0.1, 40)))))
    assert list(fields) == ["promoted", "reasons", "gain", "slices"]
    assert list(fields["gain"]) == ["value", "low", "high"]
    assert list(fields["slices"][0]) == ["kind", "slice", "images", "verdict", "gain", "low", "high"]
