"""Evaluation results by what a user writes: the working directory, a DVC revision or experiment, or an MLflow run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from localizer import config
from localizer.comparison.groups import Result
from localizer.comparison.staleness import Provenance, provenance
from localizer.evaluation.outputs import outputs_in
from localizer.evaluation.pooled_record import FOLDER as POOLED
from localizer.evaluation.pooled_record import find_pooled, read_record
from localizer.former_names import current_params
from localizer.pipeline.revisions import FOLDS, REVISION, RUN, SHORT, resolve_revision, shallow_clone_hint
from localizer.tables import EDGES, PREDICTED_EDGES, Table, read_table
from localizer.tracking.history.evaluations import (
    EvaluationRun,
    find_evaluations,
    find_predictions,
    source_digests,
)
from localizer.tracking.history.runs import History, list_some, open_history
from localizer.tracking.registry.registry import open_registry

WORKSPACE = "workspace"
METRICS = Path("reports/evaluate/metrics.json")
PREDICTIONS = Path("reports/evaluate/predictions.csv")


class NoResultError(ValueError):
    """A revision, or the working directory, has no results."""


ReadFile = Callable[[Path], bytes | None]  # None if there is no such file


class ResultFinder:
    """Finds results; the MLflow stores are opened once, and only for a name that may be a run's."""

    def find(self, spec: str) -> Result:
        """Return the one result that the user's text refers to; ValueError if there is none, or several.

        A run and a revision of the same name, as an experiment has, count as one if their metrics are equal. Pooled
        folds in the working directory come before a run.
        """
        if spec == WORKSPACE:
            return _workspace_result()
        if spec.startswith("models:/"):
            return _model_result(spec)
        if (folder := find_pooled(spec.removeprefix(FOLDS))) or spec.startswith(FOLDS):
            return _pooled_result(spec, folder)
        prefix = next((prefix for prefix in (RUN, REVISION) if spec.startswith(prefix)), "")
        name = spec.removeprefix(prefix)
        sha = resolve_revision(name) if prefix != RUN else None
        try:
            runs = find_evaluations(self._history[0], name) if prefix != REVISION else []
        except ValueError:
            if sha is None:
                raise
            runs = []  # without an evaluation, a run isn't meant
        if sha is None:
            return self._only_run(spec, runs)
        result = revision_result(name, sha)
        return self._matching(spec, runs, result) if runs else result

    @cached_property
    def _history(self) -> tuple[History, str]:
        return open_history()

    def _only_run(self, spec: str, runs: Sequence[EvaluationRun]) -> Result:
        if not runs:
            problem = f" ({self._history[1]})" if not spec.startswith(REVISION) and self._history[1] else ""
            raise ValueError(
                f"{spec}: no branch, tag, commit or experiment of that name, and no run of that id or name in MLflow"
                f"{problem}{'' if spec.startswith(RUN) else shallow_clone_hint()}; an id needs six characters, and "
                f"`{WORKSPACE}` is the working directory"
            )
        if len(runs) > 1:
            listed = list_some([f"{RUN}{run.pipeline_id} ({run.name})" for run in runs])
            raise ValueError(f"{spec}: {len(runs)} evaluations match, the newest first: {listed}; name one by id")
        return _run_result(runs[0], self._history[0])

    def _matching(self, spec: str, runs: Sequence[EvaluationRun], result: Result) -> Result:
        """Return the revision's result, or that of the run with the same metrics if only the run has predictions."""
        same = [run for run in runs if same_metrics(run.metrics, result)]
        if not same:
            ids = list_some([run.pipeline_id for run in runs])
            raise ValueError(
                f"{spec}: both a run ({ids}) and a revision ({result.commit[:SHORT]}), with different results; write "
                f"{RUN}{runs[0].pipeline_id} or {REVISION}{spec}"
            )
        return result if result.images is not None else replace(self._only_run(spec, same[:1]), stale=result.stale)


def revision_result(name: str, sha: str) -> Result:
    """Return the result of a commit, from git and from DVC's cache or default remote."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(rev=sha)
    except DvcException as error:
        raise NoResultError(f"{name}: {error}; name a commit that has the pipeline") from None

    def read(path: Path) -> bytes | None:
        try:
            return bytes(files.read_bytes(path.as_posix()))
        except Exception:  # an unreachable remote raises whatever its library does
            return None

    return _file_result(name if sha.startswith(name) else f"{name} ({sha[:SHORT]})", read, files.repo, commit=sha)


def same_metrics(metrics: Mapping[str, float], result: Result) -> bool:
    """Return whether a run's metrics equal the result's, where both have them, with at least one in common."""
    shared = metrics.keys() & result.metrics.keys()
    return bool(shared) and all(metrics[name] == result.metrics[name] for name in shared)


def read_predictions(path: Path, *, where: str) -> Table:
    """Return the content of predictions.csv; ValueError if it can't be used for a comparison.

    In files of older versions `label` or `digest` are empty if they lack them, and each image is its own `cluster`.
    """
    numbers = ["width", "height", *EDGES, *PREDICTED_EDGES, "iou"]
    try:
        table = read_table(path, numbers=numbers)
        repeated = table.loc[table["image"].duplicated(), "image"]
        table = table.assign(**{name: "" for name in ("label", "digest") if name not in table})
        table = table.assign(cluster=table["cluster"].astype(int) if "cluster" in table else range(len(table)))
    except KeyError as error:
        raise ValueError(f"{where}: {path.name} has no column {error}; run the evaluation again") from None
    except ValueError as error:
        raise ValueError(f"{where}: {path.name} is unreadable: {error}; run the evaluation again") from None
    if len(repeated) or table[numbers].isna().to_numpy().any():
        wrong = f"{repeated.iloc[0]} twice" if len(repeated) else "an empty number"
        raise ValueError(f"{where}: {path.name} has {wrong}; run the evaluation again")
    return table


def _pooled_result(spec: str, folder: Path | None) -> Result:
    """Return the result of pooled folds; ValueError if there is none, or a revision has the same name."""
    if folder is None:
        raise ValueError(f"{spec}: no {POOLED}/{spec.removeprefix(FOLDS)} here; `localizer cross-validate` makes it")
    if sha := None if spec.startswith(FOLDS) or "/" in spec else resolve_revision(spec):
        raise ValueError(
            f"{spec}: both folds in {folder} and a revision ({sha[:SHORT]}); write {FOLDS}{spec} or {REVISION}{spec}"
        )
    record, outputs = read_record(folder), outputs_in(folder)
    if missing := [path for path in (outputs.metrics, outputs.predictions) if not path.is_file()]:
        raise ValueError(f"{spec}: no {missing[0]}; run `localizer cross-validate` again, which keeps finished folds")
    return Result(
        f"{record.name} ({len(record.folds)} folds)",
        current_params(record.params),
        _parse_metrics(outputs.metrics.read_bytes(), where=str(outputs.metrics)),
        read_predictions(outputs.predictions, where=spec),
        record.commit,
        False,
        record.sources,
        folds=len(record.folds),
    )


def _model_result(address: str) -> Result:
    """Return the evaluation on which a version of the registered model was promoted or refused."""
    try:
        registry = open_registry()
        run = registry.evaluation(registry.version_at(address))
    except ValueError as error:
        raise ValueError(f"{address}: {error}") from None
    return replace(_run_result(run, registry.history), name=f"{address} (run {run.pipeline_id[:6]})")


def _run_result(run: EvaluationRun, history: History) -> Result:
    """Return the result of an evaluation in MLflow."""
    predictions = find_predictions(history, run)
    return Result(
        f"{run.name} (run {run.pipeline_id[:6]})",
        current_params(run.params),
        run.metrics,
        read_predictions(predictions, where=f"run {run.run_id}") if predictions else None,
        run.commit,
        run.dirty,
        source_digests(history, run),
        missing="the run has no artifact predictions.csv, as runs of older versions; run `dvc repro` again",
        folds=run.folds,
    )


def _workspace_result() -> Result:
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    def read(path: Path) -> bytes | None:
        return path.read_bytes() if path.is_file() else None

    try:
        repo = Repo()
    except NotDvcRepoError:
        return _file_result(WORKSPACE, read, None)
    with repo:
        return _file_result(WORKSPACE, read, repo)


def _file_result(name: str, read: ReadFile, repo: Any, *, commit: str = "") -> Result:
    """Return the result in files; repo: DVC's view of them, None without DVC; commit: empty for the workspace."""
    metrics, predictions, params = read(METRICS), read(PREDICTIONS), read(config.PARAMS)
    if metrics is None:
        raise NoResultError(f"{name}: no {METRICS} there; `dvc repro` makes it, or name a revision that has it")
    yaml = config.parse_yaml(params.decode(errors="replace"), where=f"{name}: {config.PARAMS}") if params else {}
    outputs = {
        path: content for path, content in ((METRICS, metrics), (PREDICTIONS, predictions)) if content is not None
    }
    origin = provenance(repo, outputs) if repo else Provenance()
    reproduce = f"git checkout {commit[:SHORT]} && dvc repro" if commit else "dvc repro"
    place = "not in the cache of DVC or its remote" if commit else "not here"
    update = f"; run `dvc repro`{' and commit what it changes' if commit else ''}" if origin.stale else ""
    return Result(
        name,
        current_params(config.flatten(yaml) | dict(origin.params)),
        _parse_metrics(metrics, where=f"{name}: {METRICS}"),
        None if predictions is None else _parse_predictions(predictions, where=name),
        commit,
        sources=origin.sources,
        missing=f"{PREDICTIONS} is {place}; to make it: `{reproduce}`",
        stale=origin.stale + update,
    )


def _parse_predictions(content: bytes, *, where: str) -> Table:
    with TemporaryDirectory() as folder:
        path = Path(folder) / PREDICTIONS.name
        path.write_bytes(content)
        return read_predictions(path, where=where)


def _parse_metrics(content: bytes, *, where: str) -> dict[str, float]:
    try:
        values = json.loads(content)
        return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    except (ValueError, AttributeError):
        raise ValueError(f"{where}: not a JSON object of numbers; run the evaluation again") from None
