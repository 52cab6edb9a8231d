"""Plots as SVG text, the same bytes for the same values, to stand alone or in a page.

Text stays text, so that it can be searched. Colours of the ground and of letters are CSS variables of the page, with
those of a light page where there is none.
"""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from io import StringIO
from itertools import cycle
from typing import Any

import matplotlib.style
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from localizer.boxes import Array
from localizer.drawing import PREDICTED, TRUE
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.slices import FEW

# Colours that nothing else has stand for the variables until the plot is drawn: Matplotlib knows no variables.
PAPER, INK, FAINT = "#fefdfc", "#1c1d1f", "#d5d6d7"
VARIABLES = {PAPER: "var(--paper, #ffffff)", INK: "var(--ink, #1b1d21)", FAINT: "var(--line, #d4d7dc)"}
COLOURS = (PREDICTED, "#2a85d0", TRUE, "#e69f00", "#8a63d2")  # and each line has a dash of its own
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))
WIDTH, HEIGHT = 4.6, 3.1  # inches of 96 pixels: on a phone, too, the letters can be read
MARGINS = (0.8, 0.5, 0.12, 0.2)  # inches: left, bottom, right, top
ROW = 0.24  # inches
LETTERS = 24  # of a slice's name that find room
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "localizer",
    "text.parse_math": False,  # a label may hold dollars
    "font.size": 10.5,
    "figure.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
} | dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), INK)


class Plot:
    """One pair of axes in a figure of fixed margins, and the SVG text once it is drawn.

    Margins that fit the letters would move with the letters' widths.
    """

    def __init__(self, name: str, height: float, margins: tuple[float, float, float, float]) -> None:
        self.name, self.svg = _printable(name), ""
        left, bottom, right, top = margins
        self.figure = Figure(figsize=(WIDTH, height))
        size = ((WIDTH - left - right) / WIDTH, (height - bottom - top) / height)
        self.axes: Axes = self.figure.add_axes((left / WIDTH, bottom / height, *size))

    def draw(self) -> None:
        """Make the SVG text; without ids but those that are referred to, as a page holds several plots."""
        text = StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        self.figure.savefig(text, format="svg", metadata=nothing)
        svg = text.getvalue()[text.getvalue().index("<svg") :]
        svg = re.sub(r'<g id="[^"]*"', "<g", svg)
        svg = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*", "font-family: system-ui, sans-serif", svg)
        svg = re.sub(r"((?:fill|stroke): )(#[0-9a-f]{6})", lambda one: one[1] + VARIABLES.get(one[2], one[2]), svg)
        self.svg = svg.replace("<svg", f'<svg role="img" aria-label="{escape(self.name)}"', 1)


@contextmanager
def _drawn(
    name: str, *, height: float = HEIGHT, margins: tuple[float, float, float, float] = MARGINS
) -> Iterator[Plot]:
    """Give a plot to fill, in this module's style whatever the user's is, and draw it at the end."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # Matplotlib's own font need not have a letter that the page's reader has.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        plot = Plot(name, height, margins)
        yield plot
        plot.draw()


def curve_plot(curves: Mapping[str, pd.DataFrame]) -> str:
    """Return the share of images at an IoU or more, with its interval as a band; curves: `measures.curve`, by name."""
    with _drawn("Share of the images at an IoU or more") as plot:
        for (name, curve), colour, dash in zip(curves.items(), cycle(COLOURS), cycle(DASHES), strict=False):
            plot.axes.fill_between(curve["iou"], curve["low"], curve["high"], color=colour, alpha=0.18, linewidth=0)
            plot.axes.plot(curve["iou"], curve["share"], color=colour, linestyle=dash, linewidth=2, label=_short(name))
        plot.axes.set(xlabel="IoU", ylabel="share of the images", xlim=(0, 1), ylim=(0, 1.02))
        plot.axes.yaxis.set_major_formatter(PercentFormatter(1))
        _legend(plot.axes, len(curves))
    return plot.svg


def histogram(ious: Mapping[str, Array]) -> str:
    """Return the number of images by IoU, in steps of 0.05; ious: [N] in [0, 1], by name, the first as bars."""
    edges = np.arange(21) / 20
    with _drawn("Number of images by IoU") as plot:
        for (name, iou), colour, dash in zip(ious.items(), cycle(COLOURS), cycle(DASHES), strict=False):
            look: dict[str, Any] = {"fill": iou is next(iter(ious.values())), "color": colour, "linestyle": dash}
            plot.axes.stairs(np.histogram(iou, edges)[0], edges, label=_short(name), linewidth=1.6, **look)
        plot.axes.set(xlabel="IoU", ylabel="images", xlim=(0, 1))
        plot.axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
        _legend(plot.axes, len(ious))
    return plot.svg


def lines(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, x: str, y: str, mark: float | None = None
) -> str:
    """Return lines of xs, whole numbers, and ys, by name, on axes called x and y; `mark` is an x to point out."""
    with _drawn(f"{y} by {x}") as plot:
        for (name, (xs, ys)), colour, dash in zip(series.items(), cycle(COLOURS), cycle(DASHES), strict=False):
            plot.axes.plot(
                xs, ys, color=colour, linestyle=dash, linewidth=2, marker="o", markersize=3, label=_short(name)
            )
        if mark is not None:
            plot.axes.axvline(mark, color=INK, linestyle=":", linewidth=1.2)
        plot.axes.set(xlabel=x, ylabel=y)
        plot.axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        _legend(plot.axes, len(series))
    return plot.svg


def scatter(first: Array, other: Array, *, x: str, y: str) -> str:
    """Return a point for each image by its IoU [N] in two runs, called x and y; above the diagonal y is better."""
    with _drawn(f"IoU of {y} against {x}, image by image", height=WIDTH) as plot:
        plot.axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":")
        plot.axes.scatter(first, other, s=14, color=PREDICTED, alpha=0.45, linewidths=0)
        plot.axes.set(xlabel=_short(x, 40), ylabel=_short(y, 40), xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return plot.svg


def slices_plot(slices: pd.DataFrame, overall: Estimate) -> str:
    """Return a dot and an interval for each slice, beside that of all images; those of fewer than FEW are faint.

    slices: as `slices.slices` gives them. overall: the mean IoU of all images.
    """
    rows = _rows(slices)
    height = ROW * len(rows) + 0.8
    with _drawn("mean IoU of each slice", height=height, margins=(1.72, 0.5, 0.5, 0.3)) as plot:
        axes = plot.axes
        axes.axvspan(overall.low, overall.high, color=INK, alpha=0.12, linewidth=0)
        axes.axvline(overall.value, color=INK, linewidth=1.2, linestyle="--")
        axes.text(
            overall.value, 1, "all images", ha="center", va="bottom", fontsize=9, transform=axes.get_xaxis_transform()
        )
        for place, row in enumerate(rows):
            if isinstance(row, str):
                axes.text(
                    -0.02, place, row, ha="right", va="center", weight="bold", transform=axes.get_yaxis_transform()
                )
            else:
                _dot(axes, place, row)
        axes.set(xlabel="mean IoU", yticks=[], ylim=(len(rows) - 0.4, -0.6))
    return plot.svg


def _rows(slices: pd.DataFrame) -> list[str | pd.Series]:
    """Return the kinds, each before its slices."""
    found: list[str | pd.Series] = []
    for kind, chosen in slices.groupby("kind", sort=False):
        found += [_short(str(kind)), *(row for _, row in chosen.iterrows())]
    return found


def _dot(axes: Axes, place: int, row: pd.Series) -> None:
    alpha, filled = (0.45, PAPER) if row["images"] < FEW else (1, PREDICTED)
    axes.plot([row["low"], row["high"]], [place, place], color=PREDICTED, linewidth=2.2, alpha=alpha)
    axes.plot(row["mean_iou"], place, "o", markersize=7, color=PREDICTED, markerfacecolor=filled, alpha=alpha)
    beside: dict[str, Any] = {"va": "center", "fontsize": 9.5, "transform": axes.get_yaxis_transform()}
    beside["alpha"] = 0.6 if row["images"] < FEW else 1
    axes.text(-0.02, place, _short(str(row["slice"])), ha="right", **beside)
    axes.text(1.02, place, f"{row['images']:,}", ha="left", **beside)


def _legend(axes: Axes, count: int) -> None:
    if count > 1:
        axes.legend(loc="best")


def _short(name: str, letters: int = LETTERS) -> str:
    """Return a name that has room."""
    clean = _printable(name)
    clean = f" {clean}" if clean.startswith("_") else clean  # Matplotlib leaves such a name out of a legend
    return clean if len(clean) <= letters else clean[: letters - 1] + "…"


def _printable(text: str) -> str:
    """Return the text with a space for each sign that no XML may hold."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
