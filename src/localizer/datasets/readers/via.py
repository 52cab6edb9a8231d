"""VGG Image Annotator, versions 1 and 2: a project, its JSON or its CSV, with shapes of several kinds."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.datasets.readers.csv import csv_records
from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.shapes import as_sides, bounds
from localizer.datasets.readers.table import Layout, split_object
from localizer.findings import BadFileError

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "VGG Image Annotator (VIA) 1 and 2"
PATTERN = "*"
COLUMNS = {"region_shape_attributes", "region_attributes"}
LABELS = ("label", "class", "type", "category", "name", "object")  # attributes that may be the label; the first wins
Region = tuple[int | None, str, str, dict[str, Any], dict[str, Any]]  # line, place, image, shape, attributes


def sniff(path: Path) -> bool:
    if path.suffix.lower() == ".csv":
        try:
            return set(next(csv_records(path, Layout()), (0, []))[1]) >= COLUMNS
        except BadFileError:
            return False
    return any(
        "regions" in as_dict(image) and "filename" in as_dict(image) for top in sniffed(path) for image in _images(top)
    )


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per rectangle, and the images without a region."""
    file, left = source.as_posix(), LeftOut()
    for line, place, image, shape, attributes in _csv(source) if source.suffix.lower() == ".csv" else _json(source):
        kind = as_text(shape.get("name"))
        if not shape:
            yield BackgroundImage(image)
        elif box := _box(kind, shape, config.shapes == "bounds"):
            yield Row(file, line, place, image, _label(attributes), "", *box)
        else:
            left.add(f"{kind} shapes")
    yield from left.items()


def _json(source: Path) -> Iterator[Region]:
    for document in documents(source):
        for image in map(as_dict, _images(document.value)):
            name = as_text(image.get("filename"))
            regions = as_list(image.get("regions"))
            for index, region in enumerate(map(as_dict, regions)):
                shape = as_dict(region.get("shape_attributes")) or {"name": "unknown"}
                yield None, f"{name}.regions[{index}]", name, shape, as_dict(region.get("region_attributes"))
            if not regions:
                yield None, "", name, {}, {}


def _csv(source: Path) -> Iterator[Region]:
    records = csv_records(source, Layout())
    header = [name.lstrip("#") for name in next(records, (0, []))[1]]
    for line, fields in records:
        values = dict(zip(header, fields, strict=False))
        shape, attributes = (
            split_object(values.get(f"region_{name}", "")) for name in ("shape_attributes", "attributes")
        )
        yield line, "", values.get("filename", ""), shape, attributes


def _images(top: Any) -> list[Any]:
    return as_list(as_dict(top).get("_via_img_metadata", top))


def _box(kind: str, shape: dict[str, Any], take_bounds: bool) -> list[str] | None:
    """Return x, y, width and height of a rectangle, or of a shape's bounds; None of one that is left out."""
    if kind == "rect":
        return texts(shape, "x", "y", "width", "height")
    if not take_bounds or kind not in ("polygon", "polyline"):
        return None
    xs, ys = ([as_text(value) for value in as_list(shape.get(f"all_points_{axis}"))] for axis in "xy")
    return as_sides(bounds(xs, ys))


def _label(attributes: dict[str, Any]) -> str:
    """Return the label: of an attribute called so, else of the only one. A choice of checkboxes is their first."""
    by_name = {key.lower(): value for key, value in attributes.items()}
    only = next(iter(attributes.values())) if len(attributes) == 1 else ""
    value = next((by_name[name] for name in LABELS if name in by_name), only)
    return next(iter(as_dict(value)), "") or as_text(value)
