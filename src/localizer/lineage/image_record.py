"""What the pipeline's tables say of one image: its boxes, findings, copies, side of the split, and prediction."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from localizer.files import file_sha256
from localizer.former_names import COLUMNS
from localizer.tables import EDGES, Table, read_table

IMAGES = Path("tables/images.csv")
ANNOTATIONS = Path("tables/annotations.csv")
SPLIT = Path("tables/split.csv")
FINDINGS = Path("reports/validate/findings.csv")
QUARANTINE = Path("reports/validate/quarantine.csv")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
CARD = Path("tables/dataset.yaml")
TABLES = (SPLIT, IMAGES, ANNOTATIONS, CARD, FINDINGS, QUARANTINE, PREDICTIONS)
PREDICTED = [f"pred_{edge}" for edge in EDGES]

Box = tuple[float | None, ...]  # xyxy in pixels of the upright image; None where the text was no number


@dataclass(frozen=True)
class Annotation:
    """A row of the annotations; `set_aside` is why validate quarantined it, empty if it did not."""

    file: str
    line: str
    element: str
    label: str
    box_xyxy_px: Box
    set_aside: str


@dataclass(frozen=True)
class Told:
    """A finding of validate about the image or one of its rows."""

    place: str
    rule: str
    severity: str
    got: str
    expected: str
    fix: str


@dataclass(frozen=True)
class Prediction:
    """The box that the model put on the image, and its IoU with the annotated one."""

    box_xyxy_px: Box
    iou: float


@dataclass(frozen=True)
class Whereabouts:
    """An image as the tables have it; sides, cluster and prediction are None where it has none.

    problem: why it can't be used. copies: the other images of its cluster. changed: the file given, or the one
    at `path`, has other content than the tables tell of. missing: the tables that are not there.
    """

    image: str
    path: str
    dataset: str
    sha256: str
    problem: str
    changed: bool
    annotations: tuple[Annotation, ...]
    findings: tuple[Told, ...]
    side: str | None
    cluster: str | None
    copies: tuple[str, ...]
    prediction: Prediction | None
    missing: tuple[str, ...]


def find_images(asked: str) -> Table:
    """Return the rows of the images' table for a path or a name in it, else for a file of the same content.

    Empty where there is none, or no table; more than one row only for a file that the data set has several times.
    """
    images = _read(IMAGES, ["image", "path", "sha256", "problem"])
    path = Path(asked)
    inside = path.resolve().relative_to(Path.cwd()) if path.resolve().is_relative_to(Path.cwd()) else path
    named = images[(images["path"] == inside.as_posix()) | (images["image"] == asked)]
    if named.empty and path.is_file():
        return images[images["sha256"] == file_sha256(path)]
    return named


def whereabouts(row: "pd.Series[Any]", *, asked: str) -> Whereabouts:
    """Return what the tables that are there say of the image of one row of `find_images`."""
    image, path = row["image"], row["path"]
    boxes, split = _rows(ANNOTATIONS, image), _rows(SPLIT, image)
    cluster = split["cluster"].iloc[0] if len(split) else None
    cluster_mates = _read(SPLIT, ["image", "cluster"]) if cluster else split
    parts = Path(path).parts
    return Whereabouts(
        image=image,
        path=path,
        dataset=parts[1] if parts[:1] == ("data",) and len(parts) > 2 else "",
        sha256=row["sha256"],
        problem=row["problem"],
        changed=_is_changed(Path(asked) if Path(asked).is_file() else Path(path), row["sha256"]),
        annotations=_annotations(boxes, _rows(QUARANTINE, image)),
        findings=_findings(path, boxes),
        side=split["split"].iloc[0] if len(split) else None,
        cluster=cluster,
        copies=tuple(cluster_mates.loc[(cluster_mates["cluster"] == cluster), "image"].drop(split.index)),
        prediction=_prediction(_rows(PREDICTIONS, image)),
        missing=tuple(table.as_posix() for table in TABLES if not table.is_file()),
    )


def _annotations(boxes: Table, set_aside: Table) -> tuple[Annotation, ...]:
    places = zip(set_aside["file"], set_aside["line"], set_aside["element"], strict=True)
    reasons = dict(zip(places, set_aside["reasons"], strict=True))
    return tuple(
        Annotation(
            row["file"],
            row["line"],
            row["element"],
            row["label"],
            _box(row, EDGES),
            reasons.get((row["file"], row["line"], row["element"]), ""),
        )
        for _, row in boxes.iterrows()
    )


def _findings(path: str, boxes: Table) -> tuple[Told, ...]:
    """Return the findings about the image's file, and those about its rows: by line, and element where one is told."""
    found = _read(FINDINGS, ["file", "line", "column", "rule", "severity", "got", "expected", "fix"])
    mine = found["file"] == path
    for _, row in boxes.iterrows():
        here = (found["file"] == row["file"]) & (found["line"] == row["line"])
        if row["element"]:
            here &= (found["column"] + ".").str.startswith(row["element"] + ".")
        mine |= here
    return tuple(
        Told(_place(row), *row[["rule", "severity", "got", "expected", "fix"]]) for _, row in found[mine].iterrows()
    )


def _prediction(rows: Table) -> Prediction | None:
    if rows.empty:
        return None
    return Prediction(_box(rows.iloc[0], PREDICTED), float(rows["iou"].iloc[0]))


def _box(row: "pd.Series[Any]", names: Sequence[str]) -> Box:
    return tuple(float(row[name]) if row[name] else None for name in names)


def _place(row: "pd.Series[Any]") -> str:
    return ":".join(part for part in (row["file"], row["line"], row["column"]) if part)


def _is_changed(file: Path, sha256: str) -> bool:
    return file.is_file() and bool(sha256) and file_sha256(file) != sha256


def _rows(table: Path, image: str) -> Table:
    names = {
        ANNOTATIONS: ["image", "file", "line", "element", "label", *EDGES],
        QUARANTINE: ["image", "file", "line", "element", "reasons"],
        SPLIT: ["image", "split", "cluster"],
        PREDICTIONS: ["image", *PREDICTED, "iou"],
    }[table]
    found = _read(table, names)
    return found[found["image"] == image]


def _read(table: Path, names: list[str]) -> Table:
    """Return columns of a table as text; without rows where it is not there, since its stage may not have run."""
    if not table.is_file():
        return pd.DataFrame(columns=names, dtype=str)
    found = read_table(table).rename(columns=COLUMNS)
    if lacking := [name for name in names if name not in found.columns]:
        raise ValueError(f"{table}: no column {', '.join(lacking)}; `dvc checkout` or `dvc repro` makes it anew")
    return found[names]
