"""A comparison as one self-contained HTML page for readers who don't know the project."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from markupsafe import Markup

from localizer.comparison.differences import TOO_FEW, Comparison, PairedDifference
from localizer.comparison.groups import Group
from localizer.comparison.sections import METRICS_TITLE, ONE_SEED, SHOWN_IMAGES, sections
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.plots import COLORS, scatter
from localizer.evaluation.report_parts import ImageFigure, environment, image_figure
from localizer.tables import PREDICTED_EDGES

FIRST_COLOR = COLORS[1]  # of A's boxes; blue: the color-blind can tell it from green and magenta, too


def page(comparison: Comparison, paths: Mapping[str, Path]) -> str:
    """Return the page: the same bytes for the same comparison and files.

    paths: the files of images, by name, that may be shown; see `shown_images`.
    """
    return (
        environment(Path(__file__).parent)
        .get_template("comparison.html.j2")
        .render(
            groups=comparison.groups,
            reasons=[reason for reason in comparison.differences.values() if isinstance(reason, str)],
            sections=list(sections(comparison)),
            differences=comparison.known_differences,
            plot=_plot,
            figures=partial(_figures, paths=paths),
            metrics_title=METRICS_TITLE,
            level=LEVEL,
            one_seed=ONE_SEED,
            too_few=TOO_FEW,
            first_color=FIRST_COLOR,
        )
    )


def shown_images(comparison: Comparison) -> pd.DataFrame:
    """Return the rows of `PairedDifference.images` that the page has figures of, each image once."""
    differences = comparison.known_differences.values()
    rows = [difference.extremes(sign, count=SHOWN_IMAGES) for difference in differences for sign in (1, -1)]
    return pd.concat([pd.DataFrame({"image": []}), *rows]).drop_duplicates("image")


def _plot(letter: str, difference: PairedDifference) -> Markup:
    first, other = (difference.images[name].to_numpy() for name in ("iou_first", "iou_other"))
    names = {"x": f"IoU of A, {difference.first.name}", "y": f"IoU of {letter}, {difference.other.name}"}
    return Markup(scatter(first, other, **names))  # its text is escaped


def _figures(difference: PairedDifference, sign: int, *, paths: Mapping[str, Path]) -> list[ImageFigure]:
    """Return the images with the largest gains, or for the sign -1 the largest losses."""
    first, other = _predicted(difference.first), _predicted(difference.other)
    figures = []
    for row in difference.extremes(sign, count=SHOWN_IMAGES).to_dict(orient="records"):
        name = str(row["image"])
        if name in paths:
            values = {str(key): value for key, value in [*row.items(), *other.loc[name].items()]}
            figures.append(image_figure(values | {"path": paths[name]}, {FIRST_COLOR: [*first.loc[name]]}))
    return figures


def _predicted(group: Group) -> pd.DataFrame:
    """Return the predicted boxes of the first repeat, by image."""
    return group.predictions()[0].set_index("image")[PREDICTED_EDGES]
