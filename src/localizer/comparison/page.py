"""A comparison as one HTML page for people who don't know the project, which needs nothing beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from localizer.comparison.groups import TOO_FEW, Comparison, Difference, Group
from localizer.comparison.sections import (
    METRICS,
    ON_THE_TEST_SIDE,
    ONE_SEED,
    SHOWN,
    found,
    letters,
    sections,
)
from localizer.drawing import PREDICTED, TRUE
from localizer.evaluation.evaluate import PREDICTED_EDGES
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.plots import COLOURS, scatter
from localizer.evaluation.report_parts import MEASURES, data_uri, environment
from localizer.tables import EDGES

FIRST = COLOURS[1]  # of A's boxes; blue: told apart from green and magenta by the colour-blind, too


@dataclass(frozen=True)
class Picture:
    """An image with its true box and both predicted ones, as a data URI, and its row in `Difference.images`."""

    source: str
    row: Mapping[str, object]


@dataclass(frozen=True)
class Shown:
    """What the page shows of one difference from A beside the tables: a plot, and pictures by what became of them.

    repeated: whether one of both groups has several seeds.
    """

    letter: str
    difference: Difference
    plot: Markup
    pictures: Mapping[str, list[Picture]]
    repeated: bool


def page(comparison: Comparison, paths: Mapping[str, Path]) -> str:
    """Return the page: the same bytes for the same comparison and files.

    paths: the files of images, by name, that may be shown; see `shown`.
    """
    return (
        environment(Path(__file__).parent)
        .get_template("comparison.html.j2")
        .render(
            groups=dict(zip(letters(comparison), comparison.groups, strict=True)),
            reasons=[one for one in comparison.differences if isinstance(one, str)],
            sections=list(sections(comparison)),
            shown=[_shown(name, one, paths) for name, one in found(comparison).items()],
            metrics_title=ON_THE_TEST_SIDE,
            meanings={called: MEASURES[name][2] for name, (called, _) in METRICS.items() if name in MEASURES},
            level=LEVEL,
            one_seed=ONE_SEED,
            too_few=TOO_FEW,
            first_colour=FIRST,
        )
    )


def shown(comparison: Comparison) -> pd.DataFrame:
    """Return the rows of `Difference.images` that the page would show pictures of, each image once."""
    rows = [one.extreme(sign, count=SHOWN) for one in found(comparison).values() for sign in (1, -1)]
    return pd.concat([pd.DataFrame({"image": []}), *rows]).drop_duplicates("image")


def _shown(name: str, one: Difference, paths: Mapping[str, Path]) -> Shown:
    ious = (one.images[f"iou_{side}"].to_numpy() for side in ("first", "other"))
    plot = scatter(*ious, x=f"IoU of A, {one.first.name}", y=f"IoU of {name}, {one.other.name}")
    pictures = {word: _pictures(one, paths, sign=sign) for word, sign in (("gained", 1), ("lost", -1))}
    return Shown(name, one, Markup(plot), pictures, max(one.repeats) > 1)  # the plot's text is escaped


def _pictures(difference: Difference, paths: Mapping[str, Path], *, sign: int) -> list[Picture]:
    rows = difference.extreme(sign, count=SHOWN).to_dict(orient="records")
    first, other = _predicted(difference.first), _predicted(difference.other)
    found = []
    for row in (row for row in rows if row["image"] in paths):
        name = str(row["image"])
        boxes_px = {TRUE: [row[edge] for edge in EDGES], FIRST: [*first.loc[name]], PREDICTED: [*other.loc[name]]}
        found.append(Picture(data_uri(paths[name], boxes_px), {str(key): value for key, value in row.items()}))
    return found


def _predicted(group: Group) -> pd.DataFrame:
    """Return the boxes by image that the first repeat predicted."""
    images = group.results[0].images
    if images is None:  # then there is no difference
        raise ValueError(f"{group.name}: no predictions")
    return images.set_index("image")[PREDICTED_EDGES]
