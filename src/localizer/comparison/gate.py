"""Whether a challenger becomes the champion: only if significantly better, and significantly worse on no slice."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from localizer.comparison.differences import (
    NO_DIFFERENCE,
    TOO_FEW,
    PairedDifference,
    outcome,
    paired_difference,
    paired_t_interval,
)
from localizer.comparison.groups import Group, Result
from localizer.evaluation.intervals import LEVEL, Estimate
from localizer.evaluation.slices import MIN_IMAGES, slice_labels
from localizer.tables import true_boxes

GAIN = "gain_over_mean_box"  # a metric of evaluate, and so are the ends of its interval


@dataclass(frozen=True)
class Decision:
    """Whether the challenger is promoted, and the reasons.

    gain: in mean IoU over the champion, or over the mean box if there is no champion. slices: see `slice_gains`.
    """

    promoted: bool
    reasons: tuple[str, ...]
    gain: Estimate
    slices: tuple[dict[str, Any], ...] = ()


def decide(champion: Result, challenger: Result) -> Decision:
    """Return whether the challenger replaces the champion; ValueError if their test splits differ."""
    difference = paired_difference(Group((champion,)), Group((challenger,)))
    if difference.left_out:
        raise ValueError(
            f"{challenger.name} and {champion.name}, the champion, were tested on different splits: "
            f"{difference.left_out} images are in only one of them, or have another file or ground truth there; run "
            "`dvc repro` with the champion's data and split, or promote by hand in the MLflow UI"
        )
    slices = slice_gains(difference)
    worse = [row for row in slices if row["verdict"] == "worse"]
    reasons = [_overall_reason(difference)]
    reasons += [
        f"clearly worse on {row['kind']} {row['slice']}: {row['gain']:+.4f} on {row['images']} images" for row in worse
    ]
    if not slices:
        reasons.append(f"no slice has {MIN_IMAGES} independent images or more, so none is decisive")
    elif not worse:
        reasons.append(f"not clearly worse on any of {len(slices)} slices of {MIN_IMAGES} independent images or more")
    return Decision(difference.outcome == "better" and not worse, tuple(reasons), difference.gain, tuple(slices))


def decide_first(challenger: Result) -> Decision:
    """Return whether the challenger becomes the first champion: it must be significantly better than the mean box.

    ValueError if its metrics lack what this takes, as those of older versions do.
    """
    names, table = (GAIN, f"{GAIN}_low", f"{GAIN}_high"), challenger.images
    required = names if table is not None else (*names, "images")
    if missing := [name for name in required if name not in challenger.metrics]:
        raise ValueError(
            f"{challenger.name}: its evaluation has no {', '.join(missing)}, so it is of an older version; run "
            "`dvc repro`, and promote the new run"
        )
    gain = Estimate(*(challenger.metrics[name] for name in names))
    count = int(challenger.metrics["images"]) if table is None else table["cluster"].nunique()
    is_better = count >= MIN_IMAGES and outcome(gain) == "better"
    reason = f"{'better' if is_better else 'not clearly better'}: {_gain_text(gain, ' over the mean box')}"
    return Decision(
        is_better, ("there is no champion yet", reason if count >= MIN_IMAGES else _too_few_reason(count)), gain
    )


def slice_gains(difference: PairedDifference) -> list[dict[str, Any]]:
    """Return the gain on each slice of MIN_IMAGES independent images or more.

    Rows have kind, slice, images, verdict, gain, low and high. The level is Bonferroni's: the chance that any slice is
    wrongly found worse is that of a single test. The interval is Student's: in simulations at this level, a bootstrap
    of few gains with some large ones among them wrongly finds a slice worse more than twice as often.
    """
    images, rows = difference.images, []
    masks = {
        (kind, name): (names == name).to_numpy()
        for kind, names in slice_labels(images, true_boxes(images)).items()
        for name in names.cat.categories
    }
    masks = {key: mask for key, mask in masks.items() if len(np.unique(difference.clusters[mask])) >= MIN_IMAGES}
    for (kind, name), mask in masks.items():
        first, other = (ious[mask] for ious in difference.ious)
        gain = paired_t_interval(first, other, difference.clusters[mask], level=1 - (1 - LEVEL) / len(masks))
        row = {"kind": kind, "slice": str(name), "images": int(mask.sum()), "verdict": outcome(gain)}
        rows.append(row | {"gain": gain.value, "low": gain.low, "high": gain.high})
    return rows


def _overall_reason(difference: PairedDifference) -> str:
    if difference.outcome == TOO_FEW:
        return _too_few_reason(difference.independent)
    word = "not clearly better" if difference.outcome == NO_DIFFERENCE else difference.outcome
    name, count = difference.first.name, len(difference.images)
    return f"{word} than {name} on {count} test images: {_gain_text(difference.gain)}"


def _gain_text(gain: Estimate, over: str = "") -> str:
    return f"{gain.value:+.4f} mean IoU{over}, {LEVEL:.0%} interval {gain.low:+.4f} to {gain.high:+.4f}"


def _too_few_reason(count: int) -> str:
    return f"{TOO_FEW}: expected {MIN_IMAGES} or more independent images, got {count}"
