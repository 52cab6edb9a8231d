"""A comparison as sections of text, for terminal, Markdown and HTML; the letter A is the first group, B the next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from localizer.comparison.differences import NO_DIFFERENCE, ROUNDING_GAIN, TOO_FEW, Comparison, PairedDifference
from localizer.comparison.gate import slice_gains
from localizer.comparison.groups import Group, differing_params, differing_sources
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.metrics import METRICS
from localizer.evaluation.slices import MIN_IMAGES
from localizer.pipeline.revisions import SHORT

SHOWN_IMAGES = 5  # with the largest gains, and with the largest losses
SHOWN_FILES = 8  # of code and data that differ
METRICS_TITLE = "Metrics on the test split"
MIN_SEEDS = 3  # of each group: with fewer, in simulations, outcomes on slices are wrong more often than nominal
MANY_GROUPS = 3  # besides A: among so many, one may well be better by chance
ONE_SEED = (
    "the interval covers the choice of test images, not the variation between training seeds; add repeats with other "
    "seeds to include it"
)
FORMATS = {"iou": "{:.3f}", "difference": "{:+.3f}", "share": "{:.1%}", "pixels": "{:.1f} px", "count": "{:.0f}"}


@dataclass(frozen=True)
class Section:
    """A table with a title and notes; without rows there are only notes.

    columns_are_groups: all but the first, so that a narrow page may show a few at a time.
    """

    title: str
    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: Sequence[str]
    columns_are_groups: bool = False


def sections(comparison: Comparison) -> Iterator[Section]:
    """Yield all sections, from overall results to single images."""
    yield _results(comparison)
    yield _metrics(comparison)
    params = [(name, *values) for name, values in differing_params(comparison.groups.values()).items()]
    notes = [] if params else ["None: all params are the same."]
    yield Section("Params that differ", ("param", *comparison.groups), params, notes, columns_are_groups=True)
    if comparison.differences:
        yield _sources(comparison)
        yield _differences(comparison)
    if differences := comparison.known_differences:
        yield _slices(differences)
        yield _images("Images with the largest gains", differences, sign=1)
        yield _images("Images with the largest losses", differences, sign=-1)


def _results(comparison: Comparison) -> Section:
    rows = []
    for letter, group in comparison.groups.items():
        for result in group.results:
            short = result.commit[:SHORT]
            iou = f"{result.metrics['mean_iou']:.3f}" if "mean_iou" in result.metrics else ""
            commit, name = f"{short or 'unknown'}{', changed' if result.dirty else ''}", result.name
            rows.append((letter, name.removesuffix(f" ({short})"), commit, ", ".join(result.seeds), iou))
    notes = ["Results with the same letter are repeats: they differ in train.seed only."]
    notes += [] if comparison.differences else ["There is nothing else to compare them with."]
    has_repeats = len(rows) > len(comparison.groups)
    return Section("Results", ("", "result", "commit", "seed", "mean IoU"), rows, notes if has_repeats else [])


def _metrics(comparison: Comparison) -> Section:
    groups = comparison.groups
    known = {name for group in groups.values() for result in group.results for name in result.metrics}
    unnamed = sorted(name for name in known - {*METRICS} if not name.endswith(("_low", "_high")))
    texts = {name: (text.name, FORMATS[text.unit]) for name, text in METRICS.items() if name in known}
    texts |= {name: (name, "{:.4g}") for name in unnamed}
    rows = [
        (text, *(_metric_cell(group, name, form) for group in groups.values())) for name, (text, form) in texts.items()
    ]
    counts = {letter: len(group.results) for letter, group in groups.items()}
    header = [f"{letter}, {count} seeds" if count > 1 else letter for letter, count in counts.items()]
    notes = [f"In brackets: the {LEVEL:.0%} interval over images, where known."] if 1 in counts.values() else []
    notes += ["With several seeds: mean, lowest and highest value."] if max(counts.values()) > 1 else []
    return Section(METRICS_TITLE, ("metric", *header), rows, notes, columns_are_groups=True)


def _metric_cell(group: Group, name: str, form: str) -> str:
    """Return a metric with its interval, or with its range over repeats and how many have it if not all do."""
    values = group.metric(name)
    if not len(values):
        return ""
    if len(group.results) > 1:
        count = "" if len(values) == len(group.results) else f" (of {len(values)})"
        middle, low, high = (form.format(value) for value in (values.mean(), values.min(), values.max()))
        return (low if low == high else f"{middle}, {low} to {high}") + count
    ends = [*group.metric(f"{name}_low"), *group.metric(f"{name}_high")]
    return _bracketed(form, *values, *ends) if len(ends) == 2 else form.format(values[0])


def _bracketed(form: str, value: float, low: float, high: float) -> str:
    return f"{form.format(value)} [{form.format(low)}, {form.format(high)}]"


def _sources(comparison: Comparison) -> Section:
    rows = []
    for letter in comparison.differences:
        paths = differing_sources(comparison.groups["A"], comparison.groups[letter])
        more = [f"and {len(paths) - SHOWN_FILES} more"] if paths and len(paths) > SHOWN_FILES else []
        rows.append((letter, "unknown" if paths is None else ", ".join([*paths[:SHOWN_FILES], *more]) or "none"))
    return Section("Code and data that differ from A's", ("", "files"), rows, [])


def _differences(comparison: Comparison) -> Section:
    rows, notes = [], []
    for letter, difference in comparison.differences.items():
        if isinstance(difference, str):
            rows.append((letter, "unknown", "", "", ""))
            notes.append(f"{letter} can't be compared with A image by image: {difference}.")
        else:
            gain = _bracketed("{:+.4f}", difference.gain.value, difference.gain.low, difference.gain.high)
            count, clusters = len(difference.images), difference.independent
            images = str(count) if count == clusters else f"{count} in {clusters} clusters"
            rows.append((letter, difference.outcome, gain, images, str(difference.left_out)))
    header = ("", "outcome", "gain in mean IoU", "images", "left out")
    return Section("Against A, image by image", header, rows, notes + _notes(comparison.known_differences))


def _notes(differences: Mapping[str, PairedDifference]) -> list[str]:
    """Return what is needed to interpret the differences."""
    every = differences.values()
    single = ", ".join(letter for letter, difference in differences.items() if not difference.is_over_seeds)
    repeated = [difference.seeds for difference in every if difference.is_over_seeds]
    notes = {
        f"{single} and A have one seed each: {ONE_SEED}.": bool(single),
        f"In brackets: the {LEVEL:.0%} interval of the gain, paired by image. If it includes 0, or the gain is within "
        f"rounding (under {ROUNDING_GAIN}), there is {NO_DIFFERENCE}.": bool(every),
        f"Fewer than {MIN_IMAGES} independent images are too few for a conclusion.": any(
            difference.outcome == TOO_FEW for difference in every
        ),
        "With several seeds of A or the other, the interval covers images and seeds.": bool(repeated),
        "If only one of both has several, their spread is used for both.": any(min(seeds) == 1 for seeds in repeated),
        f"With fewer than {MIN_SEEDS} seeds of each, the spread between seeds is hardly known: add more before a "
        "decision that matters.": any(min(seeds) < MIN_SEEDS for seeds in repeated),
        "Images of one cluster, e.g. frames of one video or copies, are not independent, and count as one.": any(
            difference.independent < len(difference.images) for difference in every
        ),
        "Left out: images that only one test split has, or that have another file or ground truth there.": any(
            difference.left_out for difference in every
        ),
        f"Of {len(differences)} that are no better than A, about {len(differences) * (1 - LEVEL) / 2:.2g} come out as "
        "better by chance.": len(differences) >= MANY_GROUPS,
    }
    return [note for note, applies in notes.items() if applies]


def _slices(differences: Mapping[str, PairedDifference]) -> Section:
    gains = {letter: slice_gains(difference) for letter, difference in differences.items()}
    rows = []
    for letter, slices in gains.items():
        for row in (row for row in slices if row["verdict"] != NO_DIFFERENCE):
            gain = _bracketed("{:+.4f}", row["gain"], row["low"], row["high"])
            rows.append((letter, f"{row['kind']}: {row['slice']}", row["verdict"], gain, str(row["images"])))
    counts = ", ".join(f"{letter} {len(slices)}" for letter, slices in gains.items())
    notes = [
        *([] if rows else ["None."]),
        f"Tested slices, of {MIN_IMAGES} independent images or more: {counts}. The intervals are Bonferroni-corrected "
        f"within each letter: one that doesn't differ from A has a slice here by chance in about {1 - LEVEL:.0%} of "
        "cases.",
    ]
    header = ("", "slice", "outcome", "gain in mean IoU", "images")
    return Section("Slices that are clearly better or worse than A", header, rows, notes)


def _images(title: str, differences: Mapping[str, PairedDifference], *, sign: int) -> Section:
    rows = []
    for letter, difference in differences.items():
        for row in difference.extremes(sign, count=SHOWN_IMAGES).to_dict(orient="records"):
            numbers = f"{row['iou_first']:.3f}", f"{row['iou_other']:.3f}", f"{row['gain']:+.3f}"
            rows.append((letter, str(row["image"]), str(row["label"]), *numbers))
    header = ("", "image", "label", "IoU of A", "IoU of the other", "gain")
    return Section(title, header, rows, [] if rows else ["None."])
