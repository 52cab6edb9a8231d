"""Results by what a user writes: the working directory, a DVC revision or experiment, or an MLflow run."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from localizer import config
from localizer.pipeline.revisions import REVISION, RUN, SHORT, resolve_revision, shallow_clone_hint
from localizer.tracking.history.runs import open_history

if TYPE_CHECKING:
    from localizer.comparison.groups import Result
    from localizer.tables import Table
    from localizer.tracking.history.evaluations import EvaluationRun
    from localizer.tracking.history.runs import History

WORKSPACE = "workspace"
METRICS = Path("reports/evaluate/metrics.json")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
SHOWN = 5  # runs of one name in a message


class NoResultError(ValueError):
    """A revision, or the working directory, has no results."""


Read = Callable[[Path], bytes | None]  # a file's content, None where there is none


class Finder:
    """Finds results; the MLflow stores are opened once, and only for a name that may be a run's."""

    def find(self, asked: str) -> "Result":
        """Return the one result that is meant; ValueError if it is none, or several.

        A run and a revision of one name, as an experiment has, are one where their metrics are the same.
        """
        if asked == WORKSPACE:
            return _of_workspace()
        if asked.startswith("models:/"):
            return _of_version(asked)
        kind = next((prefix for prefix in (RUN, REVISION) if asked.startswith(prefix)), "")
        name = asked.removeprefix(kind)
        sha = resolve_revision(name) if kind != RUN else None
        try:
            runs = self._runs(name) if kind != REVISION else []
        except ValueError:
            if sha is None:
                raise
            runs = []  # one that has no evaluation is not meant
        if sha is None:
            return self._one(asked, runs)
        found = of_revision(name, sha)
        return self._same(asked, runs, found) if runs else found

    def _runs(self, name: str) -> "list[EvaluationRun]":
        from localizer.tracking.history.evaluations import find_evaluations

        return find_evaluations(self._opened[0], name)

    @cached_property
    def _opened(self) -> "tuple[History, str]":
        return open_history()

    def _one(self, asked: str, runs: "Sequence[EvaluationRun]") -> "Result":
        if not runs:
            problem = f" ({self._opened[1]})" if not asked.startswith(REVISION) and self._opened[1] else ""
            raise ValueError(
                f"{asked}: no branch, tag, commit or experiment of that name, and no run of that id or name in MLflow"
                f"{problem}{'' if asked.startswith(RUN) else shallow_clone_hint()}; an id needs six characters, and "
                f"`{WORKSPACE}` is what lies here now"
            )
        if len(runs) > 1:
            shown = "; ".join(f"{RUN}{one.pipeline_id} ({one.name})" for one in runs[:SHOWN])
            more = f"; and {len(runs) - SHOWN} older ones" if len(runs) > SHOWN else ""
            raise ValueError(f"{asked}: {len(runs)} evaluations are meant by this, the newest first: {shown}{more}")
        return of_run(runs[0], self._opened[0])

    def _same(self, asked: str, runs: "Sequence[EvaluationRun]", found: "Result") -> "Result":
        """Return the run whose metrics are the revision's."""
        same = [one for one in runs if agree(one.metrics, found)]
        if not same:
            ids = ", ".join(one.pipeline_id for one in runs[:SHOWN])
            name = asked.removeprefix(RUN).removeprefix(REVISION)
            raise ValueError(
                f"{asked}: both a run ({ids}) and a revision ({found.commit[:SHORT]}), with other results; write "
                f"{RUN}{runs[0].pipeline_id} or {REVISION}{name}"
            )
        return found if found.images is not None else replace(self._one(asked, same[:1]), stale=found.stale)


def _of_version(address: str) -> "Result":
    """Return the result by which a version of a registered model was judged."""
    from localizer.tracking.registry.registry import open_registry

    try:
        registry = open_registry()
        run = registry.evaluation(registry.version_at(address))
    except ValueError as error:
        raise ValueError(f"{address}: {error}") from None
    return replace(of_run(run, registry.history), name=f"{address} (run {run.pipeline_id[:6]})")


def of_revision(name: str, sha: str) -> "Result":
    """Return the result that a commit holds; what is in DVC's cache or default remote is taken from there."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(rev=sha)
    except DvcException as error:
        raise NoResultError(f"{name}: {error}; name a commit that has the pipeline") from None

    def content(path: Path) -> bytes | None:
        try:
            return bytes(files.read_bytes(path.as_posix()))
        except Exception:  # a remote that can't be reached raises whatever its library does
            return None

    called = name if sha.startswith(name) else f"{name} ({sha[:SHORT]})"
    return _read(called, content, files.repo, commit=sha)


def of_run(run: "EvaluationRun", history: "History") -> "Result":
    """Return the result of an evaluation that MLflow has."""
    from localizer.comparison.groups import Result
    from localizer.tracking.history.evaluations import find_predictions, source_digests

    absent = "the run's artifact predictions.csv can't be had: runs of older versions have none; run `dvc repro` again"
    predictions = find_predictions(history, run)
    images = read_predictions(predictions, where=f"run {run.run_id}") if predictions else None
    name = f"{run.name} (run {run.pipeline_id[:6]})"
    return Result(name, run.params, run.metrics, images, run.commit, run.dirty, source_digests(history, run), absent)


def read_predictions(path: Path, *, where: str) -> "Table":
    """Return predictions; ValueError where they can't be compared.

    Older ones lack columns: their `label` and `digest` are empty then, and each image is its own `cluster`.
    """
    from localizer.evaluation.evaluate import PREDICTED_EDGES
    from localizer.tables import EDGES, read_table

    numbers = ["width", "height", *EDGES, *PREDICTED_EDGES, "iou"]
    try:
        table = read_table(path, numbers=numbers)
        repeated = table.loc[table["image"].duplicated(), "image"]
        table = table.assign(**{name: "" for name in ("label", "digest") if name not in table})
        table = table.assign(cluster=table["cluster"].astype(int) if "cluster" in table else range(len(table)))
    except KeyError as error:
        raise ValueError(f"{where}: {path.name} has no column {error}; run the evaluation again") from None
    except ValueError as error:
        raise ValueError(f"{where}: {path.name} can't be read: {error}; run the evaluation again") from None
    if len(repeated) or table[numbers].isna().to_numpy().any():
        wrong = f"{repeated.iloc[0]} twice" if len(repeated) else "an empty number"
        raise ValueError(f"{where}: {path.name} has {wrong}; run the evaluation again")
    return table


def _of_workspace() -> "Result":
    from dvc.exceptions import NotDvcRepoError
    from dvc.repo import Repo

    def content(path: Path) -> bytes | None:
        return path.read_bytes() if path.is_file() else None

    try:
        repo = Repo()
    except NotDvcRepoError:
        return _read(WORKSPACE, content, None)
    with repo:
        return _read(WORKSPACE, content, repo)


def _read(name: str, content: Read, repo: Any, *, commit: str = "") -> "Result":
    """Return the result whose files are given by path; repo: DVC's view of them, or None where there is none."""
    from localizer.comparison.groups import Result
    from localizer.comparison.staleness import Origin, origin_of

    scores, table, params = content(METRICS), content(PREDICTIONS), content(config.PARAMS)
    if scores is None:
        raise NoResultError(f"{name}: no {METRICS} there; `dvc repro` makes it, or name a revision that has it")
    metrics = _numbers(scores, where=f"{name}: {METRICS}")
    written = config.parse_yaml(params.decode(errors="replace"), where=f"{name}: {config.PARAMS}") if params else {}
    there = {path: one for path, one in ((METRICS, scores), (PREDICTIONS, table)) if one is not None}
    origin = origin_of(repo, there) if repo else Origin()
    stale = f"{origin.stale}; run `dvc repro`{' and commit what it changes' if commit else ''}" if origin.stale else ""
    again = f"git checkout {commit[:SHORT]} && dvc repro" if commit else "dvc repro"
    absent = f"{PREDICTIONS} is {'not in the cache of DVC or its remote' if commit else 'not here'}; make it: `{again}`"
    images = None if table is None else _predictions(table, where=name)
    used = config.flatten(written) | dict(origin.params)
    return Result(name, used, metrics, images, commit, None, origin.sources, absent, stale)


def _predictions(content: bytes, *, where: str) -> "Table":
    with TemporaryDirectory() as folder:
        (Path(folder) / PREDICTIONS.name).write_bytes(content)
        return read_predictions(Path(folder) / PREDICTIONS.name, where=where)


def agree(metrics: Mapping[str, float], found: "Result") -> bool:
    """Return whether a run's metrics are those of a result, as far as both have them, and one at least."""
    shared = metrics.keys() & found.metrics.keys()
    return bool(shared) and all(metrics[name] == found.metrics[name] for name in shared)


def _numbers(content: bytes, *, where: str) -> dict[str, float]:
    try:
        values = json.loads(content)
        return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    except (ValueError, AttributeError):
        raise ValueError(f"{where}: not a JSON object of numbers; run the evaluation again") from None
