"""Bounds of drawn shapes: polygons, and rectangles whose corners are in any order."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from localizer.boxes import paired_iou, to_xyxy
from localizer.datasets.readers.json_text import as_dict, as_list, as_text
from localizer.findings import bad_file

SAMPLE, FEWEST, ALIKE = 200, 3, 0.5  # annotations whose polygons are compared with their boxes; least IoU of the two

NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?\Z")  # finite in double precision


def bounds(xs: Sequence[str], ys: Sequence[str]) -> list[str]:
    """Return xmin, ymin, xmax, ymax of points, as written; the first four texts where one is no number."""
    if not xs or not all(NUMBER.match(text.strip()) for text in (*xs, *ys)):
        return ([*xs[:1], *ys[:1], *xs[1:2], *ys[1:2]] + [""] * 4)[:4]
    return [min(xs, key=float), min(ys, key=float), max(xs, key=float), max(ys, key=float)]


def bounds_of_points(points: Any) -> list[str]:
    """Return the bounds of a JSON list of points: [x, y] or {x, y}."""
    pairs = [as_list(point) if isinstance(point, list) else _xy(point) for point in as_list(points)]
    return bounds(
        [as_text(pair[0]) if pair else "" for pair in pairs], [as_text(pair[-1]) if pair else "" for pair in pairs]
    )


def as_sides(box: Sequence[str]) -> list[str]:
    """Return xyxy as x, y, width, height; unchanged where one is no number."""
    if not all(NUMBER.match(text.strip()) for text in box):
        return list(box)
    left, top, right, bottom = map(float, box)
    return [str(value) for value in (left, top, right - left, bottom - top)]


def as_center(box: Sequence[str]) -> list[str]:
    """Return xyxy as center x, center y, width, height; unchanged where one is no number."""
    if not all(NUMBER.match(text.strip()) for text in box):
        return list(box)
    left, top, right, bottom = map(float, box)
    return [str(value) for value in ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)]


def drawn(box: Sequence[str]) -> list[str]:
    """Return x, y, width, height with positive sides: some tools write negative ones of a box drawn upwards."""
    if not all(NUMBER.match(text) for text in box) or not any(text.startswith("-") for text in box[2:]):
        return list(box)
    x, y, width, height = map(float, box)
    return [str(value) for value in (min(x, x + width), min(y, y + height), abs(width), abs(height))]


def _xy(point: Any) -> list[Any]:
    return [as_dict(point).get("x"), as_dict(point).get("y")]


class PolygonBounds:
    """Gives the bounds of the first SAMPLE annotations' polygons: all polygons would take most of the memory."""

    def __init__(self) -> None:
        self._left = SAMPLE

    def of(self, value: Any) -> list[str]:
        """Return the bounds of COCO's polygons; an empty list of later ones, and of what are no polygons."""
        polygons = value if isinstance(value, list) else []
        if not self._left or not polygons or not all(isinstance(polygon, list) and polygon for polygon in polygons):
            return []
        self._left -= 1
        xs, ys = ([as_text(one) for polygon in polygons for one in polygon[start::2]] for start in (0, 1))
        return bounds(xs, ys)


def check_boxes_of_polygons(file: str, pairs: Sequence[tuple[Any, Any]]) -> None:
    """Raise BadFileError where most boxes, x, y, width, height, have little in common with their polygons' bounds."""
    known = [(box, shape) for box, shape in pairs if isinstance(shape, list) and _are_numbers([*box, *shape])]
    if len(known) < FEWEST:
        return
    boxes, shapes = (np.array(values, dtype=np.float64) for values in zip(*known, strict=True))
    apart = int((paired_iou(to_xyxy(boxes, "xywh"), shapes) < ALIKE).sum())
    if apart > len(known) / 2:
        got, fix = f"{apart} of {len(known)} elsewhere", "correct the boxes, or export them again"
        raise bad_file(file, "boxes_contradict_polygons", got=got, expected="boxes around their polygons", fix=fix)


def _are_numbers(values: list[Any]) -> bool:
    return len(values) == 8 and all(NUMBER.match(as_text(value)) for value in values)
