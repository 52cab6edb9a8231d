"""Copying a run from the checkout's store to a server's: what is there already stays, so that nothing comes twice.

A run that was deleted on the server stays so; one that it doesn't know any more, since its database was restored or
replaced, is made anew.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from localizer.tracking.store import SENT, WHOLE, Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as Row

ORIGIN = "origin"  # on the server's run: the id in the store that it was copied from
RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")
NAMES_RUNS = ("stage.", "mlflow.parentRunId", "successor", "continues")


class Replicator:
    """Copies runs from one store to another, each to one run; a tag of the first store's run names it."""

    def __init__(self, local: Store, server: Store, *, address: str) -> None:
        self.local, self.server = local, server
        self._tag = f"{SENT}{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        self._known: set[str] = set()  # the server's runs that it was seen to have

    def unsent(self) -> list[str]:
        """Return the runs not noted as sent whole, oldest first, those within others before these; asks no server."""
        return _in_order(row for row in self.local.find("") if not self._is_whole(row))

    def lacking(self) -> list[str]:
        """Return, in the same order, the runs that the server hasn't whole by its own list, whatever was noted."""
        there = {str(row.info.run_id): row for row in self.server.find("", view="all")}
        self._known |= there.keys()
        ours = self.local.find("", view="all")  # those deleted here are not sent, but others may name them
        origins = {row.data.tags.get(ORIGIN): row for row in there.values()}
        copies = {row.info.run_id: there.get(self._noted(row)) or origins.get(row.info.run_id) for row in ours}
        active = {row.info.run_id: row for row in ours if row.info.lifecycle_stage == "active"}
        ids = dict.fromkeys(active, "gone") | {name: str(copy.info.run_id) for name, copy in copies.items() if copy}
        return _in_order(row for name, row in active.items() if not self._has(row, copies[name], ids))

    def _has(self, row: "Row", copy: "Row | None", ids: dict[str, str]) -> bool:
        """Return whether the copy is whole, as far as end and references tell; `ids` are the server's by ours."""
        if copy is None or copy.info.lifecycle_stage == "deleted":
            return copy is not None
        own = {name: _renamed(value, ids) for name, value in _own(row.data.tags).items() if name.startswith(NAMES_RUNS)}
        ends = [(one.info.status, one.info.end_time) for one in (row, copy)]
        return self._is_whole(row) and ends[0] == ends[1] and own.items() <= copy.data.tags.items()

    def _noted(self, row: "Row") -> str:
        """Return the server's run as ours names it; empty where it names none."""
        return str(row.data.tags.get(self._tag, "")).removesuffix(WHOLE)

    def _is_whole(self, row: "Row") -> bool:
        return str(row.data.tags.get(self._tag, "")).endswith(WHOLE)

    def copy(self, run_id: str) -> None:
        """Bring the server's run to the state of ours; an end comes last, so that what has ended is whole."""
        row = self.local.client.get_run(run_id)
        there = self._counterpart(row)
        known = self.server.client.get_run(there)
        if known.info.lifecycle_stage == "active":  # else someone threw it away
            self._bring(row, known)
        self.local.write_tags(run_id, {self._tag: there if row.info.status == "RUNNING" else f"{there}{WHOLE}"})

    def _bring(self, row: "Row", known: "Row") -> None:
        there = str(known.info.run_id)
        new = {name: value for name, value in row.data.params.items() if name not in known.data.params}
        self.server.write_params(there, new)
        self._metrics(row, known)
        self._inputs(row, known)
        tags = {name: self._translated(name, value) for name, value in _own(row.data.tags).items()}
        self.server.write_tags(there, {name: tags[name] for name in tags if known.data.tags.get(name) != tags[name]})
        self._artifacts(row, there)
        self._models(row, known)
        self._status(row, known)

    def _counterpart(self, row: "Row") -> str:
        """Return the server's run, making it and the one around it where they are missing."""
        there = self._found(row) or self._create(row)
        self._known.add(there)
        if there != self._noted(row):
            self.local.write_tags(row.info.run_id, {self._tag: there})
        return there

    def _found(self, row: "Row") -> str:
        """Return the server's run, deleted or not; empty where it has none.

        It is found by its origin, noted or not: a process may have been killed before it noted it. To ask for it by
        its id doesn't do, since a server with passwords forbids that alike for one that it doesn't have.
        """
        there = self._noted(row)
        if there in self._known:
            return there
        found = self.server.find(f"tags.{ORIGIN} = '{row.info.run_id}'", view="all")
        ids = [str(one.info.run_id) for one in found]
        return there if there in ids else next(iter(ids), "")

    def _create(self, row: "Row") -> str:
        """Make a run with the tags by which it is found; those that name other runs come when it is copied."""
        tags = {name: value for name, value in _own(row.data.tags).items() if not name.startswith(NAMES_RUNS)}
        if around := row.data.tags.get("mlflow.parentRunId"):
            tags["mlflow.parentRunId"] = self._there(around)
        made = self.server.client.create_run(
            self.server.experiment_id, row.info.start_time, tags | {ORIGIN: row.info.run_id}, row.info.run_name
        )
        return str(made.info.run_id)

    def _translated(self, name: str, value: str) -> str:
        if not name.startswith(NAMES_RUNS):
            return value
        return RUN_ID.sub(lambda found: self._there(found[0]), value)

    def _there(self, run_id: str) -> str:
        """Return the server's run of ours, made if it has none yet, so that what names it does so for good.

        That of a run which was deleted here is not made: our id stays.
        """
        from mlflow import MlflowException

        try:
            row = self.local.client.get_run(run_id)
        except MlflowException:  # a run that the server alone has
            return run_id
        if row.info.lifecycle_stage == "deleted":
            return self._found(row) or run_id
        return self._counterpart(row)

    def _metrics(self, row: "Row", known: "Row") -> None:
        for name in row.data.metrics:
            points = self.local.client.get_metric_history(row.info.run_id, name)
            if name in known.data.metrics:
                there = self.server.client.get_metric_history(known.info.run_id, name)
                have = {(point.timestamp, point.step, point.value) for point in there}
                points = [point for point in points if (point.timestamp, point.step, point.value) not in have]
            self.server.write_metrics(known.info.run_id, points)

    def _inputs(self, row: "Row", known: "Row") -> None:
        have = {given.dataset.digest for given in known.inputs.dataset_inputs}
        new = [given for given in row.inputs.dataset_inputs if given.dataset.digest not in have]
        if new:
            self.server.client.log_inputs(known.info.run_id, new)

    def _artifacts(self, row: "Row", there: str) -> None:
        root = _local_path(row.info.artifact_uri)
        files = sorted(path for path in root.rglob("*") if path.is_file())
        have = dict(self._listed(there)) if files else {}
        for path in files:
            place = path.relative_to(root)
            if have.get(place.as_posix()) != path.stat().st_size:
                folder = place.parent.as_posix()
                self.server.client.log_artifact(there, str(path), None if folder == "." else folder)

    def _listed(self, run_id: str, folder: str | None = None) -> Iterator[tuple[str, int]]:
        for file in self.server.client.list_artifacts(run_id, folder):
            if file.is_dir:
                yield from self._listed(run_id, file.path)
            else:
                yield file.path, file.file_size

    def _models(self, row: "Row", known: "Row") -> None:
        from mlflow.entities import LoggedModelOutput

        outputs = row.outputs.model_outputs if row.outputs else []
        have = {output.model_id for output in (known.outputs.model_outputs if known.outputs else [])}
        models = [self._model(self.local.client.get_logged_model(output.model_id)) for output in outputs]
        new = [LoggedModelOutput(model, step=0) for model in models if model not in have]
        if new:
            self.server.client.log_outputs(known.info.run_id, new)

    def _model(self, model: "LoggedModel") -> str:
        """Return the server's model, which is copied if it isn't there."""
        run = self._there(str(model.source_run_id))
        here = [self.server.experiment_id]
        found = self.server.client.search_logged_models(here, f"source_run_id = '{run}' and name = '{model.name}'")
        ready = [one for one in found if one.status == model.status]
        if ready:
            return str(ready[0].model_id)
        folder = _local_path(model.artifact_location)
        if not (folder / "MLmodel").is_file():
            raise FileNotFoundError(f"the files of a run's model are gone from {folder}")
        made = found[0] if found else self._begin(model, run)  # one that is there without all its files
        for cache in [*folder.rglob("__pycache__")]:  # of those who loaded the model where it lies
            shutil.rmtree(cache, ignore_errors=True)
        self.server.client.log_model_artifacts(made.model_id, str(folder))
        with tempfile.TemporaryDirectory() as rewritten:  # the description has the ids of run and model
            description = Path(rewritten, "MLmodel")
            _describe(folder / "MLmodel", description, run_id=run, model_id=str(made.model_id))
            self.server.client.log_model_artifact(made.model_id, str(description))
        return str(self.server.client.finalize_logged_model(made.model_id, model.status).model_id)

    def _begin(self, model: "LoggedModel", run: str) -> "LoggedModel":
        return self.server.client.create_logged_model(
            self.server.experiment_id, model.name, run, model_type=model.model_type, params=model.params
        )

    def _status(self, row: "Row", known: "Row") -> None:
        if row.info.status == "RUNNING":
            if known.info.status != "RUNNING":
                self.server.client.update_run(known.info.run_id, status="RUNNING")
        elif (row.info.status, row.info.end_time) != (known.info.status, known.info.end_time):
            self.server.client.set_terminated(known.info.run_id, row.info.status, row.info.end_time)


def _in_order(rows: "Iterable[Row]") -> list[str]:
    """Return the ids of runs, oldest first, those within others before these."""
    placed = sorted(rows, key=lambda row: ("mlflow.parentRunId" not in row.data.tags, row.info.start_time))
    return [str(row.info.run_id) for row in placed]


def _renamed(value: str, ids: dict[str, str]) -> str:
    """Return a tag's value with the server's ids for ours; those of runs that the server alone has stay."""
    return RUN_ID.sub(lambda found: ids.get(found[0], found[0]), value)


def _own(tags: dict[str, str]) -> dict[str, str]:
    """Return the tags that say something of the run itself."""
    return {name: value for name, value in tags.items() if not name.startswith(SENT)}


def _local_path(address: str) -> Path:
    return Path(unquote(urlsplit(address).path))


def _describe(source: Path, target: Path, *, run_id: str, model_id: str) -> None:
    from mlflow.models import Model

    description: Any = Model.load(str(source))
    description.run_id, description.model_id = run_id, model_id
    description.save(str(target))
