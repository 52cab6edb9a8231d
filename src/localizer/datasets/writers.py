"""Writing boxes as CSV, Pascal VOC, COCO or YOLO; the library globox builds the elements of the last three.

Coordinates are rounded to a billionth of a pixel, so that whole numbers, and all of up to DECIMALS decimals,
survive CSV, Pascal VOC and COCO exactly. YOLO's coordinates in [0, 1] are written in full, and survive to within 1e-6
of the image's side, since the reader takes one that misses the edge by less as the edge.
"""

import json
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from localizer.datasets.image_sizes import SIZE
from localizer.tables import EDGES, Table, write_table

if TYPE_CHECKING:
    from globox import AnnotationSet

Target = Literal["csv", "voc", "coco", "yolo"]
DECIMALS = 9
CSV_BOX = ("xmin", "ymin", "xmax", "ymax")


def write_boxes(boxes: Table, background: Table, output: Path, *, to: Target) -> None:
    """Write boxes and images without a box to a new file or folder, atomically.

    boxes: image, label, group, EDGES, and width and height as numbers. background: image, width and height, NaN where
    unknown; a row of a CSV without a box. Raises ValueError where the output exists.
    """
    check_new(output)
    part = output.with_name(f".{output.name}.part")
    _remove(part)
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        if to == "csv":
            _write_csv(pd.concat([boxes, background]), part)
        else:
            {"voc": _write_voc, "coco": _write_coco, "yolo": _write_yolo}[to](_annotation_set(boxes, background), part)
        part.rename(output)
    finally:
        _remove(part)


def check_new(output: Path) -> None:
    """Raise ValueError if the output is a file, a link, or a folder that is not empty."""
    if output.is_symlink() or output.is_file() or (output.is_dir() and any(output.iterdir())):
        raise ValueError(f"{output}: exists already; name another output, or remove it")


def label_path(image: str, suffix: str) -> str:
    """Return the path of an image's boxes, for Pascal VOC and YOLO: the image's with another suffix."""
    return PurePosixPath(image).with_suffix(suffix).as_posix()


def _write_csv(boxes: Table, path: Path) -> None:
    """Write one row per box, xyxy in pixels from 0, or per image without one; no columns that are empty."""
    numbers = boxes[[*EDGES, *SIZE]].map(lambda value: "" if np.isnan(value) else str(_plain(value)))
    texts = boxes[["image", "label", "group"]].fillna("")
    table = pd.concat([texts, numbers.set_axis([*CSV_BOX, *SIZE], axis=1)], axis=1)[
        ["image", "label", *CSV_BOX, *SIZE, "group"]
    ]
    unused = [name for name in ("label", *SIZE, "group") if (table[name] == "").all()]
    write_table(table.drop(columns=unused), path)


def _write_coco(annotations: "AnnotationSet", path: Path) -> None:
    """Write one JSON file, one element per line; ids count from 1, as some tools take 0 for none."""
    labels = sorted({box.label for box in annotations.all_boxes})
    content = annotations.to_coco(
        label_to_id={label: number for number, label in enumerate(labels, start=1)},
        imageid_to_id={image: number for number, image in enumerate(annotations.image_ids, start=1)},
    )
    for annotation in content["annotations"]:
        rounded = {"bbox": [_plain(value) for value in annotation["bbox"]], "area": _plain(annotation["area"])}
        annotation |= rounded | {"id": annotation["id"] + 1}
    lists = []
    for name, elements in content.items():
        lines = ",\n".join(json.dumps(element, ensure_ascii=False, allow_nan=False) for element in elements)
        lists.append(f'"{name}": [\n{lines}\n]')
    path.write_text("{\n" + ",\n".join(lists) + "\n}\n", encoding="utf-8")


def _write_voc(annotations: "AnnotationSet", folder: Path) -> None:
    """Write one .xml file per image, pixels counted from 1 as in the challenge's own files: see `DatasetConfig`."""
    for annotation in annotations:
        tree = annotation.to_xml()
        for corner in [*tree.iterfind("object/bndbox/xmin"), *tree.iterfind("object/bndbox/ymin")]:
            corner.text = str(_plain(float(corner.text or "nan") + 1))
        ElementTree.indent(tree)
        path = _with_folder(folder / label_path(annotation.image_id, ".xml"))
        path.write_text(ElementTree.tostring(tree, encoding="unicode") + "\n", encoding="utf-8")


def _write_yolo(annotations: "AnnotationSet", folder: Path) -> None:
    """Write labels/, with one .txt file per image, and data.yaml, which names the classes."""
    numbers = {label: number for number, label in enumerate(sorted({box.label for box in annotations.all_boxes}))}
    for annotation in annotations:
        lines = annotation.to_yolo_darknet(label_to_id=numbers) + "\n" if annotation.boxes else ""
        path = _with_folder(folder / "labels" / label_path(annotation.image_id, ".txt"))
        path.write_text(lines, encoding="utf-8")
    # A JSON string is a quoted YAML string.
    names = [f"  {number}: {json.dumps(label, ensure_ascii=False)}\n" for label, number in numbers.items()]
    _with_folder(folder / "data.yaml").write_text("names:\n" + "".join(names), encoding="utf-8")


def _annotation_set(boxes: Table, background: Table) -> "AnnotationSet":
    """Return the images in their first order, each with its boxes; then those without a box."""
    from globox import Annotation, AnnotationSet, BoundingBox

    annotations = AnnotationSet()
    columns = [boxes["image"], boxes["label"], boxes[SIZE].to_numpy(), boxes[EDGES].to_numpy()]
    for image, label, size, edges in zip(*columns, strict=True):
        annotation = annotations.get(image)
        if annotation is None:
            annotation = Annotation(image, (int(size[0]), int(size[1])))
            annotations.add(annotation)
        annotation.add(BoundingBox(label=label, **dict(zip(CSV_BOX, map(_plain, edges.tolist()), strict=True))))
    for image, width, height in background[["image", *SIZE]].itertuples(index=False):
        annotations.add(Annotation(image, None if np.isnan(width) else (int(width), int(height))))
    return annotations


def _plain(value: float) -> int | float:
    """Return a number rounded to DECIMALS, whole numbers without a point."""
    rounded = round(value, DECIMALS)
    return int(rounded) if float(rounded).is_integer() else rounded


def _with_folder(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
