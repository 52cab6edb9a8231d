"""Copying a run from the checkout's store to a server, where only what is missing is written.

A run that was deleted on the server stays deleted. One that the server no longer knows, since its database was restored
or replaced, is created again.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.tracking.store import COMPLETE, SENT, Store, local_path

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities import Run as MlflowRun

ORIGIN = "origin"  # on the server's run: the id of the local run that it is a copy of
RUN_ID = re.compile(r"\b[0-9a-f]{32}\b")
WITH_RUN_IDS = ("stage.", "fold.", "mlflow.parentRunId", "successor", "continues")  # tags whose values name other runs


class Replicator:
    """Copies runs of a local store to a server, each to one run, whose id is in a tag of the local run."""

    def __init__(self, local: Store, server: Store) -> None:
        self.local, self.server = local, server
        self._tag = f"{SENT}{hashlib.sha256(server.address.encode()).hexdigest()[:8]}"
        self._ids: dict[str, str] = {}  # of the server's runs, by the ids of the local ones

    def unsent(self) -> list[str]:
        """Return the runs not noted as sent completely, see `_in_order`; the server isn't asked."""
        return _in_order(run for run in self.local.find("") if not self._is_complete(run))

    def missing_on_server(self) -> list[str]:
        """Return the runs that the server lacks or has incompletely by its own list, see `_in_order`."""
        copies = {run.data.tags.get(ORIGIN, ""): run for run in self.server.find("", view="all")}
        self._ids = {origin: str(copy.info.run_id) for origin, copy in copies.items()}
        local = {run.info.run_id: run for run in self.local.find("")}
        ids = dict.fromkeys(local, "missing") | self._ids
        return _in_order(run for run_id, run in local.items() if not self._is_current(run, copies.get(run_id), ids))

    def _is_current(self, run: "MlflowRun", copy: "MlflowRun | None", ids: dict[str, str]) -> bool:
        """Return whether the copy is complete, as far as its end and references show; ids: the server's by ours."""
        if copy is None or copy.info.lifecycle_stage == "deleted":
            return copy is not None
        references = {name: value for name, value in _own_tags(run).items() if name.startswith(WITH_RUN_IDS)}
        expected = {name: _map_ids(value, lambda run_id: ids.get(run_id, run_id)) for name, value in references.items()}
        ended_alike = (run.info.status, run.info.end_time) == (copy.info.status, copy.info.end_time)
        return self._is_complete(run) and ended_alike and expected.items() <= copy.data.tags.items()

    def _is_complete(self, run: "MlflowRun") -> bool:
        return str(run.data.tags.get(self._tag, "")).endswith(COMPLETE)

    def copy(self, run_id: str) -> None:
        """Bring the server's run to the state of ours; its end comes last, so that what has ended is complete."""
        run = self.local.client.get_run(run_id)
        copy_id = self._ensure_copy(run)
        copy = self.server.client.get_run(copy_id)
        if copy.info.lifecycle_stage == "active":  # else someone deleted it
            self._update(run, copy)
        self.local.write_tags(run_id, {self._tag: f"{copy_id}{'' if run.info.status == 'RUNNING' else COMPLETE}"})

    def _update(self, run: "MlflowRun", copy: "MlflowRun") -> None:
        copy_id = str(copy.info.run_id)
        self.server.write_params(copy_id, dict(run.data.params.items() - copy.data.params.items()))
        self._copy_metrics(run, copy)
        known = {entry.dataset.digest for entry in copy.inputs.dataset_inputs}
        if new := [entry for entry in run.inputs.dataset_inputs if entry.dataset.digest not in known]:
            self.server.client.log_inputs(copy_id, new)
        tags = {name: self._translate(name, value) for name, value in _own_tags(run).items()}
        self.server.write_tags(copy_id, dict(tags.items() - copy.data.tags.items()))
        self._copy_artifacts(run, copy_id)
        self._copy_models(run, copy)
        self._copy_status(run, copy)

    def _ensure_copy(self, run: "MlflowRun") -> str:
        """Return the id of the server's run, which is created, with the one around it, if it is missing."""
        run_id = str(run.info.run_id)
        copy_id = self._ids[run_id] = self._find_copy(run_id) or self._create_copy(run)
        if copy_id not in run.data.tags.get(self._tag, ""):
            self.local.write_tags(run_id, {self._tag: copy_id})
        return copy_id

    def _find_copy(self, run_id: str) -> str:
        """Return the id of the server's run, deleted or not; empty if it has none.

        It is searched by its origin: a process may have been killed before it noted the id, and a server with passwords
        answers "forbidden" for an id that it doesn't have.
        """
        if run_id in self._ids:
            return self._ids[run_id]
        found = self.server.find(f"tags.{ORIGIN} = '{run_id}'", view="all")
        return str(found[-1].info.run_id) if found else ""

    def _create_copy(self, run: "MlflowRun") -> str:
        """Create a run with the tags by which it is found; tags that name other runs are written when it is copied."""
        tags = {name: value for name, value in _own_tags(run).items() if not name.startswith(WITH_RUN_IDS)}
        if parent := run.data.tags.get("mlflow.parentRunId"):
            tags["mlflow.parentRunId"] = self._copy_id(parent)
        tags[ORIGIN] = run.info.run_id
        made = self.server.client.create_run(self.server.experiment_id, run.info.start_time, tags, run.info.run_name)
        return str(made.info.run_id)

    def _translate(self, name: str, value: str) -> str:
        return _map_ids(value, self._copy_id) if name.startswith(WITH_RUN_IDS) else value

    def _copy_id(self, run_id: str) -> str:
        """Return the server's id of a local run, whose copy is created if it is missing, so that the id stays valid.

        The id of a run that was deleted here, and has no copy, or that only the server has, stays as it is.
        """
        from mlflow import MlflowException

        try:
            run = self.local.client.get_run(run_id)
        except MlflowException:  # a run that only the server has
            return run_id
        return (self._find_copy(run_id) or run_id) if run.info.lifecycle_stage == "deleted" else self._ensure_copy(run)

    def _copy_metrics(self, run: "MlflowRun", copy: "MlflowRun") -> None:
        for name in run.data.metrics:
            points = self.local.client.get_metric_history(run.info.run_id, name)
            if name in copy.data.metrics:
                there = self.server.client.get_metric_history(copy.info.run_id, name)
                known = {(point.timestamp, point.step, point.value) for point in there}
                points = [point for point in points if (point.timestamp, point.step, point.value) not in known]
            self.server.client.log_batch(copy.info.run_id, metrics=points)

    def _copy_artifacts(self, run: "MlflowRun", copy_id: str) -> None:
        root = local_path(run.info.artifact_uri)
        if root is None:
            return
        files = sorted(path for path in root.rglob("*") if path.is_file())
        sizes = dict(self._list_files(copy_id)) if files else {}
        for path in files:
            name = path.relative_to(root)
            if sizes.get(name.as_posix()) != path.stat().st_size:
                folder = name.parent.as_posix()
                self.server.client.log_artifact(copy_id, str(path), None if folder == "." else folder)

    def _list_files(self, run_id: str, folder: str | None = None) -> Iterator[tuple[str, int]]:
        for file in self.server.client.list_artifacts(run_id, folder):
            if file.is_dir:
                yield from self._list_files(run_id, file.path)
            else:
                yield file.path, file.file_size

    def _copy_models(self, run: "MlflowRun", copy: "MlflowRun") -> None:
        from mlflow.entities import LoggedModelOutput

        outputs, known = (
            [out.model_id for out in one.outputs.model_outputs] if one.outputs else [] for one in (run, copy)
        )
        copies = [self._copy_model(self.local.client.get_logged_model(model_id)) for model_id in outputs]
        if new := [LoggedModelOutput(model_id, step=0) for model_id in copies if model_id not in known]:
            self.server.client.log_outputs(copy.info.run_id, new)

    def _copy_model(self, model: "LoggedModel") -> str:
        """Return the id of the server's model, which is copied unless it is complete."""
        client, run_id = self.server.client, self._copy_id(str(model.source_run_id))
        query = f"source_run_id = '{run_id}' and name = '{model.name}'"
        found = client.search_logged_models([self.server.experiment_id], query)
        if complete := [copy for copy in found if copy.status == model.status]:
            return str(complete[0].model_id)
        folder = local_path(model.artifact_location)
        if folder is None or not (folder / "MLmodel").is_file():
            raise FileNotFoundError(f"the files of a run's model are gone from {folder or model.artifact_location}")
        for cache in [*folder.rglob("__pycache__")]:  # left by those who loaded the model from this folder
            shutil.rmtree(cache, ignore_errors=True)
        copy = found[0] if found else self._create_model(model, run_id)  # found: without all its files
        client.log_model_artifacts(copy.model_id, str(folder))
        with tempfile.TemporaryDirectory() as temporary:
            description = _describe_copy(folder, Path(temporary), run_id=run_id, model_id=str(copy.model_id))
            client.log_model_artifact(copy.model_id, str(description))
        return str(client.finalize_logged_model(copy.model_id, model.status).model_id)

    def _create_model(self, model: "LoggedModel", run_id: str) -> "LoggedModel":
        return self.server.client.create_logged_model(
            self.server.experiment_id, model.name, run_id, model_type=model.model_type, params=model.params
        )

    def _copy_status(self, run: "MlflowRun", copy: "MlflowRun") -> None:
        if run.info.status == "RUNNING":
            if copy.info.status != "RUNNING":
                self.server.client.update_run(copy.info.run_id, status="RUNNING")
        elif (run.info.status, run.info.end_time) != (copy.info.status, copy.info.end_time):
            self.server.client.set_terminated(copy.info.run_id, run.info.status, run.info.end_time)


def _in_order(runs: "Iterable[MlflowRun]") -> list[str]:
    """Return the runs' ids, oldest first, and stages' runs before pipelines'."""
    ordered = sorted(runs, key=lambda run: ("mlflow.parentRunId" not in run.data.tags, run.info.start_time))
    return [str(run.info.run_id) for run in ordered]


def _map_ids(value: str, new_id: Callable[[str], str]) -> str:
    """Return a tag's value with each run id replaced."""
    return RUN_ID.sub(lambda found: new_id(found[0]), value)


def _own_tags(run: "MlflowRun") -> dict[str, str]:
    """Return a run's tags but for the notes on its copies."""
    return {name: value for name, value in run.data.tags.items() if not name.startswith(SENT)}


def _describe_copy(source: Path, target: Path, *, run_id: str, model_id: str) -> Path:
    """Write the MLmodel file of a copied model, with the ids of its run and itself, into a folder; return its path."""
    from mlflow.models import Model

    description: Any = Model.load(str(source / "MLmodel"))
    description.run_id, description.model_id = run_id, model_id
    description.save(str(target / "MLmodel"))
    return target / "MLmodel"
