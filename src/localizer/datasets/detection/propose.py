"""Proposing the dataset.yaml of annotation files that nobody has described: detected, with the reasons."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from localizer.config import parse
from localizer.dataset import FIXED_ENCODING, DatasetConfig
from localizer.datasets.annotations import annotation_files, read_annotations
from localizer.datasets.coordinates import parse_coordinates
from localizer.datasets.detection.box_encoding import BoxEncoding, Detection, NamedColumns, detect_encoding
from localizer.datasets.detection.columns import detect_columns
from localizer.datasets.detection.file_format import GENERAL, detect_format
from localizer.datasets.detection.layout import detect_layout
from localizer.datasets.image_names import detect_image_names, image_files, renamed
from localizer.datasets.image_sizes import annotated_sizes, header_sizes
from localizer.datasets.readers.csv import Records, csv_records, field_count
from localizer.datasets.readers.table import Layout, json_records
from localizer.findings import Finding, bad_file, raise_if_any
from localizer.tables import Table

LAYOUT = ("encoding", "separator", "decimal", "header")  # keys that a person may give
CHUNK = 50_000  # rows turned into a table at a time


@dataclass(frozen=True)
class DatasetProposal:
    """A config, and one line of reason for each detected value."""

    config: DatasetConfig
    reasons: tuple[str, ...]


def propose_config(
    name: str, annotations: Path, choices: Mapping[str, Any], *, images: Path | None = None
) -> DatasetProposal:
    """Return the config of the annotations: `choices`, and the rest detected from all rows.

    choices: keys of `DatasetConfig` and, below "columns", of `CsvColumns`; None stands for no choice. Raises ValueError
    where the format can't be detected, BadFileError where the file can't be read, or where columns, boxes or the text's
    encoding stay unclear: it names the option to give.
    """
    kind, where = choices.get("format") or detect_format(annotations), f"data/{name}/dataset.yaml"
    values = {key: value for key, value in choices.items() if value is not None and key != "columns"}
    values |= {"title": name, "format": kind, "images": "images"}
    values["annotations"] = "annotations" if annotations.is_dir() else annotations.name
    reasons = [f"format: {kind}, by the {'files in the folder' if annotations.is_dir() else 'content'}"]
    named = NamedColumns()
    if kind in GENERAL:
        layout, why = _layout(kind, annotations, values)
        found = _columns(kind, annotations, layout, choices.get("columns") or {}, images)
        values |= vars(layout) | {"columns": found.columns}
        named, reasons = found.named, [*reasons, *why, *found.reasons]
    config = parse(DatasetConfig, values, where=where)
    read = read_annotations(config, annotations, images=images)
    names, why_names = detect_image_names(read.names(), images)
    boxes = read.boxes
    if names:
        values["image_names"] = names.model_dump()
        reasons.append(why_names)
        boxes = boxes.assign(image=boxes["image"].map(renamed(read.names(), images, names)))
    values |= _encoding(config, annotations, boxes, images, values, named, reasons)
    return DatasetProposal(parse(DatasetConfig, values, where=where), (*reasons, *read.left_out()))


def _layout(kind: str, annotations: Path, values: Mapping[str, Any]) -> tuple[Layout, list[str]]:
    if kind != "csv":
        return Layout(), []
    return detect_layout(annotation_files(kind, annotations)[0], {key: values.get(key) for key in LAYOUT})


def _columns(kind: str, annotations: Path, layout: Layout, given: Mapping[str, Any], images: Path | None) -> Any:
    """Return the columns of a table, or of the first file of a folder of tables."""
    file = annotation_files(kind, annotations)[0]
    records = json_records(file) if kind == "records" else csv_records(file, layout)
    line, header = next(records, (1, []))
    return detect_columns(file, line or None, _table(file, header, records), given, images=image_files(images))


def _table(file: Path, header: list[str], records: Records) -> Table:
    """Return the rows as text; BadFileError lists those that have not as many fields as the header."""
    ragged = list[Finding]()

    def complete() -> Iterator[list[str]]:
        for line, values in records:
            if len(values) == len(header):
                yield values
            else:
                ragged.append(field_count(file.as_posix(), line, len(values), len(header)))

    fields, chunks = complete(), list[Table]()
    while chunk := list(islice(fields, CHUNK)):
        chunks.append(pd.DataFrame(chunk, columns=header, dtype="str"))
    raise_if_any(ragged)
    table = pd.concat(chunks, ignore_index=True) if chunks else pd.DataFrame(columns=header, dtype="str")
    return table.loc[:, ~table.columns.duplicated()]


def _encoding(
    config: DatasetConfig,
    annotations: Path,
    boxes: Table,
    images: Path | None,
    values: dict[str, Any],
    named: NamedColumns,
    reasons: list[str],
) -> dict[str, Any]:
    """Return the keys of the box encoding, and add their reasons; of formats that fix it only Pascal VOC's origin."""
    fixed = FIXED_ENCODING.get(config.format)
    if (fixed and config.format != "voc") or boxes.empty:
        return {}
    box_format, units = fixed or (values.get("box_format"), values.get("box_units"))
    given = BoxEncoding(box_format, units, values.get("box_origin"))
    found = detect_encoding(parse_coordinates(boxes), _sizes(boxes, images), given=given, named=named)
    reasons += found.reasons[-1:] if fixed else found.reasons
    if not fixed:
        _check_clear(annotations, found, given)
        box = values["columns"]["box"]
        values["columns"] = values["columns"] | {"box": [box[index] for index in found.order]}
    return vars(found.encoding)


def _sizes(boxes: Table, images: Path | None) -> np.ndarray:
    """Return the sizes of the boxes' images, [N, 2]: of their files, else as annotated, else NaN."""
    sizes = annotated_sizes(boxes)
    if images is not None:
        from_files = header_sizes(boxes["image"].tolist(), images)
        sizes = np.where(np.isnan(from_files), sizes, from_files)
    return sizes


def _check_clear(annotations: Path, found: Detection, given: BoxEncoding) -> None:
    """Raise BadFileError where two encodings fit as well, or none fits."""
    file = annotations.as_posix()
    if found.unclear:
        expected, fix = "boxes that only one format fits", "pass --box-format with the one that is right"
        raise bad_file(file, "box_format_unclear", got=found.unclear, expected=expected, fix=fix)
    if found.misfit is not None:
        best = f"{found.encoding.box_format} in {found.encoding.box_units}s"
        got = f"at best {found.misfit:.0%} within them, as {best}"
        fix = "correct --images or --box-columns, or pass --box-format and --box-units"
        raise bad_file(file, "boxes_misfit", got=got, expected="boxes within their images", fix=fix)
