"""A comparison as sections of rows of text, for a terminal or a page to show: A is the first group, B the next."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase

from localizer.comparison.gate import slice_gains
from localizer.comparison.groups import (
    SEEDS,
    TIE,
    TIED,
    TOO_FEW,
    Comparison,
    Difference,
    Group,
    differing,
    differing_sources,
)
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.slices import FEW

SHOWN = 5  # images that gained most, and that lost most
FILES = 8  # of code and data that differ
ON_THE_TEST_SIDE = "On the test side"  # the title of the section of metrics
ENOUGH = 3  # seeds of each group, by simulation, for its verdicts on slices to be by luck as seldom as is said
MANY = 3  # groups beside A: of so many one may well be better by luck
ONE_SEED = (
    "the interval tells what other test images could change, and another seed could tell otherwise; name repeats with "
    "other seeds, too, to take that in"
)

# What is told of each metric, in this order: its name in words, and how its number is written.
METRICS = {
    "mean_iou": ("mean IoU", "{:.3f}"),
    "gain_over_mean_box": ("gain over constant box", "{:+.3f}"),
    "gain_over_centre_box": ("gain over centred box", "{:+.3f}"),
    "coverage": ("true box inside margin", "{:.1%}"),
    "margin_px": ("margin, pixels", "{:.1f}"),
    "median_iou": ("median IoU", "{:.3f}"),
    "worst_decile_iou": ("IoU of worst tenth", "{:.3f}"),
    "iou_50": ("IoU 0.5 or more", "{:.1%}"),
    "iou_75": ("IoU 0.75 or more", "{:.1%}"),
    "iou_90": ("IoU 0.9 or more", "{:.1%}"),
    "iou_50_95": ("mean share, 0.5 to 0.95", "{:.1%}"),
    "mean_giou": ("mean GIoU", "{:.3f}"),
    "centre_error_px": ("centre off, pixels", "{:.1f}"),
    "width_error_px": ("width off, pixels", "{:.1f}"),
    "height_error_px": ("height off, pixels", "{:.1f}"),
    "confident": ("confident", "{:.1%}"),
    "mean_box_iou": ("IoU of constant box", "{:.3f}"),
    "centre_box_iou": ("IoU of centred box", "{:.3f}"),
    "images": ("test images", "{:.0f}"),
    "clusters": ("independent ones", "{:.0f}"),
    "warnings": ("warnings", "{:.0f}"),
}


@dataclass(frozen=True)
class Section:
    """A table under a title, and what a reader must know of it; without rows the notes are all.

    beside: whether all columns but the first are the groups, so that a narrow page may show some at a time.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    beside: bool = False


def letters(comparison: Comparison) -> str:
    """Return the capitals that stand for the groups; ValueError where there are more groups than letters."""
    if len(comparison.groups) > len(ascii_uppercase):
        raise ValueError(f"{len(comparison.groups)} results that differ; compare {len(ascii_uppercase)} at most")
    return ascii_uppercase[: len(comparison.groups)]


def found(comparison: Comparison) -> dict[str, Difference]:
    """Return the differences from A that could be told, by the other group's letter."""
    told = zip(letters(comparison)[1:], comparison.differences, strict=True)
    return {name: one for name, one in told if isinstance(one, Difference)}


def sections(comparison: Comparison) -> Iterator[Section]:
    """Yield all that is told, from what the results are to single images."""
    yield _results(comparison)
    yield _metrics(comparison)
    yield _params(comparison)
    if comparison.differences:
        yield _sources(comparison)
        yield _differences(comparison)
    if differences := found(comparison):
        yield _slices(differences)
        yield _images("Images that gained most", differences, sign=1)
        yield _images("Images that lost most", differences, sign=-1)


def _results(comparison: Comparison) -> Section:
    rows = []
    for name, group in zip(letters(comparison), comparison.groups, strict=True):
        for one in group.results:
            commit = f"{one.commit[:7] or 'unknown'}{', changed' if one.dirty else ''}"
            seed = ", ".join(str(one.params.get(key, "")) for key in SEEDS)
            score = f"{one.metrics['mean_iou']:.3f}" if "mean_iou" in one.metrics else ""
            rows.append((name, one.name.removesuffix(f" ({one.commit[:7]})"), commit, seed, score))
    notes = ["Results of one letter differ in train.seed alone: they are repeats over seeds."]
    notes += [] if comparison.differences else ["There is nothing else to compare them with."]
    repeated = len(rows) > len(comparison.groups)
    return Section("Results", ("", "result", "commit", "seed", "mean IoU"), tuple(rows), tuple(notes) * repeated)


def _metrics(comparison: Comparison) -> Section:
    groups = comparison.groups
    known = {name for group in groups for one in group.results for name in one.metrics}
    others = sorted(name for name in known - {*METRICS} if not name.endswith(("_low", "_high")))
    shown = METRICS | {name: (name, "{:.4g}") for name in others}
    rows = [
        (called, *(_cell(group, name, form) for group in groups))
        for name, (called, form) in shown.items()
        if name in known
    ]
    counts = [len(group.results) for group in groups]
    header = [
        f"{name}, {count} seeds" if count > 1 else name for name, count in zip(letters(comparison), counts, strict=True)
    ]
    notes = [f"In brackets: the {LEVEL:.0%} interval over images, where it is known."] if 1 in counts else []
    notes += ["Of several seeds: their mean, and from the lowest to the highest of them."] if max(counts) > 1 else []
    return Section(ON_THE_TEST_SIDE, ("metric", *header), tuple(rows), tuple(notes), beside=True)


def _cell(group: Group, name: str, form: str) -> str:
    """Return a metric with its interval, or with its spread over repeats and how many have it if some don't."""
    values = group.metric(name)
    if not len(values):
        return ""
    if len(group.results) > 1:
        some = "" if len(values) == len(group.results) else f" (of {len(values)})"
        middle, low, high = (form.format(one) for one in (values.mean(), values.min(), values.max()))
        return (low if low == high else f"{middle}, {low} to {high}") + some
    sides = [group.metric(f"{name}_{side}") for side in ("low", "high")]
    return _bracketed(form, *values, *sides[0], *sides[1]) if all(map(len, sides)) else form.format(values[0])


def _bracketed(form: str, value: float, low: float, high: float) -> str:
    return f"{form.format(value)} [{form.format(low)}, {form.format(high)}]"


def _params(comparison: Comparison) -> Section:
    rows = tuple((name, *values) for name, values in differing(comparison.groups).items())
    notes = () if rows else ("None: all params are the same.",)
    return Section("Params that differ", ("param", *letters(comparison)), rows, notes, beside=True)


def _sources(comparison: Comparison) -> Section:
    first, *others = comparison.groups
    rows = []
    for name, group in zip(letters(comparison)[1:], others, strict=True):
        paths = differing_sources(first, group)
        more = [f"and {len(paths) - FILES} more"] if paths and len(paths) > FILES else []
        rows.append((name, "not known" if paths is None else ", ".join([*paths[:FILES], *more]) or "none"))
    return Section("Code and data that differ from A's", ("", "files"), tuple(rows))


def _differences(comparison: Comparison) -> Section:
    rows, reasons = [], []
    for name, one in zip(letters(comparison)[1:], comparison.differences, strict=True):
        if isinstance(one, str):
            rows.append((name, "can't be told", "", "", ""))
            reasons.append(f"{name} can't be compared with A image by image: {one}.")
        else:
            gain = _bracketed("{:+.4f}", one.gain.value, one.gain.low, one.gain.high)
            rows.append((name, one.verdict, gain, _counted(one), str(one.left_out)))
    notes = (*reasons, *_meaning(found(comparison)))
    return Section(
        "Against A, image by image", ("", "verdict", "mean IoU gained", "images", "left out"), tuple(rows), notes
    )


def _counted(one: Difference) -> str:
    """Return on how many images a difference stands, and how many clusters of them where these are fewer."""
    count = len(one.images)
    return str(count) if count == one.independent else f"{count} in {one.independent} clusters"


def _meaning(differences: Mapping[str, Difference]) -> Iterator[str]:
    single = [name for name, one in differences.items() if max(one.repeats) == 1]
    if single:
        yield f"{', '.join(single)} and A have one seed each: {ONE_SEED}."
    if differences:
        yield (
            f"In brackets: the {LEVEL:.0%} interval of the gain, paired by image. Where it holds 0, or the gain is of "
            f"rounding (under {TIE}), there is {TIED}."
        )
    if any(one.verdict == TOO_FEW for one in differences.values()):
        yield f"Fewer than {FEW} independent images are too few to tell."
    if len(single) < len(differences):
        yield "Where A or the other has several seeds, the interval tells what other images and seeds could change."
    if any(min(one.repeats) == 1 < max(one.repeats) for one in differences.values()):
        yield "Where only one of both has several, their spread stands for that of the other."
    if any(min(one.repeats) < ENOUGH and max(one.repeats) > 1 for one in differences.values()):
        yield (
            f"With fewer than {ENOUGH} seeds of each, their spread is hardly known: name more before a decision that "
            "matters."
        )
    if any(one.independent < len(one.images) for one in differences.values()):
        yield "Images of one cluster, as frames of one video or copies, are not independent, and count as one."
    if any(one.left_out for one in differences.values()):
        yield "Left out: images that are on one test side alone, or have another file or true box there."
    if len(differences) >= MANY:
        lucky = len(differences) * (1 - LEVEL) / 2
        yield f"Of {len(differences)} that are no better than A about {lucky:.2g} come out as better by luck."


def _slices(differences: Mapping[str, Difference]) -> Section:
    gains = {name: slice_gains(one) for name, one in differences.items()}
    rows = []
    for name, looked in gains.items():
        for one in (one for one in looked if one["verdict"] != TIED):
            gain = _bracketed("{:+.4f}", one["gain"], one["low"], one["high"])
            rows.append((name, f"{one['kind']}: {one['slice']}", one["verdict"], gain, str(one["images"])))
    counts = ", ".join(f"{name} {len(looked)}" for name, looked in gains.items())
    notes = [] if rows else ["None."]
    notes += [
        f"Slices of {FEW} independent images or more that were looked at: {counts}. The intervals are as wide as so "
        f"many looks need within one letter: one that is no different from A has a slice here by luck in about "
        f"{1 - LEVEL:.0%} of cases."
    ]
    header = ("", "slice", "verdict", "mean IoU gained", "images")
    return Section("Slices that are clearly better or worse than A", header, tuple(rows), tuple(notes))


def _images(title: str, differences: Mapping[str, Difference], *, sign: int) -> Section:
    rows = []
    for name, difference in differences.items():
        for one in difference.extreme(sign, count=SHOWN).to_dict(orient="records"):
            numbers = f"{one['iou_first']:.3f}", f"{one['iou_other']:.3f}", f"{one['gain']:+.3f}"
            rows.append((name, str(one["image"]), str(one["label"]), *numbers))
    header = ("", "image", "label", "IoU of A", "its own IoU", "gained")
    return Section(title, header, tuple(rows), () if rows else ("None.",))
