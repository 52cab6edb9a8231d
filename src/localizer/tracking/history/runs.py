"""Past runs: by id or name, and by the digests of the files that they read and wrote.

A digest connects two runs: `in.<path>` on the run that read a file, `out.<path>` on the one that wrote it.
"""

import sys
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from localizer.tracking.errors import StoreError, explain
from localizer.tracking.history.records import StageRecord
from localizer.tracking.run_lifecycle import STAGE, state_tag
from localizer.tracking.store import Store, open_existing

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run

    MlflowRun: TypeAlias = Run

SHORTEST = 6  # characters of a run's id
SHOWN = 5  # of many runs, in a message
MODEL = ("models/localizer.safetensors", "models/localizer.json")  # looked up even if dvc.lock doesn't have them


class History:
    """The runs in several stores; a later store is asked only for what the ones before it don't have.

    locked: see `read_dvc_lock`.
    """

    def __init__(self, stores: Sequence[Store], locked: Sequence[StageRecord] = ()) -> None:
        self.stores = stores
        self.locked = locked
        self._found: dict[str, list[MlflowRun]] = {}

    def find(self, query: str) -> "list[MlflowRun]":
        """Return the runs that a search finds, newest first; StoreError if a store doesn't answer."""
        if query not in self._found:
            self._found[query] = next(filter(None, (_search(store, query) for store in self.stores)), [])
        return self._found[query]

    def get(self, run_id: str) -> "MlflowRun | None":
        return next(iter(self.find(f"attributes.run_id = '{run_id}'")), None) if run_id else None

    def named(self, name: str) -> "list[MlflowRun]":
        """Return the runs whose id begins with a text of six characters or more, else those of that name."""
        if not name or set(name) & set("'\"%`\\\n"):
            return []
        is_id = len(name) >= SHORTEST and set(name) <= set("0123456789abcdef")
        by_id = self.find(f"attributes.run_id LIKE '{name}%'") if is_id else []
        return by_id or self.find(f"attributes.run_name = '{name}'")

    def parent(self, run: "MlflowRun") -> "MlflowRun | None":
        """Return the pipeline's run around a stage's; None if there is none, or it was deleted."""
        return self.get(run.data.tags.get("mlflow.parentRunId", ""))

    def stage_run(self, pipeline: "MlflowRun", stage: str) -> "MlflowRun | None":
        """Return the run of a stage that the pipeline's run ran or took from the cache."""
        return self.get(pipeline.data.tags.get(state_tag(stage), "").partition(":")[2])

    def producers(self, path: str, digest: str) -> "list[MlflowRun]":
        """Return the finished stage runs that wrote a file with this content, newest first."""
        finished = f"attributes.status = 'FINISHED' and tags.kind = '{STAGE}'"
        return self.find(f"{finished} and tags.`out.{path}` = '{digest}'")

    def consumers(self, path: str, digest: str) -> "list[MlflowRun]":
        """Return the stage runs that read a file with this content, newest first, however they ended."""
        return self.find(f"tags.kind = '{STAGE}' and tags.`in.{path}` = '{digest}'")

    def logged_model(self, model_id: str) -> "tuple[Store, LoggedModel]":
        """Return a logged model and its store; ValueError if no store has it."""
        from mlflow import MlflowException

        problems = []
        for store in self.stores:
            try:
                return store, store.client.get_logged_model(model_id)
            except MlflowException as error:
                problems.append(explain(error))
        raise ValueError(f"models:/{model_id}: {'; '.join(problems)}")

    def model_source(self, model_id: str) -> "MlflowRun | None":
        """Return the run that logged a model; None if the stores have it no longer."""
        try:
            _, model = self.logged_model(model_id)
        except ValueError:
            return None
        return self.get(str(model.source_run_id or ""))

    def output_path(self, digest: str, *, suffix: str) -> str | None:
        """Return the path at which a stage wrote a file with this content, by the stores, else by dvc.lock."""
        locked = [(path, value) for record in self.locked for path, value in record.outputs.items()]
        paths = dict.fromkeys([*MODEL, *(path for path, _ in locked)])
        candidates = [path for path in paths if PurePosixPath(path).suffix == suffix]
        in_lock = next((path for path, value in locked if value == digest), None)
        return next((path for path in candidates if self.producers(path, digest)), in_lock)


def _search(store: Store, query: str) -> "list[MlflowRun]":
    from mlflow import MlflowException

    try:
        return store.find(query)
    except MlflowException as error:
        raise StoreError(f"{store.address}: {explain(error)}; try again") from None


def open_history() -> tuple[History, str]:
    """Return the history in the stores that exist, and why others are missing, which is also printed."""
    try:
        stores, problem = open_existing()
    except StoreError as error:
        return History([]), str(error)
    if problem:
        print(problem, file=sys.stderr)
    return History(stores), problem


def runs_of_uri(history: History, uri: str) -> "list[MlflowRun]":
    """Return the runs of `runs:/RUN`, `runs:/RUN/model` or `models:/m-…`; none if the stores have none.

    ValueError for another URI.
    """
    kind, _, rest = uri.partition(":/")
    name = rest.strip("/").partition("/")[0]
    if kind == "runs":
        return history.named(name)
    if not name.startswith("m-"):
        raise unknown_uri(uri)
    run = history.model_source(name)
    return [run] if run else []


def unknown_uri(uri: str) -> ValueError:
    return ValueError(
        f"{uri}: expected models:/localizer@champion, models:/localizer/3, models:/m-… or runs:/RUN/model"
    )


def list_some(runs: Sequence[str]) -> str:
    """Return descriptions of runs, newest first, as one text for a message: the first SHOWN, and how many more."""
    more = [f"and {len(runs) - SHOWN} older ones"] if len(runs) > SHOWN else []
    return "; ".join([*runs[:SHOWN], *more])
