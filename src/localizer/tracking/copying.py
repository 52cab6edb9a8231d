"""Copying a run from the checkout's store to a server's: what is there already stays, so that nothing comes twice."""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from localizer.tracking.store import SENT, WHOLE, Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as Row

ORIGIN = "origin"  # on the server's run: the id in the store that it was copied from
NAMES_RUNS = ("stage.", "mlflow.parentRunId", "successor", "continues")


class Copier:
    """Copies runs from one store to another, each to one run; a tag of the first store's run names it."""

    def __init__(self, local: Store, server: Store, *, address: str) -> None:
        self.local, self.server = local, server
        self._tag = f"{SENT}{hashlib.sha256(address.encode()).hexdigest()[:8]}"

    def unsent(self) -> list[str]:
        """Return the runs that the server hasn't whole, oldest first, those within others before these."""
        rows = [row for row in self.local.find("") if not row.data.tags.get(self._tag, "").endswith(WHOLE)]
        rows.sort(key=lambda row: ("mlflow.parentRunId" not in row.data.tags, row.info.start_time))
        return [str(row.info.run_id) for row in rows]

    def copy(self, run_id: str) -> None:
        """Bring the server's run to the state of ours; an end comes last, so that what has ended is whole."""
        row = self.local.client.get_run(run_id)
        there = self._counterpart(row)
        known = self.server.client.get_run(there)
        new = {name: value for name, value in row.data.params.items() if name not in known.data.params}
        self.server.write_params(there, new)
        self._metrics(row, known)
        self._inputs(row, known)
        tags = {name: self._translated(name, value) for name, value in _own(row.data.tags).items()}
        self.server.write_tags(there, {name: tags[name] for name in tags if known.data.tags.get(name) != tags[name]})
        self._artifacts(row, there)
        self._models(row, known)
        self._status(row, known)
        self.local.write_tags(run_id, {self._tag: there if row.info.status == "RUNNING" else f"{there}{WHOLE}"})

    def _counterpart(self, row: "Row") -> str:
        """Return the server's run, making it and the one around it where they are missing."""
        run_id = str(row.info.run_id)
        if there := row.data.tags.get(self._tag, "").removesuffix(WHOLE):
            return there
        if around := row.data.tags.get("mlflow.parentRunId"):
            self._counterpart(self.local.client.get_run(around))
        found = self.server.find(f"tags.{ORIGIN} = '{run_id}'")  # made by a process that was killed before it noted it
        there = str(found[0].info.run_id) if found else self._create(row)
        self.local.write_tags(run_id, {self._tag: there})
        return there

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
        return re.sub(r"\b[0-9a-f]{32}\b", lambda found: self._there(found[0]), value)

    def _there(self, run_id: str) -> str:
        """Return the server's run of ours, made if it has none yet, so that what names it does so for good."""
        from mlflow import MlflowException

        try:
            row = self.local.client.get_run(run_id)
        except MlflowException:  # a run that the server alone has
            return run_id
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
