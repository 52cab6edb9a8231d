"""Label Studio: JSON, JSON-MIN and CSV exports; boxes in per cent of the image's sides."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.datasets.image_names import last_name
from localizer.datasets.readers.csv import csv_records
from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, parse, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row
from localizer.datasets.readers.shapes import drawn
from localizer.datasets.readers.table import Layout
from localizer.findings import BadFileError

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "Label Studio JSON, JSON-MIN and CSV"
PATTERN = "*"
SIDES = ("x", "y", "width", "height")
KEPT = ("type", "original_width", "original_height", "item_index")  # of a result, beside its value
LABELS = ("rectanglelabels", "labels", "brushlabels", "choices")
Region = tuple[str, dict[str, Any]]  # the place in a JSON file, `[0].annotations[0].result[2]`, and the values
Task = tuple[int | None, str, list[Region] | None]  # line, image, regions; None: not annotated


def sniff(path: Path) -> bool:
    if path.suffix.lower() == ".csv":
        try:
            return any('"original_width"' in field for _, fields in csv_records(path, Layout()) for field in fields)
        except BadFileError:
            return False
    tasks = [as_dict(task) for value in sniffed(path) for task in (value if isinstance(value, list) else [value])]
    return any("data" in task and {"annotations", "completions"} & set(task) for task in tasks) or any(
        "original_width" in as_dict(region) for task in tasks for value in task.values() for region in _regions(value)
    )


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per rectangle of every annotation that wasn't cancelled, and the images annotated as empty."""
    file, left = source.as_posix(), LeftOut()
    for line, image, regions in _csv(source) if source.suffix.lower() == ".csv" else _json(source):
        if regions is None:
            left.add("tasks without an annotation")
        for place, region in regions or []:
            box = drawn(texts(region, *SIDES))
            if not all(key in region for key in SIDES) or "item_index" in region:
                left.add(f"regions of the kind {as_text(region.get('type')) or 'unknown'}")
            elif as_text(region.get("rotation")).strip("0.-"):
                left.add("rotated boxes")
            else:
                size = texts(region, "original_width", "original_height")
                yield Row(file, line, place, image, _label(region), "", *box, *size)
        if regions == []:
            yield BackgroundImage(image)
    yield from left.items()


def _json(source: Path) -> Iterator[Task]:
    for document in documents(source):
        tasks = document.value if isinstance(document.value, list) else [document.value]
        for index, task in enumerate(map(as_dict, tasks)):
            if "data" not in task:
                yield document.line, _image(task), _minimal(task, place=f"[{index}].")
                continue
            image, key = _image(as_dict(task["data"])), "annotations" if "annotations" in task else "completions"
            annotations = list(enumerate(map(as_dict, as_list(task.get(key)))))
            kept = [(number, one) for number, one in annotations if one.get("was_cancelled") is not True]
            for number, annotation in kept:
                place = f"[{index}].{key}[{number}].result"
                yield document.line, image, _merged(as_list(annotation.get("result")), place=place)
            if not kept:
                yield document.line, image, None


def _csv(source: Path) -> Iterator[Task]:
    records = csv_records(source, Layout())
    header = next(records, (0, []))[1]
    for line, fields in records:
        regions = [("", region) for _, region in _minimal({"": _parsed(fields)}, place="")]
        yield line, _image(dict(zip(header, fields, strict=False))), regions


def _parsed(fields: list[str]) -> list[Any]:
    """Return the regions in the fields of a record."""
    found: list[Any] = []
    for field in fields:
        try:
            found += as_list(parse(field)) if field.startswith("[") else []
        except ValueError:
            continue
    return found


def _minimal(task: dict[str, Any], *, place: str) -> list[Region]:
    regions = [(key, index, region) for key, value in task.items() for index, region in enumerate(_regions(value))]
    return [(f"{place}{key}[{index}]", region) for key, index, region in regions if region]


def _regions(value: Any) -> list[dict[str, Any]]:
    """Return the regions of a list, empty ones for other items; none of anything else."""
    items = map(as_dict, value) if isinstance(value, list) else ()
    return [item if SIDES[0] in item else {} for item in items]


def _merged(results: list[Any], *, place: str) -> list[Region]:
    """Return one region per id, placed where its first result is: a rectangle and its label may be two results."""
    regions: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}
    for index, result in enumerate(map(as_dict, results)):
        own: dict[str, Any] = {
            key: result[key] for key in ("type", "original_width", "original_height", "item_index") if key in result
        }
        own |= as_dict(result.get("value"))
        key = as_text(result.get("id")) or str(index)
        if any(own.get(side, "") != regions.get(key, own).get(side, own.get(side, "")) for side in SIDES):
            key = f"{key} {index}"  # another box of the same id
        regions.setdefault(key, {}).update(own)
        places.setdefault(key, f"{place}[{index}]")
    return [(places[key], region) for key, region in regions.items()]


def _label(region: dict[str, Any]) -> str:
    return next((as_text(label) for key in LABELS for label in as_list(region.get(key))), "")


def _image(data: dict[str, Any]) -> str:
    """Return the name of a task's image: of `image`, else of the only value that is called as an image file is."""
    called = [name for value in data.values() if last_name(name := as_text(value))[1]]
    return as_text(data.get("image")) or (called[0] if len(called) == 1 else "")
