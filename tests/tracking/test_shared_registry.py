"""Champions on a real MLflow server: one for a team, whose other clones have nothing but its address."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated_toy import CHAMPION, Logged, enter, execution, give_files, skipped, table
from mlflow import MlflowClient, MlflowException
from mlflow.entities import Run
from PIL import Image
from servers import LOAD, Sleeping, answering, free_port, mlflow_server
from tracking_toy import environment

from localizer.cli import main
from localizer.comparison import promotion
from localizer.serving.model_finder import find_model
from localizer.tracking.errors import StoreError
from localizer.tracking.history import evaluations
from localizer.tracking.history.evaluations import find_evaluations, find_predictions
from localizer.tracking.history.runs import History
from localizer.tracking.store import connect, open_store

pytestmark = [
    pytest.mark.server,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's store, of SQLAlchemy
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),  # DVC's graph, of pygtrie
]

IOUS = np.random.default_rng(0).uniform(0.4, 0.6, 30)
REASONS = Path("reports/promote/verdict.json")


@dataclass(frozen=True)
class Team:
    """A server, a checkout with runs in its own store, and a clone of it that has none."""

    address: str
    checkout: Path
    clone: Path
    runs: dict[str, Logged]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.address, registry_uri=self.address)

    @property
    def aliases(self) -> dict[str, int]:
        return aliases(self.client)

    def served(self, local_id: str) -> Run:
        """The server's copy of a run."""
        experiment = self.client.get_experiment_by_name("localizer")
        assert experiment
        (found,) = self.client.search_runs([experiment.experiment_id], f"tags.origin = '{local_id}'")
        return found

    def in_clone(self, *arguments: str, status: int = 0) -> "subprocess.CompletedProcess[str]":
        """Call the command in the clone, in a process that knows the server's address and nothing else."""
        done = subprocess.run(
            [sys.executable, "-m", "localizer.cli", *arguments],
            cwd=self.clone,
            env=environment(MLFLOW_TRACKING_URI=self.address),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == status, done.stdout + done.stderr
        assert not (self.clone / "mlflow.db").exists()
        return done


def aliases(client: MlflowClient) -> dict[str, int]:
    found = client.search_registered_models("name = 'localizer'")
    return {alias: int(number) for one in found for alias, number in one.aliases.items()}


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, env=environment(), check=True, capture_output=True)


def make_checkout(root: Path) -> None:
    from dvc.repo import Repo

    root.mkdir()
    git(root, "init", "-q")
    (root / ".gitignore").write_text("mlflow.db*\nmlartifacts/\n.localizer/\nmodels/\n")
    Repo.init(str(root)).close()
    git(root, "add", "-A")
    git(root, "commit", "-qm", "one")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    make_checkout(folder / "checkout")
    git(folder, "clone", "-q", "checkout", "clone")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder / "checkout", patch)
        shutil.copy(empty_store, "mlflow.db")
        store = open_store()
        gains = {"base": 0.0, "better": 0.1, "best": 0.2, "worse": -0.1}
        runs = {name: execution(store, name, table(IOUS + gain)) for name, gain in gains.items()}
        give_files(store, runs["base"])
    shutil.copy(empty_store, folder / "server.db")
    with mlflow_server(folder, free_port()) as address:
        yield Team(address, folder / "checkout", folder / "clone", runs)


@pytest.fixture
def team(made: Team, monkeypatch: pytest.MonkeyPatch) -> Team:
    """Enter the checkout, with the server named, on which there is no champion."""
    enter(made.checkout, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.address)
    with suppress(MlflowException):
        made.client.delete_registered_model("localizer")
    for left in (made.checkout / "reports", made.clone / "reports", made.clone / ".localizer"):
        shutil.rmtree(left, ignore_errors=True)
    return made


def promoted(*names: str) -> None:
    for name in names:
        assert main(["promote", name]) == 0


def test_the_run_is_sent_and_its_model_becomes_the_servers_champion(
    team: Team, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted("base")
    version, training = (
        team.client.get_model_version_by_alias("localizer", "champion"),
        team.served(team.runs["base"].train),
    )
    (model,) = training.outputs.model_outputs
    assert (version.source, version.run_id) == (f"models:/{model.model_id}", training.info.run_id)
    assert version.tags["evaluation"] == team.served(team.runs["base"].evaluate).info.run_id
    assert aliases(open_store().client) == {}
    assert f"{CHAMPION} on {team.address} is version 1" in capsys.readouterr().out


@pytest.mark.parametrize("which", ["pipeline", "train", "evaluate"])
def test_a_run_may_be_given_by_the_id_of_the_checkout_and_by_that_of_the_server(
    team: Team, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    here = getattr(team.runs["better"], which)
    promoted(here[:8], team.served(here).info.run_id[:8])
    assert "better is already the champion" in capsys.readouterr().out
    assert team.aliases == {"champion": 1}


def test_a_better_model_replaces_the_servers_champion_which_stays_reachable(team: Team) -> None:
    promoted("base", "better")
    assert team.aliases == {"champion": 2, "former-champion": 1}
    assert json.loads(REASONS.read_text())["reasons"][0].startswith("better than version 1 (base) on 30 test images")


def test_a_pipeline_with_cached_stages_is_promoted_by_the_cached_evaluation(team: Team) -> None:
    better = team.runs["better"]
    again = skipped(open_store(), "again", train=better.train, evaluate=better.evaluate)
    promoted(again)
    saved = json.loads(REASONS.read_text())["challenger"]
    assert (saved["name"], saved["pipeline_id"]) == ("again", team.served(again).info.run_id)
    assert saved["run_id"] == team.served(better.evaluate).info.run_id


def test_a_worse_model_is_refused(team: Team) -> None:
    promoted("base")
    assert main(["promote", "worse"]) == 1
    assert team.aliases == {"champion": 1}


def test_the_champion_loads_from_the_server_as_an_mlflow_model(team: Team, tmp_path: Path) -> None:
    promoted("base")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, CHAMPION],
        cwd=tmp_path,
        env=environment(MLFLOW_TRACKING_URI=team.address, PYTHONPATH=""),
        capture_output=True,
        text=True,
    )
    # A fresh head answers the centred half, and the example has 96 x 64 pixels.
    assert done.stdout == "24.0 16.0 72.0 48.0 None\n", done.stderr


def test_a_clone_predicts_with_the_champion_and_traces_it(team: Team) -> None:
    promoted("base")
    Image.new("RGB", (80, 40)).save(team.clone / "a.png")
    (answer,) = team.in_clone("predict", "a.png", "--model", CHAMPION).stdout.splitlines()
    assert json.loads(answer)["box_xyxy_px"] == pytest.approx([20, 10, 60, 30], abs=0.01)
    assert not (team.clone / ".localizer/predictions").exists()  # which predict has no use for
    (weights,) = (team.clone / ".localizer/models").rglob("localizer.safetensors")
    for asked in (str(weights), CHAMPION):
        step = json.loads(team.in_clone("trace", asked, "--json").stdout)["step"]
        assert step["run"]["id"] == team.served(team.runs["base"].train).info.run_id
        (user,) = step["used_by"]
        assert user["run"]["id"] == team.served(team.runs["base"].evaluate).info.run_id


def test_a_clone_compares_with_the_champion(team: Team) -> None:
    promoted("base")
    assert main(["sync"]) == 0
    found = json.loads(team.in_clone("compare", CHAMPION, "better", "models:/localizer/1", "--json").stdout)
    pipeline = team.served(team.runs["base"].pipeline).info.run_id
    first, *_ = found["groups"]
    assert first["results"][0]["name"] == f"{CHAMPION} (run {pipeline[:6]})"
    assert [(one["verdict"], one["images"]) for one in found["differences"]] == [
        ("better", 30),
        ("no clear difference", 30),
    ]


def test_a_clone_promotes_runs_that_another_has_sent_by_the_same_rules(team: Team) -> None:
    promoted("base")
    printed = team.in_clone("promote", "better").stdout
    assert "better than version 1 (base) on 30 test images" in printed
    team.in_clone("promote", team.served(team.runs["worse"].pipeline).info.run_id[:6], status=1)
    assert team.aliases == {"champion": 2, "former-champion": 1}
    promoted("best")
    assert team.aliases == {"champion": 4, "former-champion": 2}


def test_a_clone_reports_where_it_searched_for_a_run(team: Team) -> None:
    printed = team.in_clone("promote", "nothing", status=1).stderr
    assert f"nothing: no run of that id or name on the MLflow server {team.address} or in this checkout's" in printed


def test_of_two_clones_that_promote_at_once_the_later_is_refused(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted("base")
    assert main(["sync"]) == 0
    decide = promotion._decide

    def slowly(*arguments: Any, **named: Any) -> Any:
        verdict = decide(*arguments, **named)
        assert verdict.promoted
        team.in_clone("promote", "best")
        return verdict

    monkeypatch.setattr(promotion, "_decide", slowly)
    assert main(["promote", "better"]) == 1
    assert team.aliases == {"champion": 2, "former-champion": 1}
    printed = capsys.readouterr().out
    assert (
        "the champion changed from version 1 to version 2 during the comparison; run `localizer promote` again"
        in printed
    )
    assert team.client.get_model_version("localizer", "3").tags["verdict"] == "refused"
    monkeypatch.undo()
    enter(team.checkout, monkeypatch)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.address)
    assert main(["promote", "better"]) == 1
    assert json.loads(REASONS.read_text())["reasons"][0].startswith("worse than version 2 (best)")


def test_the_checkouts_own_champion_is_neither_used_nor_changed_if_a_server_is_named(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    own = open_store().client
    try:
        promoted("better")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", team.address)
        with pytest.raises(ValueError, match=rf"on the MLflow server {team.address}; `localizer promote RUN` sets a"):
            find_model(CHAMPION)
        promoted("base")  # the first one of the server, though it is worse than the checkout's own
        assert team.aliases == {"champion": 1}
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert aliases(own) == {"champion": 1}
        capsys.readouterr()
        promoted("better")
        assert f"better is already the champion: {CHAMPION}, version 1" in capsys.readouterr().out
    finally:
        own.delete_registered_model("localizer")


def test_a_name_that_another_clones_run_has_too_lists_both(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = execution(connect(team.address), "twin", table(IOUS))
    ours = execution(open_store(), "twin", table(IOUS))
    assert main(["promote", "twin"]) == 1
    printed = capsys.readouterr().err
    assert "twin: 2 evaluations match" in printed
    assert theirs.evaluate in printed
    assert team.served(ours.evaluate).info.run_id in printed
    promoted(ours.pipeline)
    assert team.client.get_model_version("localizer", "1").run_id == team.served(ours.train).info.run_id


@pytest.mark.parametrize("command", [["promote", "base"], ["compare", CHAMPION, "base"], ["trace", CHAMPION]])
def test_a_server_that_is_down_is_named_and_no_other_store_is_used(
    team: Team, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{(port := free_port())}")
    assert main(command) == 1
    printed = capsys.readouterr().err
    assert f"MLflow server http://127.0.0.1:{port}: can't connect; the team's champion is there" in printed
    assert "secret" not in printed
    assert not REASONS.exists()
    assert aliases(open_store().client) == {}


def test_this_checkouts_runs_are_compared_with_a_warning_while_the_server_is_down(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{(port := free_port())}")
    assert main(["compare", "base", "better"]) == 0
    printed = capsys.readouterr()
    assert f"MLflow server http://127.0.0.1:{port}: can't connect; only " in printed.err
    assert "secret" not in printed.out + printed.err


def test_a_promotion_on_a_server_that_hangs_fails_within_30_seconds(
    team: Team, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with answering(Sleeping) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        started = time.monotonic()
        assert main(["promote", "base"]) == 1
        assert time.monotonic() - started < 30
    printed = capsys.readouterr().err
    assert f"MLflow server {address.replace('me:secret@', '')}: timed out" in printed
    assert "secret" not in printed


@pytest.mark.parametrize(
    "command",
    [["predict", "a.png", "--model", CHAMPION], ["compare", "base", CHAMPION], ["trace", CHAMPION]],
    ids=["predict", "compare", "trace"],
)
def test_a_server_that_hangs_is_waited_for_once(
    team: Team, command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    class Counting(Sleeping):
        def answer(self) -> None:
            asked.append(self.path)
            super().answer()

        do_GET = do_POST = answer  # noqa: N815

    Image.new("RGB", (80, 40)).save(team.checkout / "a.png")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with answering(Counting) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert main(command) == 1
    assert "timed out; the team's champion is there" in capsys.readouterr().err
    assert len(asked) == 1, asked


def test_a_promotion_in_which_the_server_was_killed_is_completed_by_a_second_call(
    team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port, decide = free_port(), promotion._decide
    with ExitStack() as running:
        address = running.enter_context(mlflow_server(tmp_path, port))

        def killed(*arguments: Any, **named: Any) -> Any:
            verdict = decide(*arguments, **named)
            running.close()
            return verdict

        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        monkeypatch.setattr(promotion, "_decide", killed)
        assert main(["promote", "base"]) == 1
    assert f"localizer promote: {address}: can't connect; run it again" in capsys.readouterr().err
    monkeypatch.setattr(promotion, "_decide", decide)
    with mlflow_server(tmp_path, port) as address:
        assert aliases(MlflowClient(address, registry_uri=address)) == {}
        promoted("base")
        assert aliases(MlflowClient(address, registry_uri=address)) == {"champion": 1}


def test_a_server_that_fails_is_not_mistaken_for_missing_predictions(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted("base")
    shutil.rmtree(".localizer/predictions")
    store = connect(team.address)
    history = History([store])
    (found,) = find_evaluations(history, "base")

    def away(*_: object) -> None:
        raise MlflowException("API request to http://me:secret@host failed with exception Connection refused")

    monkeypatch.setattr(store.client, "list_artifacts", away)
    with pytest.raises(StoreError, match=rf"{team.address}: can't download predictions.csv of run .*: can't connect"):
        find_predictions(history, found)
    monkeypatch.undo()
    assert evaluations.PREDICTIONS in [file.path for file in store.client.list_artifacts(found.run_id)]


def test_another_run_whose_files_are_gone_doesnt_stop_a_promotion(team: Team) -> None:
    store = open_store()
    gone = execution(store, "gone", table(IOUS))
    place = store.client.get_logged_model(gone.model.removeprefix("models:/")).artifact_location
    shutil.rmtree(place.removeprefix("file://"))
    try:
        assert main(["sync"]) == 1
        promoted("base")
        assert main(["promote", "gone"]) == 1
    finally:
        for run in (gone.pipeline, gone.train, gone.evaluate):
            store.client.delete_run(run)
    assert team.aliases == {"champion": 1}
