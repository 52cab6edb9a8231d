"""Plots: reproducible, self-contained SVG in the page's colors, with labels unchanged."""

import re
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest

from localizer.drawing import PREDICTED_COLOR
from localizer.evaluation import plots
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.metrics import curve
from localizer.evaluation.slices import SLICES

IOU = np.array([0.1, 0.52, 0.53, 0.9])
APART = np.arange(len(IOU))  # a cluster for each image
ALL = Estimate(0.5, 0.4, 0.6)


def line(xs: list[int], ys: list[float], **more: Any) -> str:
    """Return the plot of one line."""
    return plots.lines({"one": pd.Series(ys, xs)}, **more)


def slices(*rows: tuple[str, str, int]) -> pd.DataFrame:
    return pd.DataFrame([(*row, 0.5, 0.45, 0.55) for row in rows], columns=SLICES)


def drawn(name: str) -> str:
    """Return one plot of each kind, by name."""
    if name == "curve":
        return plots.curve_plot({"one": curve(IOU, APART), "two": curve(IOU / 2, APART)})
    if name == "histogram":
        return plots.histogram({"one": IOU, "two": IOU / 2})
    if name == "line":
        return line([1, 2], [0.9, 0.4], x="epoch", y="training loss", mark=2)
    if name == "scatter":
        return plots.scatter(IOU, IOU / 2, x="run one", y="run two")
    return plots.slices_plot(slices(("size", "small", 50), ("size", "large", 3)), ALL)


KINDS = ["curve", "histogram", "line", "scatter", "slices"]


def texts(svg: str) -> list[str]:
    """Return the texts of a plot, which must be well-formed XML."""
    return ["".join(one.itertext()) for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def style_of(svg: str, word: str) -> str:
    """Return the style of the text that is that word."""
    found = re.search(rf'<text style="([^"]*)"[^>]*>{word}</text>', svg)
    assert found
    return found[1]


@pytest.mark.parametrize("name", KINDS)
def test_a_plot_is_the_same_bytes_twice(name: str) -> None:
    assert drawn(name) == drawn(name)


@pytest.mark.parametrize("name", KINDS)
def test_a_plot_is_the_same_whatever_style_the_user_has(name: str) -> None:
    ours = drawn(name)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "black", "svg.fonttype": "path"}):
        assert drawn(name) == ours


@pytest.mark.parametrize("name", KINDS)
def test_a_plot_leaves_the_users_style_as_it_was(name: str) -> None:
    with matplotlib.rc_context({"font.size": 20, "svg.hashsalt": "theirs"}):
        drawn(name)
        assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["svg.hashsalt"]) == (20, "theirs")


@pytest.mark.parametrize("name", KINDS)
def test_a_plot_names_neither_a_date_nor_a_version(name: str) -> None:
    assert not re.search(r"metadata|Matplotlib|<!--", drawn(name))


@pytest.mark.parametrize("name", KINDS)
def test_a_plot_has_only_ids_that_it_refers_to(name: str) -> None:
    svg = drawn(name)
    assert set(re.findall(r' id="([^"]*)"', svg)) <= set(re.findall(r"#(\w+)", svg))


@pytest.mark.parametrize("name", KINDS)
def test_letters_and_ground_take_the_colors_of_the_page(name: str) -> None:
    svg = drawn(name)
    assert "fill: var(--paper, #ffffff)" in svg
    assert "fill: var(--ink, #1b1d21)" in svg
    assert not [color for color in plots.VARIABLES if color in svg]


@pytest.mark.parametrize("name", KINDS)
def test_a_plot_says_what_it_is_to_those_who_cant_see_it(name: str) -> None:
    label = ElementTree.fromstring(drawn(name)).get("aria-label")
    assert (
        label
        == {
            "curve": "Share of the images at an IoU or more",
            "histogram": "Number of images by IoU",
            "line": "training loss by epoch",
            "scatter": "IoU of run two against run one, image by image",
            "slices": "mean IoU of each slice",
        }[name]
    )


def test_a_line_goes_through_its_points() -> None:
    svg = line([1, 2, 3], [0.0, 1.0, 0.0], x="epoch", y="loss")
    (path,) = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: none; stroke: {PREDICTED_COLOR}', svg)
    (x1, y1), (x2, y2), (x3, y3) = [tuple(map(float, point)) for point in re.findall(r"([\d.]+) ([\d.]+)", path)]
    assert x2 - x1 == pytest.approx(x3 - x2)
    assert y1 == y3 > y2  # an SVG's y grows downwards


def test_a_given_epoch_is_highlighted() -> None:
    plain, marked = (line([1, 2], [0.9, 0.4], x="epoch", y="loss", mark=mark) for mark in (None, 2))
    assert "stroke-dasharray" in marked
    assert "stroke-dasharray" not in plain


def test_a_training_of_one_epoch_can_be_drawn() -> None:
    assert "loss" in texts(line([1], [0.9], x="epoch", y="loss", mark=1))


def test_an_axis_of_one_epoch_has_integer_ticks() -> None:
    shown = texts(line([1], [0.9], x="epoch", y="loss"))
    assert shown[: shown.index("epoch")] == ["1"]


def test_several_curves_have_a_legend_and_a_single_one_has_none() -> None:
    assert "this model" in texts(plots.curve_plot({"this model": curve(IOU, APART), "other": curve(IOU, APART)}))
    assert "this model" not in texts(plots.curve_plot({"this model": curve(IOU, APART)}))


def test_the_histogram_counts_images_in_steps_of_a_twentieth() -> None:
    svg = plots.histogram({"one": IOU})
    # 0.52 and 0.53 share a bar, which is the highest: the axis ends just above 2 images.
    assert [text for text in texts(svg) if text in ("0", "1", "2", "3")] == ["0", "1", "2"]


def test_every_slice_is_named_below_its_kind_with_its_count() -> None:
    shown = texts(plots.slices_plot(slices(("size", "small", 1234), ("label", "cat", 30)), ALL))
    assert [text for text in shown if text in ("size", "small", "1,234", "label", "cat", "30")] == [
        "size",
        "small",
        "1,234",
        "label",
        "cat",
        "30",
    ]


def test_a_slice_of_few_images_is_faint() -> None:
    svg = plots.slices_plot(slices(("size", "small", 19), ("size", "large", 20)), ALL)
    assert "opacity: 0.6" in style_of(svg, "small")
    assert "opacity" not in style_of(svg, "large")


def test_a_plot_grows_with_its_slices() -> None:
    heights = []
    for count in (2, 12):
        svg = plots.slices_plot(slices(*(("label", f"{index}", 30) for index in range(count))), ALL)
        heights.append(float(str(ElementTree.fromstring(svg).get("height")).removesuffix("pt")))
    assert heights[1] - heights[0] == pytest.approx(10 * plots.ROW * 72)  # points an inch


@pytest.mark.parametrize("label", ["<b>&amp;\"'", "$x^$", "картинка 图", "_hidden"])
def test_a_label_is_shown_unchanged(label: str) -> None:
    assert label in [text.strip() for text in texts(plots.slices_plot(slices(("label", label, 30)), ALL))]
    assert label in [
        text.strip() for text in texts(plots.curve_plot({label: curve(IOU, APART), "b": curve(IOU, APART)}))
    ]
    assert label in [text.strip() for text in texts(plots.scatter(IOU, IOU, x=label, y="b"))]


def test_signs_that_no_xml_may_hold_become_spaces() -> None:
    assert "a b c" in texts(plots.scatter(IOU, IOU, x="a\x00b\nc", y="d"))


def test_a_long_label_is_cut() -> None:
    assert "a" * 23 + "…" in texts(plots.slices_plot(slices(("label", "a" * 25, 30)), ALL))
