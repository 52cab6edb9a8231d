"""BoxEncoding boxes as CSV, Pascal VOC, COCO or YOLO; the library globox makes what the last three are made of.

Coordinates are rounded to a billionth of a pixel, so that whole numbers, and all of up to DECIMALS decimals,
come back exactly from CSV, Pascal VOC and COCO. YOLO's shares are written in full, and come back within 1e-6
of the image's side, since what reads them takes a share that misses the edge by less as the edge.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from xml.etree import ElementTree

import numpy as np

from localizer.boxes import Array
from localizer.tables import EDGES, Table, write_table

if TYPE_CHECKING:
    from globox import AnnotationSet

Target = Literal["csv", "voc", "coco", "yolo"]
DECIMALS = 9
CSV_BOX = ("xmin", "ymin", "xmax", "ymax")


class Empty(NamedTuple):
    """An image without a box; its width and height in pixels, None where unknown."""

    image: str
    size: tuple[int, int] | None


def write_boxes(boxes: Table, empty: Sequence[Empty], output: Path, *, to: Target) -> None:
    """Write boxes with EDGES, width and height (numbers) to a file or folder that is not there yet.

    A kill leaves no half result under that name. Raises ValueError where something is there already.
    """
    refuse_taken(output)
    part = output.with_name(f".{output.name}.part")
    _remove(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        if to == "csv":
            _write_csv(boxes, part)
        else:
            {"voc": _write_voc, "coco": _write_coco, "yolo": _write_yolo}[to](_annotation_set(boxes, empty), part)
        part.rename(output)
    finally:
        _remove(part)


def refuse_taken(output: Path) -> None:
    """Raise ValueError if a file, or a folder with something in it, is there already."""
    if output.is_symlink() or output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"{output}: is there already; name another output, or remove it")


def file_of(image: str, suffix: str) -> str:
    """Return the file of an image's boxes, for Pascal VOC and YOLO: its path with another suffix."""
    return PurePosixPath(image).with_suffix(suffix).as_posix()


def _write_csv(boxes: Table, path: Path) -> None:
    """Write a row a box, without the columns that hold nothing, xyxy in pixels from 0."""
    numbers = dict(zip(CSV_BOX, _texts(boxes[EDGES].to_numpy()).T, strict=True))
    sizes = dict(zip(("width", "height"), _texts(boxes[["width", "height"]].to_numpy()).T, strict=True))
    table = boxes[["image", "label"]].assign(**numbers, **sizes, group=boxes["group"])
    unused = [name for name in ("label", "width", "height", "group") if (table[name] == "").all()]
    write_table(table.drop(columns=unused), path)


def _write_coco(found: "AnnotationSet", path: Path) -> None:
    """Write one JSON file, an element a line; ids count from 1, as tools take 0 for none."""
    labels = sorted({box.label for box in found.all_boxes})
    content = found.to_coco(
        label_to_id={label: number for number, label in enumerate(labels, start=1)},
        imageid_to_id={image: number for number, image in enumerate(found.image_ids, start=1)},
    )
    for annotation in content["annotations"]:
        rounded = {"bbox": [_plain(value) for value in annotation["bbox"]], "area": _plain(annotation["area"])}
        annotation |= rounded | {"id": annotation["id"] + 1}
    lists = []
    for name, elements in content.items():
        lines = ",\n".join(json.dumps(element, ensure_ascii=False, allow_nan=False) for element in elements)
        lists.append(f'"{name}": [\n{lines}\n]')
    path.write_text("{\n" + ",\n".join(lists) + "\n}\n", encoding="utf-8")


def _write_voc(found: "AnnotationSet", folder: Path) -> None:
    """Write an .xml file an image, pixels counted from 1 as the challenge's own files do: see `DatasetConfig`."""
    for annotation in found:
        tree = annotation.to_xml()
        for corner in [*tree.iterfind("object/bndbox/xmin"), *tree.iterfind("object/bndbox/ymin")]:
            corner.text = str(_plain(float(corner.text or "nan") + 1))
        ElementTree.indent(tree)
        place = _with_folder(folder / file_of(annotation.image_id, ".xml"))
        place.write_text(ElementTree.tostring(tree, encoding="unicode") + "\n", encoding="utf-8")


def _write_yolo(found: "AnnotationSet", folder: Path) -> None:
    """Write labels/, a .txt file an image, and data.yaml, which names the classes."""
    numbers = {label: number for number, label in enumerate(sorted({box.label for box in found.all_boxes}))}
    for annotation in found:
        lines = annotation.to_yolo_darknet(label_to_id=numbers) + "\n" if annotation.boxes else ""
        place = _with_folder(folder / "labels" / file_of(annotation.image_id, ".txt"))
        place.write_text(lines, encoding="utf-8")
    # A JSON text is a YAML text in quotes.
    names = [f"  {number}: {json.dumps(label, ensure_ascii=False)}\n" for label, number in numbers.items()]
    _with_folder(folder / "data.yaml").write_text("names:\n" + "".join(names), encoding="utf-8")


def _annotation_set(boxes: Table, empty: Sequence[Empty]) -> "AnnotationSet":
    """Return the images in the order in which they come, each with its boxes."""
    from globox import Annotation, AnnotationSet, BoundingBox

    found = AnnotationSet()
    columns = [boxes["image"], boxes["label"], boxes[["width", "height"]].to_numpy(), boxes[EDGES].to_numpy()]
    for image, label, size, edges in zip(*columns, strict=True):
        annotation = found.get(image)
        if annotation is None:
            annotation = Annotation(image, (int(size[0]), int(size[1])))
            found.add(annotation)
        corners = dict(zip(CSV_BOX, map(_plain, edges.tolist()), strict=True))
        annotation.add(BoundingBox(label=label, **corners))
    for image, size in empty:
        if found.get(image) is None:
            found.add(Annotation(image, size))
    return found


def _plain(value: float) -> int | float:
    """Return a number rounded to DECIMALS, whole numbers without a point."""
    rounded = round(value, DECIMALS)
    return int(rounded) if float(rounded).is_integer() else rounded


def _texts(numbers: Array) -> Any:
    """Return numbers as text, empty for NaN."""
    texts = ["" if np.isnan(value) else str(_plain(value)) for value in numbers.ravel().tolist()]
    return np.array(texts, dtype=object).reshape(numbers.shape)


def _with_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
