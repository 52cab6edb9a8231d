"""Whether a challenger may take the champion's place: only if it is better beyond luck, and nowhere clearly worse."""

from dataclasses import asdict, dataclass
from typing import Any

from scipy import stats

from localizer.boxes import Array
from localizer.data.tables import true_boxes
from localizer.evaluation.comparison import Difference, Group, Result, difference
from localizer.evaluation.intervals import LEVEL, Estimate
from localizer.evaluation.slices import FEW, kinds

GAIN = "gain_over_mean_box"  # a metric of evaluate, and so are its interval's ends


@dataclass(frozen=True)
class Verdict:
    """The decision, and each reason for it.

    gain: of mean IoU over the champion, or over the mean box where there is no champion. slices: of those with FEW
    images or more, name, images, gain and the interval, which is as wide as so many looks together need.
    """

    promoted: bool
    reasons: tuple[str, ...]
    gain: Estimate
    slices: tuple[dict[str, Any], ...] = ()

    def told(self) -> dict[str, Any]:
        """Return the verdict as JSON holds it."""
        return asdict(self)


def decide(champion: Result, challenger: Result) -> Verdict:
    """Return whether the challenger takes the champion's place; ValueError where their test sides differ."""
    found = difference(Group((champion,)), Group((challenger,)))
    if found.left_out:
        raise ValueError(
            f"{challenger.name} and {champion.name}, the champion, were tested on different sides: "
            f"{found.left_out} images are in one of them alone, or have another box there; run `dvc repro` with the "
            "champion's data and split, or promote by hand in the MLflow UI"
        )
    looked = slice_gains(found)
    worse = [one for one in looked if one["high"] < 0]
    reasons = [f"{_in_words(found)} than {champion.name} on {len(found.images)} test images: {_told(found.gain)}"]
    reasons += [
        f"clearly worse on {one['kind']} {one['slice']}: {one['gain']:+.4f} on {one['images']} images" for one in worse
    ]
    if not looked:
        reasons.append(f"no slice has {FEW} images or more, so none decides")
    elif not worse:
        reasons.append(f"not clearly worse on any of {len(looked)} slices of {FEW} images or more")
    return Verdict(found.verdict == "better" and not worse, tuple(reasons), found.gain, tuple(looked))


def first(challenger: Result) -> Verdict:
    """Return whether the challenger may be the first champion: it must beat the mean box beyond luck.

    ValueError where its metrics don't tell, as those of older versions.
    """
    names = (GAIN, f"{GAIN}_low", f"{GAIN}_high")
    lacking = [name for name in names if name not in challenger.metrics]
    if lacking:
        raise ValueError(
            f"{challenger.name}: its evaluation has no {', '.join(lacking)}, so it is of an older version; run "
            "`dvc repro`, and promote the run that it makes"
        )
    gain = Estimate(*(challenger.metrics[name] for name in names))
    better = "better" if gain.low > 0 else "not clearly better"
    return Verdict(gain.low > 0, ("there is no champion yet", f"{better}: {_told(gain, ' over the mean box')}"), gain)


def slice_gains(found: Difference) -> list[dict[str, Any]]:
    """Return the gain on each slice of FEW images or more, as rows of kind, slice, images, gain, low and high.

    The level is Bonferroni's, so that among all slices together one comes out as worse by chance as seldom as one
    test would. The interval is Student's: so far out, by simulation, a bootstrap of few gains with some large ones
    among them finds a slice worse by chance more than twice as often.
    """
    images = found.images
    chosen = [
        (kind, name, images["gain"][names == name].to_numpy())
        for kind, names in kinds(images, true_boxes(images)).items()
        for name in names.cat.categories
        if (names == name).sum() >= FEW
    ]
    rows = []
    for kind, name, gains in chosen:
        one = _students(gains, level=1 - (1 - LEVEL) / len(chosen))
        told = {"gain": one.value, "low": one.low, "high": one.high}
        rows.append({"kind": kind, "slice": str(name), "images": len(gains), **told})
    return rows


def _students(gains: Array, *, level: float) -> Estimate:
    value, half = float(gains.mean()), float(stats.t.ppf((1 + level) / 2, len(gains) - 1) * stats.sem(gains))
    return Estimate(value, value - half, value + half)


def _told(gain: Estimate, over: str = "") -> str:
    return f"{gain.value:+.4f} mean IoU{over}, {LEVEL:.0%} interval {gain.low:+.4f} to {gain.high:+.4f}"


def _in_words(found: Difference) -> str:
    return {"better": "better", "worse": "worse", "no clear difference": "not clearly better"}[found.verdict]
