"""Collect what the pipeline's tables contain about one image: boxes, findings, duplicates, split and prediction."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from localizer import findings, former_names
from localizer.files import file_sha256
from localizer.tables import EDGES, Table, read_table

IMAGES = Path("tables/images.csv")
ANNOTATIONS = Path("tables/annotations.csv")
SPLIT = Path("tables/split.csv")
FINDINGS = Path("reports/validate/findings.csv")
QUARANTINE = Path("reports/validate/quarantine.csv")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
CONFIG = Path("tables/dataset.yaml")
TABLES = (SPLIT, IMAGES, ANNOTATIONS, CONFIG, FINDINGS, QUARANTINE, PREDICTIONS)

PREDICTED_EDGES = [f"pred_{edge}" for edge in EDGES]
ROW_KEY = ["file", "line", "element"]  # where an annotation is
COLUMNS = {
    IMAGES: ["image", "path", "sha256", "problem"],
    ANNOTATIONS: ["image", *ROW_KEY, "label", *EDGES],
    SPLIT: ["image", "split", "cluster"],
    FINDINGS: list(findings.COLUMNS),
    QUARANTINE: ["image", *ROW_KEY, "reasons"],
    PREDICTIONS: ["image", *PREDICTED_EDGES, "iou"],
}

Box = tuple[float | None, ...]  # xyxy in pixels of the upright image; None where the text was not a number


@dataclass(frozen=True)
class Annotation:
    """A row of the annotations; `set_aside` holds the reasons for its quarantine, empty if it has none."""

    file: str
    line: str
    element: str
    label: str
    box_xyxy_px: Box
    set_aside: str


@dataclass(frozen=True)
class FindingRecord:
    """A finding of validate on the image or one of its annotations."""

    place: str
    rule: str
    severity: str
    got: str
    expected: str
    fix: str


@dataclass(frozen=True)
class PredictionRecord:
    """The predicted box and its IoU with the annotated one."""

    box_xyxy_px: Box
    iou: float


@dataclass(frozen=True)
class ImageRecord:
    """All that the tables contain about an image; split, cluster and prediction are None if there is none.

    problem: why the image is unusable. cluster_members: the other images of its cluster. changed: the file
    that was asked for, else the one at `path`, differs from `sha256`. missing: the tables that do not exist.
    """

    image: str
    path: str
    dataset: str
    sha256: str
    problem: str
    changed: bool
    annotations: tuple[Annotation, ...]
    findings: tuple[FindingRecord, ...]
    split: str | None
    cluster: str | None
    cluster_members: tuple[str, ...]
    prediction: PredictionRecord | None
    missing: tuple[str, ...]


def find_images(asked: str) -> Table:
    """Return the rows of images.csv with this name or path, else those with the content of this file.

    Empty without a match or a table; several rows only if the dataset contains the same content several times.
    """
    images = _read(IMAGES)
    named = images[(images["path"] == Path(os.path.relpath(asked)).as_posix()) | (images["image"] == asked)]
    if named.empty and Path(asked).is_file():
        return images[images["sha256"] == file_sha256(Path(asked))]
    return named


def image_record(image: "pd.Series[Any]", *, asked: str) -> ImageRecord:
    """Return the record of an image, a row of `find_images`, from those tables that exist."""
    name, path = image["image"], image["path"]
    annotations, quarantine, predictions = (_rows(table, name) for table in (ANNOTATIONS, QUARANTINE, PREDICTIONS))
    splits = _read(SPLIT)
    split, cluster = next(iter(splits.loc[splits["image"] == name, ["split", "cluster"]].to_numpy()), (None, None))
    folder, file = Path(path).parts, Path(asked) if Path(asked).is_file() else Path(path)
    return ImageRecord(
        image=name,
        path=path,
        dataset=folder[1] if folder[:1] == ("data",) and len(folder) > 2 else "",
        sha256=image["sha256"],
        problem=image["problem"],
        changed=file.is_file() and image["sha256"] not in ("", file_sha256(file)),
        annotations=_annotations(annotations, quarantine),
        findings=_findings(path, annotations),
        split=split,
        cluster=cluster,
        cluster_members=tuple(splits.loc[(splits["cluster"] == cluster) & (splits["image"] != name), "image"]),
        prediction=next(
            (PredictionRecord(_box(row[PREDICTED_EDGES]), float(row["iou"])) for _, row in predictions.iterrows()), None
        ),
        missing=tuple(table.as_posix() for table in TABLES if not table.is_file()),
    )


def _annotations(annotations: Table, quarantine: Table) -> tuple[Annotation, ...]:
    rows = annotations.merge(quarantine[[*ROW_KEY, "reasons"]], on=ROW_KEY, how="left").fillna({"reasons": ""})
    return tuple(
        Annotation(row["file"], row["line"], row["element"], row["label"], _box(row[EDGES]), row["reasons"])
        for _, row in rows.iterrows()
    )


def _findings(path: str, annotations: Table) -> tuple[FindingRecord, ...]:
    """Return the findings on the image's file and those on its annotations, by line and, if it has one, by element."""
    table = _read(FINDINGS)
    selected = table["file"] == path
    for _, row in annotations.iterrows():
        matches = (table["file"] == row["file"]) & (table["line"] == row["line"])
        if row["element"]:
            matches &= (table["column"] + ".").str.startswith(row["element"] + ".")
        selected |= matches
    return tuple(
        FindingRecord(
            ":".join(filter(None, row[["file", "line", "column"]])),
            *row[["rule", "severity", "got", "expected", "fix"]],
        )
        for _, row in table[selected].iterrows()
    )


def _box(edges: "pd.Series[Any]") -> Box:
    return tuple(float(edge) if edge else None for edge in edges)


def _rows(path: Path, image: str) -> Table:
    table = _read(path)
    return table[table["image"] == image]


def _read(path: Path) -> Table:
    """Return a table's COLUMNS as text; no rows if the table does not exist, since its stage may not have run."""
    if not path.is_file():
        return pd.DataFrame(columns=COLUMNS[path], dtype=str)
    table = read_table(path).rename(columns=former_names.COLUMNS)
    if missing := [name for name in COLUMNS[path] if name not in table.columns]:
        raise ValueError(f"{path}: missing column {', '.join(missing)}; `dvc checkout` or `dvc repro` rebuilds it")
    return table[COLUMNS[path]]
