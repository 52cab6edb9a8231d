"""Plots as SVG text, byte-identical for equal values, to be used as files or inline in a page.

Text stays text, so that it can be searched. Background and text colors are CSS variables of the page, with a light
page's as defaults.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
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
from localizer.drawing import PREDICTED_COLOR, TRUE_COLOR
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.slices import MIN_IMAGES

# Matplotlib knows no CSS variables: unique colors stand for them until the plot is drawn.
PAPER, INK, FAINT = "#fefdfc", "#1c1d1f", "#d5d6d7"
VARIABLES = {PAPER: "var(--paper, #ffffff)", INK: "var(--ink, #1b1d21)", FAINT: "var(--line, #d4d7dc)"}
COLORS = (PREDICTED_COLOR, "#2a85d0", TRUE_COLOR, "#e69f00", "#8a63d2")  # and each line has its own dashes
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)))
WIDTH, HEIGHT = 4.6, 3.1  # inches of 96 pixels: legible on a phone, too
MARGINS = (0.8, 0.5, 0.12, 0.2)  # inches: left, bottom, right, top
ROW = 0.24  # inches
MAX_LENGTH = 24  # letters of a slice's name
STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "localizer",
    "text.parse_math": False,  # a label may contain dollars
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


@contextmanager
def _style() -> Iterator[None]:
    """Apply this module's style, whatever the user's is."""
    with matplotlib.style.context(["default", STYLE]), warnings.catch_warnings():
        # Matplotlib's own font may lack a glyph that the reader's font has.
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")
        yield


@_style()
def curve_plot(curves: Mapping[str, pd.DataFrame]) -> str:
    """Return the share of images at an IoU or more, with its interval as a band; curves: of `metrics.curve`."""
    axes = _axes()
    for name, curve, style in _styled(curves):
        axes.fill_between(curve["iou"], curve["low"], curve["high"], color=style["color"], alpha=0.18, linewidth=0)
        axes.plot(curve["iou"], curve["share"], linewidth=2, label=name, **style)
    axes.set(xlabel="IoU", ylabel="share of the images", xlim=(0, 1), ylim=(0, 1.02))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return _svg(axes, "Share of the images at an IoU or more", legend=len(curves) > 1)


@_style()
def histogram(ious: Mapping[str, Array]) -> str:
    """Return the number of images by IoU, in steps of 0.05; ious: [N] in [0, 1], by name, the first as bars."""
    axes, edges = _axes(), np.arange(21) / 20
    for number, (name, iou, style) in enumerate(_styled(ious)):
        axes.stairs(np.histogram(iou, edges)[0], edges, label=name, linewidth=1.6, fill=number == 0, **style)
    axes.set(xlabel="IoU", ylabel="images", xlim=(0, 1))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return _svg(axes, "Number of images by IoU", legend=len(ious) > 1)


@_style()
def lines(series: Mapping[str, "pd.Series[float]"], *, x: str, y: str, mark: int | None = None) -> str:
    """Return a line of each series over its index, on axes labeled x and y; `mark` is an x to highlight."""
    axes = _axes()
    for name, values, style in _styled(series):
        axes.plot(values.index.tolist(), values.tolist(), linewidth=2, marker="o", markersize=3, label=name, **style)
    if mark is not None:
        axes.axvline(mark, color=INK, linestyle=":", linewidth=1.2)
    axes.set(xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    return _svg(axes, f"{y} by {x}", legend=len(series) > 1)


@_style()
def scatter(first: Array, other: Array, *, x: str, y: str) -> str:
    """Return one point per image by its IoU [N] in two runs, labeled x and y; above the diagonal y is better."""
    axes = _axes(height=WIDTH)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=":")
    axes.scatter(first, other, s=14, color=PREDICTED_COLOR, alpha=0.45, linewidths=0)
    axes.set(xlabel=_shortened(x, 40), ylabel=_shortened(y, 40), xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return _svg(axes, f"IoU of {y} against {x}, image by image")


@_style()
def slices_plot(slices: pd.DataFrame, overall: Estimate) -> str:
    """Return the mean IoU and interval of each row of `slices.slices`, against `overall`, that of all images.

    Slices of fewer than MIN_IMAGES are faint.
    """
    count = len(slices) + slices["kind"].nunique()
    axes = _axes(height=ROW * count + 0.8, margins=(1.72, 0.5, 0.5, 0.3))
    axes.axvspan(overall.low, overall.high, color=INK, alpha=0.12, linewidth=0)
    axes.axvline(overall.value, color=INK, linewidth=1.2, linestyle="--")
    top: dict[str, Any] = {"ha": "center", "va": "bottom", "transform": axes.get_xaxis_transform()}
    axes.text(overall.value, 1, "all images", fontsize=9, **top)
    left: dict[str, Any] = {"ha": "right", "va": "center", "transform": axes.get_yaxis_transform()}
    y = 0
    for kind, rows in slices.groupby("kind", sort=False):
        axes.text(-0.02, y, _shortened(str(kind)), weight="bold", **left)
        for _, row in rows.iterrows():
            y += 1
            _draw_slice(axes, y, row)
        y += 1
    axes.set(xlabel="mean IoU", yticks=[], ylim=(count - 0.4, -0.6))
    return _svg(axes, "mean IoU of each slice")


def _draw_slice(axes: Axes, y: int, row: pd.Series) -> None:
    few = row["images"] < MIN_IMAGES
    axes.plot([row["low"], row["high"]], [y, y], color=PREDICTED_COLOR, linewidth=2.2, alpha=0.45 if few else 1)
    fill: dict[str, Any] = {"markerfacecolor": PAPER if few else PREDICTED_COLOR, "alpha": 0.45 if few else 1}
    axes.plot(row["mean_iou"], y, "o", markersize=7, color=PREDICTED_COLOR, **fill)
    text: dict[str, Any] = {"va": "center", "fontsize": 9.5, "transform": axes.get_yaxis_transform()}
    text["alpha"] = 0.6 if few else 1
    axes.text(-0.02, y, _shortened(str(row["slice"])), ha="right", **text)
    axes.text(1.02, y, f"{row['images']:,}", ha="left", **text)


def _styled(series: Mapping[str, Any]) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Yield label, values, and color with dashes of each series."""
    for (name, values), color, dashes in zip(series.items(), cycle(COLORS), cycle(DASHES), strict=False):
        yield _shortened(name), values, {"color": color, "linestyle": dashes}


def _axes(*, height: float = HEIGHT, margins: tuple[float, float, float, float] = MARGINS) -> Axes:
    """Return the axes of a figure with fixed margins: ones that fit the text would depend on its width."""
    left, bottom, right, top = margins
    size = ((WIDTH - left - right) / WIDTH, (height - bottom - top) / height)
    return Figure(figsize=(WIDTH, height)).add_axes((left / WIDTH, bottom / height, *size))


def _svg(axes: Axes, name: str, *, legend: bool = False) -> str:
    """Return the plot without its unused ids, which may repeat in a page; name: for screen readers."""
    if legend:
        axes.legend(loc="best")
    text, figure = StringIO(), axes.get_figure(root=True)
    if figure is not None:
        figure.savefig(text, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    svg = text.getvalue()[text.getvalue().index("<svg") :]
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*", "font-family: system-ui, sans-serif", svg)
    svg = re.sub(r"((?:fill|stroke): )(#[0-9a-f]{6})", lambda hit: hit[1] + VARIABLES.get(hit[2], hit[2]), svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(_printable(name))}"', 1)


def _shortened(name: str, length: int = MAX_LENGTH) -> str:
    """Return the name, cut to fit."""
    clean = _printable(name)
    clean = f" {clean}" if clean.startswith("_") else clean  # Matplotlib leaves such a name out of a legend
    return clean if len(clean) <= length else clean[: length - 1] + "…"


def _printable(text: str) -> str:
    """Return the text with a space for each character that XML forbids."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
