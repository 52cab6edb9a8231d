"""Walking the runs by content: who made what a run used, and who used what it made.

An edge is a digest: `in.<path>` on the run that used a file, and `out.<path>` of the same value on the one that made
it. What no run in the stores made is looked up in dvc.lock, and told as `unknown`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from localizer.tracking.execution import PIPELINE, STAGE, STATE
from localizer.tracking.lineage import Digests
from localizer.tracking.steps import Step, facts, step_of
from localizer.tracking.store import Store, StoreError, explain, without_user_info

if TYPE_CHECKING:
    from mlflow.entities import Run as Row

SHOWN = 20  # users of one step that are told, newest first
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


def trace_output(history: History, path: str, digest: str) -> Step:
    """Return the step that made a file, with all before and after it; without a stage where none is known."""
    made = _above(history, {path: digest}, home=None)
    return _with_users(history, made[0] if made else Step("", "unknown", outputs={path: digest}))


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
            f"{address}: models:/localizer@champion, models:/localizer/3, models:/m-… or runs:/RUN/model was wanted"
        )
    for store in history.stores:
        with suppress(MlflowException):
            row = history.get(str(store.client.get_logged_model(name).source_run_id))
            return [row] if row else []
    return []


def trace_run(history: History, row: "Row") -> Step:
    """Return the step of a stage's run with all before and after it, or a pipeline's run with its stages."""
    if row.data.tags.get("kind") == PIPELINE:
        return Step(PIPELINE, "ran", facts(row), stages=tuple(_stages(history, row)))
    return _with_users(history, _of_run(history, row))


@dataclass(frozen=True)
class _Choice:
    """Of the runs that made a file, the one to tell of; `makers` are the ids of all."""

    row: "Row"
    makers: frozenset[str]


def _choose(history: History, digests: Digests, *, home: "Row | None", seen: frozenset[str]) -> dict[str, _Choice]:
    """Return the run that made each file: the one within the pipeline's run `home`, else one that its tags name.

    Else it is the one that made most of the files, else the newest.
    """
    rows = {path: history.makers(path, digest) for path, digest in digests.items()}
    makers = {path: frozenset(row.info.run_id for row in some) - seen for path, some in rows.items()}
    linked = {state.partition(":")[2] for state in _states(home).values()}

    def rank(row: "Row") -> tuple[bool, bool, int, int]:
        run_id = row.info.run_id
        inside = home is not None and row.data.tags.get("mlflow.parentRunId") == home.info.run_id
        return inside, run_id in linked, sum(run_id in some for some in makers.values()), row.info.start_time

    able = {path: [row for row in some if row.info.run_id in makers[path]] for path, some in rows.items()}
    return {path: _Choice(max(some, key=rank), makers[path]) for path, some in able.items() if some}


def _above(
    history: History, digests: Digests, *, home: "Row | None", seen: frozenset[str] = frozenset()
) -> tuple[Step, ...]:
    """Return the steps that made the files: one a run, or a stage in dvc.lock where no run made them.

    seen: the runs on the way here, which did not make their own inputs.
    """
    chosen = _choose(history, digests, home=home, seen=seen)
    steps = []
    for run_id, row in {choice.row.info.run_id: choice.row for choice in chosen.values()}.items():
        mine = {path: choice for path, choice in chosen.items() if choice.row.info.run_id == run_id}
        alike = frozenset.intersection(*(choice.makers for choice in mine.values()))
        step = _of_run(history, row, seen=seen)
        steps.append(replace(step, via={path: digests[path] for path in mine}, others=len(alike) - 1))
    rest = {path: digest for path, digest in digests.items() if path not in chosen}
    for step in history.locked:
        if via := _shared(step.outputs, rest):
            steps.append(replace(_with_makers(history, step, home=None, seen=seen), via=via))
    return tuple(steps)


def _of_run(history: History, row: "Row", *, seen: frozenset[str] = frozenset()) -> Step:
    return _with_makers(history, step_of(row), home=_home(history, row), seen=seen | {row.info.run_id})


def _with_makers(history: History, step: Step, *, home: "Row | None", seen: frozenset[str]) -> Step:
    made_from = _above(history, step.inputs, home=home, seen=seen)
    made = {path for one in made_from for path in one.via}
    sources = {path: digest for path, digest in step.inputs.items() if path not in made}
    return replace(step, made_from=made_from, sources=sources)


def _with_users(history: History, step: Step, *, above: frozenset[str] = frozenset()) -> Step:
    """Return the step with those that used its outputs, each only where it is deepest.

    above: the steps that it is told under. Below another step, a run is told under the one that `_choose` names.
    """
    rows = {row.info.run_id: row for path, digest in step.outputs.items() for row in history.users(path, digest)}
    able = [row for row in rows.values() if not above or _is_made_from(history, row, step)]
    newest = sorted(able, key=lambda row: -row.info.start_time)
    users = [step_of(row) for row in newest[:SHOWN]]
    stages = {row.data.tags.get("stage") for row in rows.values()}
    users += [one for one in history.locked if one.stage not in stages and _shared(step.outputs, one.inputs)]
    above |= {step.name}
    below = [_with_users(history, one, above=above) for one in users if one.name not in above]
    nested = {after.name for one in below for after in one.after()}
    told = (replace(one, via=_shared(step.outputs, one.inputs)) for one in below if one.name not in nested)
    return replace(step, used_by=tuple(told), more_users=len(newest[SHOWN:]))


def _is_made_from(history: History, row: "Row", step: Step) -> bool:
    shared = _shared(step_of(row).inputs, step.outputs)
    chosen = _choose(history, shared, home=_home(history, row), seen=frozenset())
    return not chosen or any(choice.row.info.run_id == step.name for choice in chosen.values())


def _stages(history: History, pipeline: "Row") -> Iterator[Step]:
    """Yield the stages of a pipeline's run, in dvc.lock's order as far as it is known, else as they started."""
    inside = history.find(f"tags.`mlflow.parentRunId` = '{pipeline.info.run_id}'")
    steps = {step.name: step for step in map(step_of, inside)}
    made = {name.removeprefix("out."): value for name, value in pipeline.data.tags.items() if name.startswith("out.")}
    for name, value in _states(pipeline).items():
        state, _, run_id = value.partition(":")
        row = history.get(run_id)
        locked = next(
            (step for step in history.locked if step.stage == name and step.outputs.items() <= made.items()), None
        )
        ended = name in {step.stage for step in steps.values()}
        if row:
            steps[run_id] = step_of(row, state)
        elif state == "unknown" and locked:
            steps[name] = locked
        elif not (state == "pending" and ended):
            steps[name] = Step(name, "pending" if state == "pending" else "unknown")
    order = [step.stage for step in history.locked]
    rank = {name: number for number, name in enumerate(order)}
    yield from sorted(
        steps.values(), key=lambda one: (rank.get(one.stage, len(rank)), one.run.started if one.run else "")
    )


def _home(history: History, row: "Row") -> "Row | None":
    return history.get(row.data.tags.get("mlflow.parentRunId", ""))


def _states(pipeline: "Row | None") -> dict[str, str]:
    """Return what the pipeline's run tells of each stage: see `links`."""
    tags = pipeline.data.tags if pipeline else {}
    return {name.removeprefix(STATE): value for name, value in tags.items() if name.startswith(STATE)}


def _shared(these: Digests, those: Digests) -> Digests:
    return {path: digest for path, digest in these.items() if those.get(path) == digest}
