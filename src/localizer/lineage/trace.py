"""What is known of one model, image or run: the walk from it, and for an image what the tables say."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from localizer.lineage import image_record
from localizer.lineage.image_record import IMAGES, Whereabouts, find_images
from localizer.lineage.walk import trace_output, trace_run
from localizer.tables import Table
from localizer.tracking.history.records import RunRecord, StageRecord, run_record
from localizer.tracking.history.runs import History, runs_of_uri
from localizer.tracking.registry.models import logged_model_id
from localizer.tracking.registry.registry import VERSION_URI

WeightsOf = Callable[[Path], str]
SHOWN = 5  # runs of one name in a message


@dataclass(frozen=True)
class Source:
    """A table, its md5, and the stage and the run that made it, as far as they are known."""

    path: str
    digest: str
    stage: str | None
    run: str | None


@dataclass(frozen=True)
class Trace:
    """What is told: the keys of `localizer trace --json`."""

    asked: str
    kind: str
    step: StageRecord
    path: str | None = None
    digest: str | None = None
    image: Whereabouts | None = None
    tables: tuple[Source, ...] = ()


def trace(asked: str, address: str | None, history: History, *, weights_of: WeightsOf) -> Trace:
    """Return what is known of the one thing that is meant; ValueError if it is none, or several.

    address: see `address_of`. weights_of: gives the md5 of the weights that an ONNX file was exported from.
    """
    rows = runs_of_uri(history, address) if address else history.named(asked)
    images, is_file = find_images(asked), Path(asked).is_file()
    if rows and (is_file or len(images)):
        raise ValueError(f"{asked}: both a run and a file or image; write runs:/{asked} or ./{asked} (or its path)")
    if len(images):
        return _trace_image(asked, images, history)
    if is_file:
        return _trace_file(asked, history, weights_of)
    if len(rows) == 1:
        return Trace(asked, "run", trace_run(history, rows[0]))
    raise ValueError(f"{asked}: {_ambiguous([run_record(row) for row in rows]) if rows else _nothing(asked, history)}")


def address_of(asked: str) -> str | None:
    """Return the address of a run or logged model, that of a registered model's version too; None if none was asked."""
    if VERSION_URI.fullmatch(asked):
        return f"models:/{logged_model_id(asked)}"
    return asked if asked.startswith(("models:/", "runs:/")) else None


def _trace_file(asked: str, history: History, weights_of: WeightsOf) -> Trace:
    kind, digest, suffix = "output", _md5(Path(asked)), Path(asked).suffix
    path = history.output_path(digest, suffix=suffix)
    if path is None and suffix == ".onnx":
        kind, digest, suffix = "export", weights_of(Path(asked)), ".safetensors"
        path = history.output_path(digest, suffix=suffix)
    if path is None:
        this = f"a file {suffix or 'without a suffix'} of this content"
        what = "the weights that it was exported from" if kind == "export" else this
        raise ValueError(
            f"{asked}: no stage made {what}, md5 {digest}, by {_places(history)} and by dvc.lock; was it changed, or "
            "made in another store? (set MLFLOW_TRACKING_URI)"
        )
    return Trace(asked, kind, trace_output(history, path, digest), path, digest)


def _trace_image(asked: str, images: Table, history: History) -> Trace:
    """Start from the split that has the image, else from the table that says why it is in none."""
    if len(images) > 1:
        names = ", ".join(images["image"].head(SHOWN))
        raise ValueError(f"{asked}: {len(images)} images of the data set have this content; name one of them: {names}")
    image = image_record.whereabouts(images.iloc[0], asked=asked)
    set_aside = any(one.set_aside for one in image.annotations)
    table = image_record.SPLIT if image.side else image_record.QUARANTINE if set_aside else image_record.IMAGES
    step = trace_output(history, table.as_posix(), _md5(table))
    tables = tuple(_source(path, step, history) for path in image_record.TABLES if path.is_file())
    return Trace(asked, "image", step, table.as_posix(), _md5(table), image, tables)


def _source(table: Path, step: StageRecord, history: History) -> Source:
    """Return what made a table: a step that is told anyway, if one did, else the newest run."""
    path, digest = table.as_posix(), _md5(table)
    made = next((one for one in step.all() if one.run and one.outputs.get(path) == digest), None)
    if made and made.run:
        return Source(path, digest, made.stage, made.run.id)
    row = next(iter(history.producers(path, digest)), None)
    return Source(path, digest, row.data.tags["stage"] if row else None, row.info.run_id if row else None)


def _ambiguous(runs: list[RunRecord]) -> str:
    shown = "; ".join(f"{one.id} ({one.name}, {one.status})" for one in runs[:SHOWN])
    more = f"; and {len(runs) - SHOWN} older ones" if len(runs) > SHOWN else ""
    return f"{len(runs)} runs are meant by this, the newest first: {shown}{more}; write more of an id"


def _nothing(asked: str, history: History) -> str:
    if Path(asked).is_dir():
        return "a folder; name a file in it"
    table = f"in {IMAGES}" if IMAGES.is_file() else f"known ({IMAGES} is not there: `dvc checkout` or `dvc repro`)"
    return (
        f"no such file, no image of that name {table}, and no run or logged model of that id or name in "
        f"{_places(history)}; an id needs six characters, and files and tables are looked for in the working directory"
    )


def _places(history: History) -> str:
    return " and ".join(store.address for store in history.stores)


def _md5(path: Path) -> str:
    """Return the digest by which DVC knows a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
