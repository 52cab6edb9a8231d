"""Checks of the whole file: whether its boxes are written as the dataset config declares them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from localizer.boxes import FORMATS, Array
from localizer.dataset import SCALES, DatasetConfig
from localizer.datasets.detection.encoding_fit import MIN_BOXES, fits, limits, one_based_edges
from localizer.findings import Finding, critical, warning
from localizer.tables import Table
from localizer.validation.rules.rule import DATASET_YAML

MANY = 0.1  # of the rows do not fit, but would in another format: too many to be single mistakes
NEARLY_ALL = 0.99  # of the rows would fit in another format: then a few that do not fit are evidence

Mask = NDArray[np.bool_]


def check_encoding(
    boxes: Table, config: DatasetConfig, row_findings: Sequence[Finding], *, source: str
) -> Iterator[Finding]:
    """Yield findings about the file as a whole, which often explain `row_findings`."""
    rows = boxes[boxes["checked"]]
    values = rows[list(FORMATS[config.box_format])].to_numpy(dtype=np.float64)
    sizes = rows[["image_width", "image_height"]].to_numpy(dtype=np.float64)
    if config.columns:
        # Without a size to fit into, nearly any numbers are a box in another format.
        has_size = np.isfinite(limits(sizes, config.box_units).max(axis=1))
        misfit = _fails(rows, row_findings, "corner_order") | (_fails(rows, row_findings, "outside_image") & has_size)
        if misfit.any():
            yield from _check_format(values, sizes, misfit, has_size, config, source)
            yield from _check_axes(values, sizes, misfit, has_size, config, source)
    if config.box_origin == 0 and config.box_units == "pixel" and config.box_format != "cxcywh":
        yield from _check_origin(values, sizes, config, source)
    if whole := SCALES.get(config.box_units):
        yield from _check_units(int((rows["largest_value"] > whole).sum()), len(rows), config, source)


def _fails(rows: Table, findings: Sequence[Finding], rule: str) -> Mask:
    return rows["row"].isin({finding.row for finding in findings if finding.rule == rule}).to_numpy()


def _check_format(
    values: Array, sizes: Array, misfit: Mask, has_size: Mask, config: DatasetConfig, source: str
) -> Iterator[Finding]:
    """Yield a finding if the boxes that do not fit their images would fit in another box format."""
    others = [name for name in FORMATS if name != config.box_format]
    encoding: dict[str, Any] = {"units": config.box_units, "origin": config.box_origin}
    fitting = {other: fits(values, sizes, box_format=other, **encoding) for other in others}
    best = max(others, key=lambda other: int((fitting[other] & misfit).sum()))
    explained, total = int((fitting[best] & misfit).sum()), len(values)
    if explained < MANY * total and (explained < MIN_BOXES or (fitting[best] & has_size).sum() < NEARLY_ALL * total):
        return
    got = f"{misfit.sum()} of {total} boxes wrong; "
    got += f"as {best}, {explained} of these would fit, and {fitting[best].sum()} of all"
    fix = f"are the columns {best} ({', '.join(FORMATS[best])})? set box_format: {best} in {DATASET_YAML}"
    finding = critical if explained > total / 2 else warning
    yield finding(source, f"read_as_{best}", expected=f"boxes in {config.box_format}", got=got, fix=fix)


def _check_axes(
    values: Array, sizes: Array, misfit: Mask, has_size: Mask, config: DatasetConfig, source: str
) -> Iterator[Finding]:
    """Yield a finding if nearly all boxes would fit their images with y before x."""
    encoding: dict[str, Any] = {"box_format": config.box_format, "units": config.box_units, "origin": config.box_origin}
    fitting = fits(values[:, [1, 0, 3, 2]], sizes, **encoding)
    if (fitting & has_size).sum() >= NEARLY_ALL * len(values) and (fitting & misfit).sum() >= MIN_BOXES:
        got = f"{misfit.sum()} of {len(values)} boxes wrong; with x and y swapped, {fitting.sum()} of all would fit"
        fix = f"are the columns y before x? set `columns.box` in {DATASET_YAML}, in the order x, y, x, y"
        yield warning(source, "read_as_yx", expected="x before y", got=got, fix=fix)


def _check_origin(values: Array, sizes: Array, config: DatasetConfig, source: str) -> Iterator[Finding]:
    """Yield a finding if pixels seem to be counted from 1, by the values as given, not as clipped."""
    edges = one_based_edges(values, sizes, box_format=config.box_format)
    if edges.suggest_one_based():
        got = f"boxes of which none starts below 1, {edges.at_one} start at 1, and {edges.at_end} end at their image's"
        fix = f"are pixels counted from 1, as in Pascal VOC? set box_origin: 1 in {DATASET_YAML}"
        expected = "pixels counted from 0"
        yield warning(source, "counted_from_one", expected=expected, got=f"{got} edge", fix=fix)


def _check_units(large: int, total: int, config: DatasetConfig, source: str) -> Iterator[Finding]:
    """Yield a finding if boxes declared as fractions of the image seem to be in pixels."""
    if large > total / 2:
        fix = f"are the boxes in pixels? set box_units: pixel in {DATASET_YAML}"
        if config.format == "yolo":
            fix = "are the boxes in pixels? YOLO's are fractions: divide them by the image's width and height"
        whole = SCALES[config.box_units]
        expected, got = (
            f"fractions of the image, in [0, {whole:g}]",
            f"{large} of {total} boxes with a value above {whole:g}",
        )
        yield critical(source, "pixel_coordinates", expected=expected, got=got, fix=fix)
