"""Creating a data set's folder, data/NAME, from a person's own annotations and images."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ruamel.yaml import YAML

from localizer.config import parse
from localizer.dataset import DATASET_NAME, FIXED_ENCODING, DatasetConfig
from localizer.datasets.annotations import READERS, detect_format, read_boxes, read_columns
from localizer.datasets.coordinates import parse_coordinates
from localizer.datasets.detection.box_encoding import (
    BoxEncoding,
    Detection,
    NamedColumns,
    detect_encoding,
    trust_names,
)
from localizer.datasets.detection.columns import detect_columns
from localizer.datasets.image_sizes import annotated_sizes, header_sizes
from localizer.datasets.readers.yolo import names_file

HEADING = "# What each key means: docs/reference/dataset-yaml.md\n"
MAX_IN_GIT = 20_000_000  # bytes of annotations; DVC tracks more, as it does the images

DetectBy = Literal["boxes", "names"]


@dataclass(frozen=True)
class DatasetProposal:
    """A config, and one line of reason for each detected value."""

    config: DatasetConfig
    reasons: tuple[str, ...]


def propose_config(
    name: str, annotations: Path, choices: dict[str, Any], *, images: Path | None = None, detect_by: DetectBy = "boxes"
) -> DatasetProposal:
    """Return the config of the annotations: `choices`, and the rest detected from the files.

    choices: keys of `DatasetConfig` and, below "columns", of `CsvColumns`; None stands for no choice. detect_by:
    "boxes" reads all boxes and the sizes of their images; "names" only where a CSV's columns have no usual names.
    Raises ValueError where format or columns can't be detected, BadFileError where boxes have to be read and can't.
    """
    kind, where = detect_format(annotations), f"data/{name}/dataset.yaml"
    values = {key: value for key, value in choices.items() if value is not None and key != "columns"}
    values |= {"title": name, "format": kind, "images": "images"}
    values["annotations"] = "annotations" if annotations.is_dir() else annotations.name
    reasons = [f"format: {kind}, by the {'files in the folder' if annotations.is_dir() else 'suffix'}"]
    named = NamedColumns()
    if kind == "csv":
        found = detect_columns(annotations, choices.get("columns") or {}, images=images)
        values["columns"], named = found.columns, found.named
        reasons += found.reasons
    config = parse(DatasetConfig, values, where=where)
    if config.format == "csv" or (config.format == "voc" and detect_by == "boxes"):
        box_format, units = FIXED_ENCODING.get(config.format, (values.get("box_format"), values.get("box_units")))
        given = BoxEncoding(box_format, units, values.get("box_origin"))
        if detect_by == "names" and (named.box_format or box_format):
            detected = trust_names(given, named)
        else:
            detected = _detect_from_boxes(config, annotations, images, given=given, named=named)
        values |= vars(detected.encoding)
        reasons += detected.reasons if config.format == "csv" else detected.reasons[-1:]
    return DatasetProposal(parse(DatasetConfig, values, where=where), tuple(reasons))


def _detect_from_boxes(
    config: DatasetConfig, annotations: Path, images: Path | None, *, given: BoxEncoding, named: NamedColumns
) -> Detection:
    boxes = read_boxes(config, annotations, images=images)
    sizes = annotated_sizes(boxes)
    if images is not None and np.isnan(sizes).any():
        sizes = np.where(np.isnan(sizes), header_sizes(boxes["image"].tolist(), images), sizes)
    return detect_encoding(parse_coordinates(boxes), sizes, given=given, named=named)


def unused_columns(config: DatasetConfig, annotations: Path) -> list[str]:
    """Return the columns of a CSV that the config does not use."""
    columns = read_columns(config, annotations)
    return columns.loc[columns["used_as"] == "", "column"].tolist()


def create_dataset(
    name: str, config: DatasetConfig, *, annotations: Path, images: Path, root: Path = Path("data")
) -> Path:
    """Create data/NAME with dataset.yaml and raw/, all or nothing; return the folder.

    Annotations are copied, as they will be edited; images are hard links, or else copies. ValueError if the name
    is taken or invalid, or a path is missing; BadFileError if the annotations can't be read.
    """
    if not re.fullmatch(DATASET_NAME, name):
        raise ValueError(
            f"{name!r}: the name of a data set has letters, digits, dots, _ and -, a letter or digit first"
        )
    folder = root / name
    if folder.exists():
        raise ValueError(f"{folder}: exists already; choose another name, or remove it")
    for path in (annotations, images):
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
    part = root / f".{name}.part"
    raw = part / "raw"
    shutil.rmtree(part, ignore_errors=True)
    try:
        _copy_annotations(config, annotations, raw / config.annotations)
        _link(images, raw / config.images)
        _write_config(config, part / "dataset.yaml")
        read_boxes(config, raw / config.annotations, images=raw / config.images)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def track(folder: Path, config: DatasetConfig) -> list[Path]:
    """Add the images of data/NAME to DVC, and annotations over MAX_IN_GIT; return what was added."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    raw = folder / "raw"
    paths = [raw / config.images]
    if sum(path.stat().st_size for path, _ in _pairs(raw / config.annotations, raw, "**/*")) > MAX_IN_GIT:
        paths.append(raw / config.annotations)
    try:
        with Repo() as repo:
            repo.add([str(path) for path in paths])
    except DvcException as error:
        command = f"dvc add {' '.join(map(str, paths))}"
        raise ValueError(f"{raw}: not added to DVC ({error}); run `{command}` in the project's folder") from None
    return paths


def _copy_annotations(config: DatasetConfig, source: Path, target: Path) -> None:
    """Copy a file, or the files of the format in a folder, and the file that names YOLO's classes."""
    pairs = list(_pairs(source, target, READERS[config.format].PATTERN))
    if config.format == "yolo" and (names := names_file(source)):
        pairs.append((names, target / names.name))
    for path, copy in pairs:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _link(images: Path, target: Path) -> None:
    """Create hard links, or else copies, of the files in a folder."""
    for path, link in _pairs(images, target, "**/*"):
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), link)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, link)


def _pairs(source: Path, target: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    """Yield a file, or the files in a folder that match the pattern, each with its path in the target."""
    if source.is_file():
        yield source, target
    for path in sorted(source.glob(pattern)) if source.is_dir() else []:
        if path.is_file():
            yield path, target / path.relative_to(source)


def _write_config(config: DatasetConfig, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADING)
        YAML(typ="safe", pure=True).dump(config.model_dump(exclude_none=True), file)
