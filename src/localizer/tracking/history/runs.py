"""The runs that have ended, as the MLflow stores tell of them and dvc.lock of what they lack.

What joins two runs is a digest: `in.<path>` on the run that used a file, and `out.<path>` of the same value on the one
that made it.
"""

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, TypeAlias

from localizer.tracking.existing_stores import open_existing
from localizer.tracking.history.steps import Step
from localizer.tracking.run_lifecycle import STAGE
from localizer.tracking.store import Store, StoreError, explain, without_user_info

if TYPE_CHECKING:
    from mlflow.entities import Run

    Row: TypeAlias = Run

SHORTEST = 6  # characters of a run's id
MODEL = ("models/localizer.safetensors", "models/localizer.json")  # looked for whatever dvc.lock tells


class History:
    """All that the stores and dvc.lock tell; a store is asked only where those before it know nothing.

    locked: see `read_lock`.
    """

    def __init__(self, stores: Sequence[Store], locked: Sequence[Step] = ()) -> None:
        self.stores = stores
        self.locked = locked
        self._found: dict[str, list[Row]] = {}

    def find(self, query: str) -> "list[Row]":
        """Return the runs that a search finds, newest first; StoreError where a store doesn't answer."""
        if query not in self._found:
            answers = (_answer(store, query) for store in self.stores)
            self._found[query] = next((answer for answer in answers if answer), [])
        return self._found[query]

    def get(self, run_id: str) -> "Row | None":
        """Return the run of an id."""
        return next(iter(self.find(f"attributes.run_id = '{run_id}'")), None) if run_id else None

    def named(self, text: str) -> "list[Row]":
        """Return the runs whose id begins with a text of six characters or more, else those of that name."""
        if not text or set(text) & set("'\"%`\\\n"):
            return []
        is_id = len(text) >= SHORTEST and set(text) <= set("0123456789abcdef")
        by_id = self.find(f"attributes.run_id LIKE '{text}%'") if is_id else []
        return by_id or self.find(f"attributes.run_name = '{text}'")

    def makers(self, path: str, digest: str) -> "list[Row]":
        """Return the finished runs of stages that made a file of this content, newest first."""
        finished = f"attributes.status = 'FINISHED' and tags.kind = '{STAGE}'"
        return self.find(f"{finished} and tags.`out.{path}` = '{digest}'")

    def users(self, path: str, digest: str) -> "list[Row]":
        """Return the runs of stages that read a file of this content, newest first, however they ended."""
        return self.find(f"tags.kind = '{STAGE}' and tags.`in.{path}` = '{digest}'")

    def output_of(self, digest: str, *, suffix: str) -> str | None:
        """Return the path under which a stage made a file of this content, by the stores, else by dvc.lock."""
        locked = [(path, value) for step in self.locked for path, value in step.outputs.items()]
        paths = dict.fromkeys([*MODEL, *(path for path, _ in locked)])
        alike = [path for path in paths if PurePosixPath(path).suffix == suffix]
        in_lock = next((path for path, value in locked if value == digest), None)
        return next((path for path in alike if self.makers(path, digest)), in_lock)


def _answer(store: Store, query: str) -> "list[Row]":
    from mlflow import MlflowException

    try:
        return store.find(query)
    except MlflowException as error:
        where = without_user_info(store.client.tracking_uri)
        raise StoreError(f"{where}: {explain(error)}; try again") from None


def open_history() -> tuple[History, str]:
    """Return the history in the stores that there are, and why it lacks others, which is told, too, if it has any."""
    try:
        existing = open_existing()
    except StoreError as error:
        return History([]), str(error)
    if existing.problem:
        print(existing.problem, file=sys.stderr)
    return History(existing.stores), existing.problem


def runs_of_address(history: History, address: str) -> "list[Row]":
    """Return the runs that `runs:/RUN`, `runs:/RUN/model` or `models:/m-…` may mean; none where the stores have none.

    ValueError for another address.
    """
    from mlflow import MlflowException

    kind, _, rest = address.partition(":/")
    name = rest.strip("/").partition("/")[0]
    if kind == "runs":
        return history.named(name)
    if not name.startswith("m-"):
        raise ValueError(
            f"{address}: models:/localizer@champion, models:/localizer/3, models:/m-… or runs:/RUN/model was expected"
        )
    for store in history.stores:
        with suppress(MlflowException):
            row = history.get(str(store.client.get_logged_model(name).source_run_id))
            return [row] if row else []
    return []
