"""Resolve what `localizer trace` was given to a file, an image or a run, and collect its provenance."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localizer.lineage.image_record import IMAGES, QUARANTINE, SPLIT, TABLES, ImageRecord, find_images, image_record
from localizer.lineage.walk import trace_output, trace_run
from localizer.pipeline.dvc_digest import file_md5
from localizer.tables import Table
from localizer.tracking.history.records import StageRecord, stage_record
from localizer.tracking.history.runs import History, list_some, runs_of_uri
from localizer.tracking.registry.models import logged_model_id
from localizer.tracking.registry.registry import VERSION_URI

MAX_LISTED = 5  # images in a message


@dataclass(frozen=True)
class TableOrigin:
    """A table, its md5, and the stage and run that wrote it, None if unknown."""

    path: str
    digest: str
    stage: str | None
    run: str | None


@dataclass(frozen=True)
class Trace:
    """The provenance of one file, image or run: the object that `localizer trace --json` prints."""

    asked: str
    kind: str
    step: StageRecord
    path: str | None = None
    digest: str | None = None
    image: ImageRecord | None = None
    tables: tuple[TableOrigin, ...] = ()


def trace(asked: str, uri: str | None, history: History, *, weights_of: Callable[[Path], str]) -> Trace:
    """Return the provenance of the one file, image or run that `asked` refers to; ValueError if it is none or several.

    uri: see `resolve_uri`. weights_of: returns the md5 of the weights that an ONNX file was exported from.
    """
    runs = runs_of_uri(history, uri) if uri else history.named(asked)
    images, is_file = find_images(asked), Path(asked).is_file()
    if runs and (is_file or len(images)):
        raise ValueError(f"{asked}: both a run and a file or image; write runs:/{asked} or ./{asked} (or its path)")
    if len(images):
        return _trace_image(asked, images, history)
    if is_file:
        return _trace_file(asked, history, weights_of)
    if len(runs) == 1:
        return Trace(asked, "run", trace_run(history, runs[0]))
    if not runs:
        raise ValueError(f"{asked}: {_not_found(asked, history)}")
    listed = list_some([f"{run.info.run_id} ({run.info.run_name}, {run.info.status})" for run in runs])
    raise ValueError(f"{asked}: {len(runs)} runs match, newest first: {listed}; write more of an id")


def resolve_uri(asked: str) -> str | None:
    """Return the URI of a run or logged model, for a registered version that of its model; None for other text."""
    if VERSION_URI.fullmatch(asked):
        return f"models:/{logged_model_id(asked)}"
    return asked if asked.startswith(("models:/", "runs:/")) else None


def _trace_file(asked: str, history: History, weights_of: Callable[[Path], str]) -> Trace:
    file = Path(asked)
    kind, digest, content = "output", file_md5(file), f"a file {file.suffix or 'without a suffix'} of this content"
    path = history.output_path(digest, suffix=file.suffix)
    if path is None and file.suffix == ".onnx":
        kind, digest, content = "export", weights_of(file), "the weights that it was exported from"
        path = history.output_path(digest, suffix=".safetensors")
    if path is None:
        raise ValueError(
            f"{asked}: no stage made {content}, md5 {digest}, according to {_stores(history)} and dvc.lock; was it "
            "changed, or made in another store? (set MLFLOW_TRACKING_URI)"
        )
    return Trace(asked, kind, trace_output(history, path, digest), path, digest)


def _trace_image(asked: str, images: Table, history: History) -> Trace:
    """Start from the split if it contains the image, else from the table that explains why it doesn't."""
    if len(images) > 1:
        names = ", ".join(images["image"].head(MAX_LISTED))
        raise ValueError(f"{asked}: {len(images)} images of the dataset have this content; name one of them: {names}")
    image = image_record(images.iloc[0], asked=asked)
    quarantined = any(annotation.set_aside for annotation in image.annotations)
    start = SPLIT if image.split else QUARANTINE if quarantined else IMAGES
    path, digest = start.as_posix(), file_md5(start)
    step = trace_output(history, path, digest)
    tables = tuple(_table_origin(table, step, history) for table in TABLES if table.is_file())
    return Trace(asked, "image", step, path, digest, image, tables)


def _table_origin(table: Path, step: StageRecord, history: History) -> TableOrigin:
    """Return what wrote a table: a step of the trace if one did, else the newest run."""
    path, digest = table.as_posix(), file_md5(table)
    producers = [other for other in step.all() if other.run and other.outputs.get(path) == digest]
    producer = next(iter(producers or map(stage_record, history.producers(path, digest))), None)
    run = producer.run if producer else None
    return TableOrigin(path, digest, producer.stage if producer else None, run.id if run else None)


def _not_found(asked: str, history: History) -> str:
    if Path(asked).is_dir():
        return "a folder; name a file in it"
    table = f"in {IMAGES}" if IMAGES.is_file() else f"known ({IMAGES} is missing: `dvc checkout` or `dvc repro`)"
    return (
        f"no such file, no image of that name {table}, and no run or logged model of that id or name in "
        f"{_stores(history)}; an id needs six characters, and files and tables are searched in the working directory"
    )


def _stores(history: History) -> str:
    return " and ".join(store.address for store in history.stores)
