"""Runs that a server no longer has: deleted there, or lost since its database was restored or replaced."""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from evaluated_toy import Logged, enter, execution, skipped
from mlflow import MlflowClient
from mlflow.entities import Run

from localizer.cli import main
from localizer.tracking.pooled_run import log_pooled_run
from localizer.tracking.replication import background_sync
from localizer.tracking.replication.replicator import Replicator
from localizer.tracking.run_lifecycle import AWAITED, SUCCESSOR
from localizer.tracking.store import COMPLETE, SENT, Store, connect, open_store

# MLflow's store, of SQLAlchemy.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")]

ADDRESS = "http://team:5000"


@dataclass
class Server:
    """A database in place of a server, at one address, which may be replaced by another."""

    path: Path

    @property
    def store(self) -> Store:
        return connect(f"sqlite:///{self.path}")

    def runs(self) -> dict[str, Run]:
        """Return all runs, deleted ones too, by their local ids; none is duplicated."""
        found = self.store.find("", view="all")
        by_origin = {run.data.tags["origin"]: run for run in found}
        assert len(by_origin) == len(found)
        return by_origin

    def delete(self, run_id: str) -> None:
        self.store.client.delete_run(self.runs()[run_id].info.run_id)

    def lose(self, run_id: str) -> str:
        """Remove a run for good, as `mlflow gc` does; return the id that it had."""
        there = str(self.runs()[run_id].info.run_id)
        self.store.client._tracking_client.store._hard_delete_run(there)
        return there

    def replace(self, source: Path) -> None:
        """Use a copy of another database; under a new name, since MLflow keeps databases open."""
        self.path = copied(source, self.path.with_name(f"after-{self.path.name}"))

    def replicator(self, store: Store) -> Replicator:
        return Replicator(store, self.store)


def copied(source: Path, target: Path) -> Path:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
    return target


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The checkout's store."""
    enter(tmp_path, monkeypatch)
    copied(empty_store, tmp_path / "mlflow.db")
    return open_store()


@pytest.fixture
def server(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server(copied(empty_store, tmp_path / "server.db"))
    monkeypatch.setattr(background_sync, "server_uri", lambda: ADDRESS)
    monkeypatch.setattr(Store, "address", ADDRESS)  # also of the database that replaces it
    monkeypatch.setattr(background_sync, "connect", lambda _: made.store)
    return made


def sync(count: int) -> None:
    """Send what the server lacks, `count` runs; then it lacks nothing."""
    assert [len(background_sync.sync()[1]) for _ in range(2)] == [count, 0]


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(600):
        if reached():
            return
        time.sleep(0.1)
    raise AssertionError("not reached within a minute")


def assert_whole(server: Server, logged: Logged) -> None:
    """Assert that the server has an execution, the three runs of which name each other, and its model."""
    there = server.runs()
    pipeline, train, evaluate = (there[one] for one in (logged.pipeline, logged.train, logged.evaluate))
    assert {run.info.status for run in (pipeline, train, evaluate)} == {"FINISHED"}
    assert train.data.tags["mlflow.parentRunId"] == evaluate.data.tags["mlflow.parentRunId"] == pipeline.info.run_id
    assert pipeline.data.tags["stage.train"] == f"ran:{train.info.run_id}"
    assert pipeline.data.tags["stage.evaluate"] == f"ran:{evaluate.info.run_id}"
    (output,) = train.outputs.model_outputs
    assert server.store.client.get_logged_model(output.model_id).source_run_id == train.info.run_id


def test_a_run_that_was_deleted_on_the_server_stays_deleted_and_blocks_no_other(store: Store, server: Server) -> None:
    first = execution(store, "first")
    sync(3)
    server.delete(first.evaluate)
    store.amend(first.evaluate, {SUCCESSOR: "f" * 32})
    second = execution(store, "second")
    sync(3)
    assert_whole(server, second)
    assert server.runs()[first.evaluate].info.lifecycle_stage == "deleted"
    assert SUCCESSOR not in server.runs()[first.evaluate].data.tags


def test_a_run_that_was_deleted_on_the_server_counts_as_sent(store: Store, server: Server) -> None:
    logged = execution(store, "one")
    sync(3)
    server.delete(logged.evaluate)
    store.amend(logged.evaluate, {SUCCESSOR: "f" * 32})
    replicator = server.replicator(store)
    assert replicator.unsent() == [logged.evaluate]
    background_sync.send(replicator, replicator.unsent())
    assert replicator.unsent() == []


def test_a_stage_inside_of_a_run_that_was_deleted_on_the_server_is_sent(store: Store, server: Server) -> None:
    logged = execution(store, "one")
    sync(3)
    server.delete(logged.pipeline)
    added = str(store.client.create_run(store.experiment_id, tags={"mlflow.parentRunId": logged.pipeline}).info.run_id)
    store.client.set_terminated(added)
    store.amend(logged.pipeline, {"stage.added": f"ran:{added}"})
    sync(1)
    there = server.runs()
    assert there[added].data.tags["mlflow.parentRunId"] == there[logged.pipeline].info.run_id
    assert there[added].info.status == "FINISHED"
    assert_whole(server, logged)


def test_a_run_is_sent_although_its_stage_with_the_model_was_deleted_on_the_server(
    store: Store, server: Server
) -> None:
    logged = execution(store, "one")
    store.client.log_outputs(logged.pipeline, store.client.get_run(logged.train).outputs.model_outputs)
    replicator = server.replicator(store)
    replicator._ensure_copy(store.client.get_run(logged.train))
    server.delete(logged.train)
    sync(2)
    assert server.runs()[logged.pipeline].info.status == "FINISHED"


def test_a_run_that_was_restored_on_the_server_is_updated(store: Store, server: Server) -> None:
    logged = execution(store, "one")
    sync(3)
    server.delete(logged.train)
    store.amend(logged.train, {SUCCESSOR: logged.evaluate})
    sync(0)
    server.store.client.restore_run(server.runs()[logged.train].info.run_id)
    sync(1)
    assert server.runs()[logged.train].data.tags[SUCCESSOR] == server.runs()[logged.evaluate].info.run_id


def test_a_new_server_at_the_address_of_the_old_one_gets_all_runs(
    store: Store, server: Server, empty_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [execution(store, name) for name in ("first", "second")]
    sync(6)
    old = {run.info.run_id for run in server.runs().values()}
    server.replace(empty_store)
    assert main(["sync"]) == main(["sync"]) == 0
    assert capsys.readouterr().out == f"sent to {ADDRESS}: 6 runs\n{ADDRESS} has all runs\n"
    for logged in both:
        assert_whole(server, logged)
    assert not old & {run.info.run_id for run in server.runs().values()}


def test_a_restored_server_gets_what_its_backup_lacks_and_no_more(store: Store, server: Server) -> None:
    first, killed = execution(store, "first"), execution(store, "killed")
    store.write_tags(killed.train, {SUCCESSOR: AWAITED})
    sync(6)
    backup = copied(server.path, Path("backup.db"))
    kept = {name: run.info.run_id for name, run in server.runs().items()}
    later = execution(store, "later")
    cached = skipped(store, "cached", train=later.train, evaluate=first.evaluate)
    store.amend(killed.train, {SUCCESSOR: later.train})
    sync(5)
    server.replace(backup)
    sync(5)
    for logged in (first, killed, later):
        assert_whole(server, logged)
    there = server.runs()
    assert kept.items() <= {name: run.info.run_id for name, run in there.items()}.items()
    assert there[cached].data.tags["stage.train"] == f"cached:{there[later.train].info.run_id}"
    assert there[killed.train].data.tags[SUCCESSOR] == there[later.train].info.run_id


def test_references_to_a_recreated_run_are_corrected_in_the_next_sync(store: Store, server: Server) -> None:
    logged = execution(store, "one")
    sync(3)
    there = server.lose(logged.train)
    replicator = server.replicator(store)
    background_sync.send(replicator, [logged.train])  # as a stage does it
    sync(1)
    assert server.runs()[logged.train].info.run_id != there
    assert_whole(server, logged)


def test_a_run_that_the_server_has_under_another_id_than_noted_is_not_duplicated(store: Store, server: Server) -> None:
    logged = execution(store, "one")
    sync(3)
    (noted,) = (name for name in store.client.get_run(logged.train).data.tags if name.startswith(SENT))
    store.client.set_tag(logged.train, noted, f"{'f' * 32}{COMPLETE}")
    sync(0)
    store.amend(logged.train, {SUCCESSOR: logged.evaluate})
    sync(1)
    assert_whole(server, logged)


def test_a_stage_recreates_its_run_if_the_server_loses_it_meanwhile(
    store: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_sync, "NEXT_PASS", 0.1)
    monkeypatch.setattr(background_sync, "NEXT_TRY", 0.1)
    logged, replicator = execution(store, "one"), server.replicator(store)
    at_work = background_sync.BackgroundSync(store, [logged.train])
    wait_until(lambda: replicator.unsent() == [])
    lost = server.lose(logged.train)
    wait_until(lambda: logged.train in server.runs())
    at_work.finish()
    assert server.runs()[logged.train].info.run_id != lost


def test_a_run_that_had_not_ended_at_the_backup_ends(store: Store, server: Server) -> None:
    logged = execution(store, "one")
    store.client.update_run(logged.pipeline, status="RUNNING")
    assert len(background_sync.sync()[1]) == 3
    backup = copied(server.path, Path("backup.db"))
    store.client.set_terminated(logged.pipeline)
    sync(1)
    server.replace(backup)
    sync(1)
    assert_whole(server, logged)


def test_a_run_that_was_deleted_here_is_not_sent_for_those_that_name_it(
    store: Store, server: Server, empty_store: Path
) -> None:
    logged = execution(store, "one")
    cached = skipped(store, "cached", train=logged.train, evaluate=logged.evaluate)
    sync(4)
    store.client.delete_run(logged.evaluate)
    sync(0)
    server.replace(empty_store)
    sync(3)
    assert set(server.runs()) == {logged.pipeline, logged.train, cached}
    assert server.runs()[cached].data.tags["stage.evaluate"] == f"cached:{logged.evaluate}"


def test_a_complete_server_is_asked_for_its_runs_once(
    store: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second", "third"):
        execution(store, name)
    sync(9)
    asked: Counter[str] = Counter()

    def counted(name: str) -> None:
        method = getattr(MlflowClient, name)

        def call(self: MlflowClient, *arguments: object, **named: object) -> object:
            asked[name] += self.tracking_uri.endswith(server.path.name)
            return method(self, *arguments, **named)

        monkeypatch.setattr(MlflowClient, name, call)

    for name in ("get_run", "search_runs", "get_experiment_by_name", "log_batch"):
        counted(name)
    sync(0)
    assert +asked == {"search_runs": 2, "get_experiment_by_name": 2}  # two calls of sync


def test_the_run_of_pooled_folds_names_the_servers_runs_of_its_folds(store: Store, server: Server) -> None:
    folds = [execution(store, name).pipeline for name in ("cv-fold-0", "cv-fold-1")]
    Path("predictions.csv").write_text("image\n")
    run_id = log_pooled_run(
        "cv",
        params={"train.lr": 0.1},
        metrics={"mean_iou": 0.5},
        commit="c" * 40,
        sources={},
        folds=folds,
        artifacts=[Path("predictions.csv")],
        note="in words",
    )
    background_sync.sync()
    there = server.runs()
    for fold, pipeline in enumerate(folds):
        assert there[run_id].data.tags[f"fold.{fold}"] == there[pipeline].info.run_id != pipeline
