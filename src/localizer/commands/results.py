"""Results by what a user writes: the working directory, a DVC revision or experiment, or an MLflow run."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from localizer import config
from localizer.commands.history import open_history

if TYPE_CHECKING:
    from localizer.data.tables import Table
    from localizer.evaluation.comparison import Result
    from localizer.tracking.results import Evaluated
    from localizer.tracking.tracing import History

WORKSPACE = "workspace"
RUN, REVISION = "run:", "rev:"  # before a name that fits both
METRICS = Path("reports/evaluate/metrics.json")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
LOCK = Path("dvc.lock")
SHORT = 7  # characters of a commit, as git has them
SHOWN = 5  # runs of one name in a message

Read = Callable[[Path], bytes | None]  # a file's content, None where there is none


class Finder:
    """Finds results; the MLflow stores are opened once, and only for a name that may be a run's."""

    def find(self, asked: str) -> "Result":
        """Return the one result that is meant; ValueError if it is none, or several.

        A run and a revision of one name, as an experiment has, are one where their metrics are the same.
        """
        if asked == WORKSPACE:
            return _read(WORKSPACE, lambda path: path.read_bytes() if path.is_file() else None)
        if asked.startswith("models:/"):
            return _of_version(asked)
        kind = next((prefix for prefix in (RUN, REVISION) if asked.startswith(prefix)), "")
        name = asked.removeprefix(kind)
        sha = revision(name) if kind != RUN else None
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

    def _runs(self, name: str) -> "list[Evaluated]":
        from localizer.tracking.results import evaluated

        return evaluated(self._opened[0], name)

    @cached_property
    def _opened(self) -> "tuple[History, str]":
        return open_history()

    def _one(self, asked: str, runs: "Sequence[Evaluated]") -> "Result":
        if not runs:
            problem = f" ({self._opened[1]})" if not asked.startswith(REVISION) and self._opened[1] else ""
            raise ValueError(
                f"{asked}: no branch, tag, commit or experiment of that name, and no run of that id or name in MLflow"
                f"{problem}; an id needs six characters, and `{WORKSPACE}` is what lies here now"
            )
        if len(runs) > 1:
            shown = "; ".join(f"{RUN}{one.pipeline_id} ({one.name})" for one in runs[:SHOWN])
            more = f"; and {len(runs) - SHOWN} older ones" if len(runs) > SHOWN else ""
            raise ValueError(f"{asked}: {len(runs)} evaluations are meant by this, the newest first: {shown}{more}")
        return of_run(runs[0], _sources(self._opened[0], runs[0]))

    def _same(self, asked: str, runs: "Sequence[Evaluated]", found: "Result") -> "Result":
        """Return the run whose metrics are the revision's."""
        same = [one for one in runs if one.metrics.items() & found.metrics.items() and _agree(one.metrics, found)]
        if not same:
            ids = ", ".join(one.pipeline_id for one in runs[:SHOWN])
            name = asked.removeprefix(RUN).removeprefix(REVISION)
            raise ValueError(
                f"{asked}: both a run ({ids}) and a revision ({found.commit[:SHORT]}), with other results; write "
                f"{RUN}{runs[0].pipeline_id} or {REVISION}{name}"
            )
        return found if found.images is not None else self._one(asked, same[:1])


def _of_version(address: str) -> "Result":
    """Return the result by which a version of a registered model was judged."""
    from localizer.tracking.registry import open_registry

    try:
        registry = open_registry()
        run = registry.evaluation(registry.at(address))
    except ValueError as error:
        raise ValueError(f"{address}: {error}") from None
    return replace(of_run(run, _sources(registry.history, run)), name=f"{address} (run {run.pipeline_id[:6]})")


def revision(name: str) -> str | None:
    """Return the commit of a branch, tag, commit or experiment; None if there is no such, or no git."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.scm import resolve_rev

    if not name:
        return None
    try:
        with Repo() as repo:
            return str(resolve_rev(repo.scm, name))
    except DvcException as error:
        if "ambiguous" in str(error):
            raise ValueError(f"{name}: several experiments have this name; write the commit of one") from None
        return None


def of_revision(name: str, sha: str) -> "Result":
    """Return the result that a commit holds; what is in DVC's cache or default remote is taken from there."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        files = DVCFileSystem(rev=sha)
    except DvcException as error:
        raise ValueError(f"{name}: {error}; name a commit that has the pipeline") from None

    def content(path: Path) -> bytes | None:
        try:
            return bytes(files.read_bytes(path.as_posix()))
        except Exception:  # a remote that can't be reached raises whatever its library does
            return None

    called = name if sha.startswith(name) else f"{name} ({sha[:SHORT]})"
    return _read(called, content, commit=sha)


def of_run(run: "Evaluated", sources: Mapping[str, str]) -> "Result":
    """Return the result of an evaluation that MLflow has."""
    from localizer.evaluation.comparison import Result

    absent = "the run's artifact predictions.csv can't be had: runs of older versions have none; run `dvc repro` again"
    images = read_predictions(run.predictions, where=f"run {run.run_id}") if run.predictions else None
    name = f"{run.name} (run {run.pipeline_id[:6]})"
    return Result(name, run.params, run.metrics, images, run.commit, run.dirty, sources, absent)


def read_predictions(path: Path, *, where: str) -> "Table":
    """Return predictions, the label empty in a table that has none; ValueError where they can't be compared."""
    from localizer.data.tables import EDGES, read_table
    from localizer.evaluation.judgement import PREDICTED_EDGES

    numbers = ["width", "height", *EDGES, *PREDICTED_EDGES, "iou"]
    try:
        table = read_table(path, numbers=numbers)
        repeated = table.loc[table["image"].duplicated(), "image"]
    except KeyError as error:
        raise ValueError(f"{where}: {path.name} has no column {error}; run the evaluation again") from None
    except ValueError as error:
        raise ValueError(f"{where}: {path.name} can't be read: {error}; run the evaluation again") from None
    if len(repeated) or table[numbers].isna().to_numpy().any():
        wrong = f"{repeated.iloc[0]} twice" if len(repeated) else "an empty number"
        raise ValueError(f"{where}: {path.name} has {wrong}; run the evaluation again")
    return table if "label" in table else table.assign(label="")


def _read(name: str, content: Read, *, commit: str = "") -> "Result":
    """Return the result whose files are given by path."""
    from localizer.evaluation.comparison import Result

    scores, table, params = content(METRICS), content(PREDICTIONS), content(config.PARAMS)
    if scores is None:
        raise ValueError(f"{name}: no {METRICS} there; `dvc repro` makes it, or name a revision that has it")
    used, sources = _locked(content(LOCK), scores, where=name)
    written = _mapping(params, where=f"{name}: {config.PARAMS}") if params else {}
    again = f"git checkout {commit[:SHORT]} && dvc repro" if commit else "dvc repro"
    absent = f"{PREDICTIONS} is {'not in the cache of DVC or its remote' if commit else 'not here'}; make it: `{again}`"
    images = None
    if table is not None:
        with TemporaryDirectory() as folder:
            (Path(folder) / PREDICTIONS.name).write_bytes(table)
            images = read_predictions(Path(folder) / PREDICTIONS.name, where=name)
    metrics = _numbers(scores, where=f"{name}: {METRICS}")
    return Result(name, config.flatten(written) | used, metrics, images, commit, None, sources, absent)


def _locked(content: bytes | None, scores: bytes, *, where: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return params and sources as dvc.lock has them; none where it doesn't tell of these metrics.

    params.yaml, and the code, may have been edited since.
    """
    from localizer.tracking.store import fitting_key

    stages = _mapping(content, where=f"{where}: {LOCK}").get("stages", {}).values() if content else []
    outs = {one["path"]: one.get("md5") for stage in stages for one in stage.get("outs", [])}
    if outs.get(METRICS.as_posix()) != hashlib.md5(scores, usedforsecurity=False).hexdigest():
        return {}, {}
    deps = {one["path"]: one["md5"] for stage in stages for one in stage.get("deps", []) if "md5" in one}
    used = [stage.get("params", {}).get(str(config.PARAMS), {}) for stage in stages]
    params = {name: value for some in used for name, value in config.flatten(some).items()}
    return params, {fitting_key(path): md5 for path, md5 in deps.items() if path not in outs}


def _sources(history: "History", run: "Evaluated") -> dict[str, str]:
    """Return the digests of all code and data behind a run; none where one of its stages is unknown.

    A data set's own stage, told as its folder and name, has no run; what it makes is data here.
    """
    pipeline = history.get(run.pipeline_id)
    told = pipeline.data.tags if pipeline else {}
    states = [value for name, value in told.items() if name.startswith("stage.") and "/" not in name]
    rows = [history.get(value.partition(":")[2]) for value in states]
    tags = [row.data.tags for row in rows if row]
    made = {name.removeprefix("out.") for some in tags for name in some if name.startswith("out.")}
    used = {name.removeprefix("in."): value for some in tags for name, value in some.items() if name.startswith("in.")}
    return {path: value for path, value in used.items() if path not in made} if len(tags) == len(states) else {}


def _agree(metrics: Mapping[str, float], found: "Result") -> bool:
    return all(value == found.metrics[name] for name, value in metrics.items() if name in found.metrics)


def _mapping(content: bytes, *, where: str) -> dict[str, Any]:
    return config.parse_yaml(content.decode(errors="replace"), where=where)


def _numbers(content: bytes, *, where: str) -> dict[str, float]:
    try:
        values = json.loads(content)
        return {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    except (ValueError, AttributeError):
        raise ValueError(f"{where}: not a JSON object of numbers; run the evaluation again") from None
