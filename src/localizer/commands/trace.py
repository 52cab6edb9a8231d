"""`localizer trace`: where a model, an image or a run comes from, and what became of it.

With --json it prints one object of these keys; the records' keys are described where they are defined:

asked: what was asked for, as given
kind: `output` (a file that a stage made), `export` (an ONNX file of its weights), `image` or `run`
path, digest: the file that the walk starts from, as dvc.yaml names it, and its md5; null for a run
image: `localizer.data.whereabouts.Whereabouts`; null but for an image
tables: for an image the tables that tell of it: path, digest, and stage and run that made them, null if unknown
step: `localizer.tracking.steps.Step`, with the steps before and after it in made_from and used_by
"""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localizer.data.tables import Table
    from localizer.data.whereabouts import Whereabouts
    from localizer.tracking.steps import RunFacts, Step
    from localizer.tracking.tracing import History

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
    """What is told: see the module."""

    asked: str
    kind: str
    step: "Step"
    path: str | None = None
    digest: str | None = None
    image: "Whereabouts | None" = None
    tables: tuple[Source, ...] = ()


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "asked",
        metavar="MODEL|IMAGE|RUN",
        help="a file that the pipeline made, wherever it lies now, or an ONNX file of `localizer export`; the address "
        "of a model, models:/m-… or runs:/RUN/model, or of the champion, models:/localizer@champion; an image's file "
        "or name; a run's id, six characters of it or more, or its name",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all digests and ids")


def run(options: argparse.Namespace) -> int:
    """Tell what a model, an image or a run was made from, and what used it; nothing is written."""
    from localizer.commands.trace_text import lines
    from localizer.tracking.existing import open_existing
    from localizer.tracking.steps import read_lock
    from localizer.tracking.tracing import History

    address = _address(options.asked)  # before the stores are opened, so that a server that hangs is waited for once
    existing = open_existing()
    if existing.problem:
        print(f"localizer trace: {existing.problem}", file=sys.stderr)
    found = _trace(options.asked, address, History(existing.stores, read_lock()))
    print(json.dumps(asdict(found), indent=2) if options.json else "\n".join(lines(found)))
    return 0


def _trace(asked: str, address: str | None, history: "History") -> Trace:
    """Return what is known of the one thing that is meant; ValueError if it is none, or several."""
    from localizer.data.whereabouts import find_images
    from localizer.tracking.steps import facts
    from localizer.tracking.tracing import runs_of_address, trace_run

    rows = runs_of_address(history, address) if address else history.named(asked)
    images, is_file = find_images(asked), Path(asked).is_file()
    if rows and (is_file or len(images)):
        raise ValueError(f"{asked}: both a run and a file or image; write runs:/{asked} or ./{asked} (or its path)")
    if len(images):
        return _trace_image(asked, images, history)
    if is_file:
        return _trace_file(asked, history)
    if len(rows) == 1:
        return Trace(asked, "run", trace_run(history, rows[0]))
    raise ValueError(f"{asked}: {_ambiguous([facts(row) for row in rows]) if rows else _nothing(asked, history)}")


def _address(asked: str) -> str | None:
    """Return the address of a run or logged model, that of a registered model's version too; None if none was asked."""
    from localizer.tracking.models import model_of_address
    from localizer.tracking.registry import VERSION_ADDRESS

    if VERSION_ADDRESS.fullmatch(asked):
        return f"models:/{model_of_address(asked)}"
    return asked if asked.startswith(("models:/", "runs:/")) else None


def _trace_file(asked: str, history: "History") -> Trace:
    from localizer.tracking.tracing import trace_output

    kind, digest, suffix = "output", _md5(Path(asked)), Path(asked).suffix
    path = history.output_of(digest, suffix=suffix)
    if path is None and suffix == ".onnx":
        kind, digest, suffix = "export", _exported_from(asked), ".safetensors"
        path = history.output_of(digest, suffix=suffix)
    if path is None:
        this = f"a file {suffix or 'without a suffix'} of this content"
        what = "the weights that it was exported from" if kind == "export" else this
        raise ValueError(
            f"{asked}: no stage made {what}, md5 {digest}, by {_places(history)} and by dvc.lock; was it changed, or "
            "made in another store? (set MLFLOW_TRACKING_URI)"
        )
    return Trace(asked, kind, trace_output(history, path, digest), path, digest)


def _exported_from(asked: str) -> str:
    from localizer.commands.export import check_installed

    check_installed()
    from localizer.serving.onnx import weights_md5

    return weights_md5(Path(asked))


def _trace_image(asked: str, images: "Table", history: "History") -> Trace:
    """Start from the split that has the image, else from the table that says why it is in none."""
    from localizer.data import whereabouts
    from localizer.tracking.tracing import trace_output

    if len(images) > 1:
        names = ", ".join(images["image"].head(SHOWN))
        raise ValueError(f"{asked}: {len(images)} images of the data set have this content; name one of them: {names}")
    image = whereabouts.whereabouts(images.iloc[0], asked=asked)
    set_aside = any(one.set_aside for one in image.annotations)
    table = whereabouts.SPLIT if image.side else whereabouts.QUARANTINE if set_aside else whereabouts.IMAGES
    step = trace_output(history, table.as_posix(), _md5(table))
    tables = tuple(_source(path, step, history) for path in whereabouts.TABLES if path.is_file())
    return Trace(asked, "image", step, table.as_posix(), _md5(table), image, tables)


def _source(table: Path, step: "Step", history: "History") -> Source:
    """Return what made a table: a step that is told anyway, if one did, else the newest run."""
    path, digest = table.as_posix(), _md5(table)
    made = next((one for one in step.all() if one.run and one.outputs.get(path) == digest), None)
    if made and made.run:
        return Source(path, digest, made.stage, made.run.id)
    row = next(iter(history.makers(path, digest)), None)
    return Source(path, digest, row.data.tags["stage"] if row else None, row.info.run_id if row else None)


def _ambiguous(runs: "list[RunFacts]") -> str:
    shown = "; ".join(f"{one.id} ({one.name}, {one.status})" for one in runs[:SHOWN])
    more = f"; and {len(runs) - SHOWN} older ones" if len(runs) > SHOWN else ""
    return f"{len(runs)} runs are meant by this, the newest first: {shown}{more}; write more of an id"


def _nothing(asked: str, history: "History") -> str:
    from localizer.data.whereabouts import IMAGES

    if Path(asked).is_dir():
        return "a folder; name a file in it"
    table = f"in {IMAGES}" if IMAGES.is_file() else f"known ({IMAGES} is not there: `dvc checkout` or `dvc repro`)"
    return (
        f"no such file, no image of that name {table}, and no run or logged model of that id or name in "
        f"{_places(history)}; an id needs six characters, and files and tables are looked for in the working directory"
    )


def _places(history: "History") -> str:
    from localizer.tracking.store import without_user_info

    return " and ".join(without_user_info(store.client.tracking_uri) for store in history.stores)


def _md5(path: Path) -> str:
    """Return the digest by which DVC knows a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
