"""Making a data set's folder, data/NAME, from a person's own annotations and images."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ruamel.yaml import YAML

from localizer.boxes import BoxFormat
from localizer.config import parse
from localizer.dataset import DATASET_NAME, FIXED_ENCODING, DatasetConfig
from localizer.datasets.annotations import read_annotations, read_boxes, read_columns
from localizer.datasets.coordinates import parse_coordinates
from localizer.datasets.detection.box_encoding import (
    BoxEncoding,
    Guess,
    annotation_format,
    detect_encoding,
    trust_names,
)
from localizer.datasets.detection.columns import guess_columns
from localizer.datasets.image_sizes import annotated_sizes, header_sizes
from localizer.datasets.readers.yolo import names_file

NEXT = "# What each key means: docs/data-sets.md\n"
MAX_IN_GIT = 20_000_000  # bytes of annotations; more is given to DVC, as the images are
PATTERNS = {"voc": "**/*.xml", "yolo": "**/*.txt"}  # of the files of a folder of annotations

Evidence = Literal["whole", "names"]


@dataclass(frozen=True)
class DatasetProposal:
    """A card, and for each thing that was taken a line that says why."""

    card: DatasetConfig
    reasons: tuple[str, ...]


def propose_config(
    name: str, annotations: Path, choices: dict[str, Any], *, images: Path | None = None, evidence: Evidence = "whole"
) -> DatasetProposal:
    """Return the card of the annotations: what `choices` says, and the rest from the files.

    choices: keys of `DatasetConfig` and, below "columns", of `CsvColumns`; None stands for no choice. evidence: "whole"
    looks at all boxes and their images; "names" only where a CSV's columns have no usual names. Raises
    ValueError where format or columns can't be told, BadFileError where boxes are to be looked at and can't be read.
    """
    kind, where = annotation_format(annotations), f"data/{name}/dataset.yaml"
    values = {key: value for key, value in choices.items() if value is not None and key != "columns"}
    values |= {"title": name, "format": kind, "images": "images"}
    values["annotations"] = "annotations" if annotations.is_dir() else annotations.name
    reasons, named = [f"format: {kind}, by the {'files in the folder' if annotations.is_dir() else 'suffix'}"], None
    if kind == "csv":
        found = guess_columns(annotations, choices.get("columns") or {}, images=images)
        values["columns"], named = found.columns, found.named
        reasons += found.reasons
    card = parse(DatasetConfig, values, where=where)
    guess = _guess(card, annotations, images, values=values, named=named, evidence=evidence)
    if guess:
        values |= {"box_format": guess.box_format, "box_units": guess.box_units, "box_origin": guess.box_origin}
        reasons += guess.reasons if card.format == "csv" else guess.reasons[-1:]
    return DatasetProposal(parse(DatasetConfig, values, where=where), tuple(reasons))


def _guess(
    card: DatasetConfig,
    annotations: Path,
    images: Path | None,
    *,
    values: dict[str, Any],
    named: BoxFormat | None,
    evidence: Evidence,
) -> Guess | None:
    """Return how the boxes are written, None where the format itself says so."""
    if card.format in ("coco", "yolo") or (card.format == "voc" and evidence == "names"):
        return None
    box_format, units = FIXED_ENCODING.get(card.format, (values.get("box_format"), values.get("box_units")))
    told = BoxEncoding(box_format, units, values.get("box_origin"))
    names = f"the columns are called {', '.join(card.columns.box)}" if card.columns else ""
    if evidence == "names" and (named or told.box_format):
        return trust_names(told, named, names)
    boxes = read_boxes(card, annotations, images=images)
    sizes = annotated_sizes(boxes)
    if images is not None and np.isnan(sizes).any():
        sizes = np.where(np.isnan(sizes), header_sizes(boxes["image"].tolist(), images), sizes)
    return detect_encoding(parse_coordinates(boxes), sizes, told=told, named=named, names=names)


def unused_columns(card: DatasetConfig, annotations: Path) -> list[str]:
    """Return the columns of a CSV that the card takes nothing from."""
    columns = read_columns(card, annotations)
    return columns.loc[columns["used_as"] == "", "column"].tolist()


def create_dataset(
    name: str, card: DatasetConfig, *, annotations: Path, images: Path, root: Path = Path("data")
) -> Path:
    """Make data/NAME with its card and raw/; return the folder.

    Annotations are copied, as they will be edited; images are hard links, or else copies. Nothing is left
    behind where the annotations can't be read: ValueError says why.
    """
    if not re.fullmatch(DATASET_NAME, name):
        raise ValueError(
            f"{name!r}: the name of a data set has letters, digits, dots, _ and -, a letter or digit first"
        )
    folder = root / name
    if folder.exists():
        raise ValueError(f"{folder}: is there already; choose another name, or remove it")
    for path in (annotations, images):
        if not path.exists():
            raise ValueError(f"{path}: no such file or folder")
    part = root / f".{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        _copy_annotations(card, annotations, part / "raw" / card.annotations)
        _link(images, part / "raw" / card.images, pattern="**/*")
        _write_card(card, part / "dataset.yaml")
        read_annotations(card, part / "raw")
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def track(folder: Path, card: DatasetConfig) -> list[Path]:
    """Put the images of data/NAME under DVC's control, and annotations over MAX_IN_GIT; return what was put there."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    raw = folder / "raw"
    paths = [raw / card.images]
    if sum(path.stat().st_size for path, _ in _pairs(raw / card.annotations, raw, "**/*")) > MAX_IN_GIT:
        paths.append(raw / card.annotations)
    try:
        with Repo() as repo:
            repo.add([str(path) for path in paths])
    except DvcException as error:
        command = f"dvc add {' '.join(map(str, paths))}"
        raise ValueError(f"{raw}: not added to DVC ({error}); run `{command}` in the project's folder") from None
    return paths


def _copy_annotations(card: DatasetConfig, source: Path, target: Path) -> None:
    """Copy a file or the files of a folder that the format is made of, and the file that names YOLO's classes."""
    pairs = [*_pairs(source, target, PATTERNS.get(card.format, "*"))]
    names = names_file(source) if card.format == "yolo" else None
    for path, place in [*pairs, *([(names, target / names.name)] if names else [])]:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _link(source: Path, target: Path, *, pattern: str) -> None:
    """Link a file, or the regular files of a folder that match the pattern, below the target."""
    for path, place in _pairs(source, target, pattern):
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), place)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, place)


def _pairs(source: Path, target: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    if source.is_file():
        yield source, target
    for path in sorted(source.glob(pattern)) if source.is_dir() else []:
        if path.is_file():
            yield path, target / path.relative_to(source)


def _write_card(card: DatasetConfig, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(NEXT)
        YAML(typ="safe", pure=True).dump(card.model_dump(exclude_none=True), file)
