"""Whether a challenger may take the champion's place: only if it is better beyond luck, and nowhere clearly worse."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from localizer.comparison.groups import TIED, TOO_FEW, Difference, Group, Result, difference, students, verdict
from localizer.evaluation.intervals import LEVEL, Estimate
from localizer.evaluation.slices import FEW, kinds
from localizer.tables import true_boxes

GAIN = "gain_over_mean_box"  # a metric of evaluate, and so are its interval's ends


@dataclass(frozen=True)
class Verdict:
    """The decision, and each reason for it.

    gain: of mean IoU over the champion, or over the mean box where there is no champion. slices: as `slice_gains` has
    them.
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
            f"{found.left_out} images are in one of them alone, or have another file or box there; run `dvc repro` "
            "with the champion's data and split, or promote by hand in the MLflow UI"
        )
    looked = slice_gains(found)
    worse = [one for one in looked if one["verdict"] == "worse"]
    reasons = [_in_words(found)]
    reasons += [
        f"clearly worse on {one['kind']} {one['slice']}: {one['gain']:+.4f} on {one['images']} images" for one in worse
    ]
    if not looked:
        reasons.append(f"no slice has {FEW} independent images or more, so none decides")
    elif not worse:
        reasons.append(f"not clearly worse on any of {len(looked)} slices of {FEW} independent images or more")
    return Verdict(found.verdict == "better" and not worse, tuple(reasons), found.gain, tuple(looked))


def first(challenger: Result) -> Verdict:
    """Return whether the challenger may be the first champion: it must beat the mean box beyond luck.

    ValueError where its metrics don't tell, as those of older versions.
    """
    names, table = (GAIN, f"{GAIN}_low", f"{GAIN}_high"), challenger.images
    expected = names if table is not None else (*names, "images")
    lacking = [name for name in expected if name not in challenger.metrics]
    if lacking:
        raise ValueError(
            f"{challenger.name}: its evaluation has no {', '.join(lacking)}, so it is of an older version; run "
            "`dvc repro`, and promote the run that it makes"
        )
    gain = Estimate(*(challenger.metrics[name] for name in names))
    count = int(challenger.metrics["images"]) if table is None else table["cluster"].nunique()
    enough, better = count >= FEW, verdict(gain) == "better"
    word = "better" if better else "not clearly better"
    told = f"{word}: {_told(gain, ' over the mean box')}" if enough else _too_few(count)
    return Verdict(enough and better, ("there is no champion yet", told), gain)


def slice_gains(found: Difference) -> list[dict[str, Any]]:
    """Return the gain on each slice of FEW independent images or more.

    Rows have kind, slice, images, verdict, gain, low and high. The level is Bonferroni's, so that among all slices
    together one comes out as worse by chance as seldom as one test would. The interval is Student's: so far out, by
    simulation, a bootstrap of few gains with some large ones among them finds a slice worse by chance more than twice
    as often.
    """
    images = found.images
    looked = [
        (kind, name, (names == name).to_numpy())
        for kind, names in kinds(images, true_boxes(images)).items()
        for name in names.cat.categories
    ]
    chosen = [one for one in looked if len(np.unique(found.clusters[one[2]])) >= FEW]
    rows = []
    for kind, name, those in chosen:
        one, two = (ious[those] for ious in found.ious)
        gain = students(one, two, found.clusters[those], level=1 - (1 - LEVEL) / len(chosen))
        told = {"verdict": verdict(gain), "gain": gain.value, "low": gain.low, "high": gain.high}
        rows.append({"kind": kind, "slice": str(name), "images": int(those.sum()), **told})
    return rows


def _told(gain: Estimate, over: str = "") -> str:
    return f"{gain.value:+.4f} mean IoU{over}, {LEVEL:.0%} interval {gain.low:+.4f} to {gain.high:+.4f}"


def _in_words(found: Difference) -> str:
    if found.verdict == TOO_FEW:
        return _too_few(found.independent)
    words = "not clearly better" if found.verdict == TIED else found.verdict
    return f"{words} than {found.first.name} on {len(found.images)} test images: {_told(found.gain)}"


def _too_few(count: int) -> str:
    return f"{TOO_FEW}: {count} independent ones, and {FEW} or more are expected"
