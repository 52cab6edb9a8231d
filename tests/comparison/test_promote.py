"""`localizer promote` in a toy store of MLflow: which model becomes the champion, and how the decision is recorded."""

import json
import shutil
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluated_toy import GAINS, Logged, enter, execution, log_model, skipped, table
from mlflow import MlflowClient, MlflowException
from tracking_toy import environment

from localizer.cli import main
from localizer.comparison import promotion
from localizer.tracking.registry.registry import Registry
from localizer.tracking.store import Store, open_store

# MLflow's store, of SQLAlchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")

IOUS = np.random.default_rng(0).uniform(0.4, 0.6, 30)
REASONS = Path("reports/promote/verdict.json")


@dataclass(frozen=True)
class Toy:
    """A store of its own for each test, in the working directory, with the executions of `made`."""

    store: Store
    runs: dict[str, Logged]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.store.client.tracking_uri, registry_uri=self.store.client.tracking_uri)

    @property
    def aliases(self) -> dict[str, int]:
        """The number of the version that each alias stands for; none without a registered model."""
        found = self.client.search_registered_models("name = 'localizer'")
        return {alias: int(number) for one in found for alias, number in one.aliases.items()}

    @property
    def versions(self) -> dict[int, dict[str, str]]:
        """The tags of each version."""
        return {int(one.version): dict(one.tags) for one in self.client.search_model_versions("name = 'localizer'")}

    def register(self, name: str) -> None:
        """Register a model as the UI does, and set the alias by hand."""
        with suppress(MlflowException):
            self.client.create_registered_model("localizer")
        folder = self.client.get_logged_model(self.runs[name].model.removeprefix("models:/")).artifact_location
        made = self.client.create_model_version("localizer", folder, self.runs[name].train)
        self.client.set_registered_model_alias("localizer", "champion", str(made.version))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> tuple[Path, dict[str, Logged]]:
    """A folder with a store, and executions by how they compare with `base`."""
    root = tmp_path_factory.mktemp("toy") / "project"
    (root / ".dvc").mkdir(parents=True)
    shutil.copy(empty_store, root / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        store = open_store()
        return root, {
            "base": execution(store, "base", table(IOUS)),
            "better": execution(store, "better", table(IOUS + 0.1)),
            "best": execution(store, "best", table(IOUS + 0.2)),
            "worse": execution(store, "worse", table(IOUS - 0.1)),
            "other side": execution(store, "other side", table(IOUS[:-1] + 0.1)),
        }


@pytest.fixture
def toy(made: tuple[Path, dict[str, Logged]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    root, runs = made
    (tmp_path / "copy/.dvc").mkdir(parents=True)
    shutil.copy(root / "mlflow.db", tmp_path / "copy")
    enter(tmp_path / "copy", monkeypatch)
    return Toy(open_store(), runs)


def promoted(*names: str) -> None:
    for name in names:
        assert main(["promote", name]) == 0


def reasons() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(REASONS.read_text())
    return found


def test_the_first_champion_is_the_first_version(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", "base"]) == 0
    assert toy.aliases == {"champion": 1}
    assert capsys.readouterr().out.splitlines() == [
        "promoted: base, version 1 of the registered model",
        *(f"  {reason}" for reason in reasons()["reasons"]),
        "models:/localizer@champion is version 1",
        "reasons: reports/promote/verdict.json",
    ]


def test_the_champion_is_the_model_that_the_training_logged(toy: Toy) -> None:
    promoted("base")
    version = toy.client.get_model_version_by_alias("localizer", "champion")
    assert (version.source, version.run_id) == (toy.runs["base"].model, toy.runs["base"].train)


def test_a_better_model_replaces_the_champion(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    promoted("base", "better")
    assert toy.aliases == {"champion": 2, "former-champion": 1}
    assert toy.client.get_model_version("localizer", "1").source == toy.runs["base"].model
    assert "models:/localizer@former-champion is version 1" in capsys.readouterr().out


def test_the_former_champion_is_the_previous_one(toy: Toy) -> None:
    promoted("base", "better", "best")
    assert toy.aliases == {"champion": 3, "former-champion": 2}


def test_a_worse_model_is_refused_and_stays_as_a_version(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    promoted("base")
    assert main(["promote", "worse"]) == 1
    assert toy.aliases == {"champion": 1}
    assert {number: tags["verdict"] for number, tags in toy.versions.items()} == {1: "promoted", 2: "refused"}
    printed = capsys.readouterr().out
    assert "refused: worse, version 2 of the registered model" in printed
    assert "models:/localizer@champion is version 1" in printed


def test_a_first_model_that_is_no_better_than_the_mean_box_is_refused(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    execution(toy.store, "constant", table(IOUS), metrics=GAINS | {"gain_over_mean_box_low": -0.1})
    assert main(["promote", "constant"]) == 1
    assert (toy.aliases, toy.versions[1]["verdict"]) == ({}, "refused")
    assert "models:/localizer@champion is not set" in capsys.readouterr().out


def test_the_reasons_are_kept_as_json_and_with_the_version(toy: Toy) -> None:
    promoted("base", "better")
    saved, tags, better = reasons(), toy.versions[2], toy.runs["better"]
    assert saved["reasons"] == tags["reasons"].split("\n")
    assert saved["reasons"][0].startswith("better than version 1 (base) on 30 test images: +0.1000 mean IoU")
    assert (saved["promoted"], saved["version"], saved["champion"]) == (True, 2, 1)
    assert (tags["verdict"], tags["evaluation"], tags["gain"]) == ("promoted", better.evaluate, "0.100000")
    assert saved["challenger"]["run_id"] == better.evaluate
    assert saved["challenger"]["model"] == better.model
    assert all(reason in toy.client.get_model_version("localizer", "2").description for reason in saved["reasons"])


def test_the_reasons_of_a_refusal_are_kept_too(toy: Toy) -> None:
    promoted("base")
    assert main(["promote", "worse", "--reasons", "why.json"]) == 1
    saved = json.loads(Path("why.json").read_text())
    assert (saved["promoted"], saved["version"], saved["champion"]) == (False, 2, 1)
    assert saved["reasons"] == toy.versions[2]["reasons"].split("\n")


@pytest.mark.parametrize(
    ("path", "message"),
    [(".", "--reasons .: expected a file, got a folder"), ("new/why.json", "--reasons new/why.json: no such folder")],
)
def test_a_path_that_can_not_be_written_is_refused_before_the_comparison(
    toy: Toy, path: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["promote", "base", "--reasons", path]) == 1
    assert message in capsys.readouterr().err
    assert (toy.versions, Path("new").exists()) == ({}, False)


def test_the_champion_promoted_again_changes_nothing(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    promoted("base", "better")
    before, tags = toy.aliases, toy.versions
    REASONS.unlink()
    capsys.readouterr()
    assert main(["promote", "better"]) == 0
    assert (toy.aliases, toy.versions) == (before, tags)
    assert not REASONS.exists()
    assert "better is already the champion: models:/localizer@champion, version 2; no change" in capsys.readouterr().out


def test_a_model_refused_twice_is_one_version(toy: Toy) -> None:
    promoted("base")
    assert [main(["promote", "worse"]) for _ in range(2)] == [1, 1]
    assert set(toy.versions) == {1, 2}


def test_a_former_champion_is_not_better_than_the_one_that_beat_it(toy: Toy) -> None:
    promoted("base", "better")
    assert main(["promote", "base"]) == 1
    assert toy.aliases == {"champion": 2, "former-champion": 1}


def test_after_the_alias_was_moved_back_by_hand_the_better_model_can_return(toy: Toy) -> None:
    promoted("base", "better")
    toy.client.set_registered_model_alias("localizer", "champion", "1")
    promoted("better")
    assert toy.aliases == {"champion": 2, "former-champion": 1}


def test_a_pipeline_with_cached_stages_is_promoted_by_the_cached_evaluation(toy: Toy) -> None:
    base = toy.runs["base"]
    skipped(toy.store, "again", train=base.train, evaluate=base.evaluate)
    promoted("again")
    assert toy.versions[1]["evaluation"] == base.evaluate


@pytest.mark.parametrize("which", ["pipeline", "train", "evaluate"])
def test_six_characters_of_an_id_are_enough(toy: Toy, which: str) -> None:
    promoted(getattr(toy.runs["base"], which)[:6])
    assert toy.versions[1]["evaluation"] == toy.runs["base"].evaluate


def test_a_version_registered_by_hand_is_a_champion_like_any(toy: Toy) -> None:
    toy.register("better")
    assert main(["promote", "base"]) == 1
    promoted("best")
    assert toy.aliases == {"champion": 3, "former-champion": 1}
    assert reasons()["reasons"][0].startswith("better than version 1 (better) on 30 test images: +0.1000")


def test_a_champion_registered_by_hand_is_already_the_champion(toy: Toy) -> None:
    toy.register("better")
    promoted("better")
    assert set(toy.versions) == {1}


def test_a_champion_whose_run_is_unknown_can_only_be_replaced_by_hand(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.client.create_registered_model("localizer")
    toy.client.create_model_version("localizer", "somewhere/model")
    toy.client.set_registered_model_alias("localizer", "champion", "1")
    assert main(["promote", "better"]) == 1
    assert "version 1, the champion, can't be compared: this store has 0 evaluations of its run unknown" in (
        printed := capsys.readouterr().err
    )
    assert "or promote by hand: on `make ui`" in printed
    assert set(toy.versions) == {1}


def test_a_champion_without_predictions_can_only_be_replaced_by_hand(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.runs["bare"] = execution(toy.store, "bare")
    toy.register("bare")
    assert main(["promote", "better"]) == 1
    printed = capsys.readouterr().err
    assert f"version 1 (bare), evaluation {toy.runs['bare'].evaluate}: its predictions.csv is gone" in printed
    assert "or promote by hand: on `make ui`" in printed
    assert set(toy.versions) == {1}


def test_a_run_without_a_model_is_not_mistaken_for_a_champion_of_unknown_origin(toy: Toy) -> None:
    toy.client.create_registered_model("localizer")
    toy.client.create_model_version("localizer", "somewhere/model")
    toy.client.set_registered_model_alias("localizer", "champion", "1")
    without_model(toy)
    assert main(["promote", "no model"]) == 1


def without_model(toy: Toy) -> None:
    """Log an execution whose model is ambiguous: its training logged two."""
    log_model(toy.store, execution(toy.store, "no model", table(IOUS)).train)


def no_files(toy: Toy) -> None:
    model = execution(toy.store, "no files", table(IOUS)).model.removeprefix("models:/")
    shutil.rmtree(toy.client.get_logged_model(model).artifact_location.removeprefix("file://"))


def not_a_table(toy: Toy) -> None:
    execution(toy.store, "no column", table(IOUS).replace(",iou", ""))


def nothing(toy: Toy) -> None:
    pass


REFUSED = {
    "running": (lambda toy: execution(toy.store, "running", status="RUNNING"), "no finished evaluation: .* is RUNNING"),
    "failed": (lambda toy: execution(toy.store, "failed", table(IOUS), status="FAILED"), "evaluation .* is FAILED"),
    "bare": (lambda toy: execution(toy.store, "bare"), "bare, evaluation .*predictions.csv is gone; run `dvc repro"),
    "no column": (not_a_table, "no column, evaluation .*: predictions.csv"),
    "old": (
        lambda toy: execution(toy.store, "old", table(IOUS), metrics={}),
        "no gain_over_mean_box, .* older version",
    ),
    "no model": (without_model, "this store has no logged model of its training, or several; run `dvc repro --force`"),
    "no files": (no_files, "the logged model is READY, and its files are gone; train again"),
    "base": (
        lambda toy: execution(toy.store, "base", table(IOUS)),
        "base: 2 evaluations match: .*; give the id",
    ),
    "unknown": (nothing, "unknown: no run of that id or name in this checkout's mlflow.db; an id needs six characters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_can_not_be_compared_is_reported_in_one_line_and_not_registered(
    toy: Toy, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    prepare, message = REFUSED[name]
    prepare(toy)
    assert main(["promote", name]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("localizer promote: ")
    with pytest.raises(ValueError, match=message):
        raise ValueError(line)
    assert (toy.versions, toy.aliases, REASONS.exists()) == ({}, {}, False)


def test_another_test_split_is_reported_and_not_registered(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    promoted("base")
    assert main(["promote", "other side"]) == 1
    assert "were tested on different splits: 1 images" in capsys.readouterr().err
    assert set(toy.versions) == {1}


@pytest.mark.parametrize(
    ("commit", "caveat"),
    [
        (
            {"git.commit": "abcdef0123", "git.dirty": "true"},
            "made from changes that weren't committed to abcdef01: git",
        ),
        (
            {"git.commit": "unknown", "git.dirty": "unknown"},
            "its commit is unknown: the code that made it can't be identified",
        ),
    ],
)
def test_a_model_that_git_can_not_reproduce_is_promoted_with_a_caveat(
    toy: Toy, commit: dict[str, str], caveat: str
) -> None:
    execution(toy.store, "dirty", table(IOUS), commit=commit)
    promoted("dirty")
    assert reasons()["reasons"][-1].startswith(caveat)
    assert caveat in toy.versions[1]["reasons"]


def keep_experiment(name: str, metrics: dict[str, float]) -> str:
    """Let the working directory's git have an experiment of DVC with these metrics; return the commit it was run on."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], env=environment(), check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "-q")
    Path(".dvc/config").touch()
    git("add", ".dvc/config")
    git("commit", "-qm", "base")
    base = git("rev-parse", "HEAD")
    Path("reports/evaluate").mkdir(parents=True)
    Path("reports/evaluate/metrics.json").write_text(json.dumps(metrics))
    git("add", "reports")
    git("commit", "-qm", "experiment")
    git("update-ref", f"refs/exps/{base[:2]}/{base[2:]}/{name}", "HEAD")
    return base


@pytest.mark.parametrize(
    ("metrics", "caveat"),
    [
        (GAINS, "made by the experiment warm on {}; `dvc exp branch warm NAME` keeps it"),
        (GAINS | {"mean_iou": 0.9}, "made from changes that weren't committed to {}: git alone can't reproduce it"),
    ],
    ids=["its own", "another's"],
)
def test_an_experiment_that_reproduces_the_model_is_named(toy: Toy, metrics: dict[str, float], caveat: str) -> None:
    base = keep_experiment("warm", metrics)
    execution(toy.store, "warm", table(IOUS), commit={"git.commit": base, "git.dirty": "true"})
    promoted("warm")
    assert reasons()["reasons"][-1] == caveat.format(base[:8])


def test_a_committed_model_has_no_caveat(toy: Toy) -> None:
    promoted("base")
    assert len(reasons()["reasons"]) == 2


def test_a_missing_store_is_not_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["promote", "base"]) == 1
    assert "no such file, so there are no runs here" in capsys.readouterr().err
    assert not (tmp_path / "mlflow.db").exists()


def test_mlflow_registry_uri_changes_nothing(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "sqlite:///elsewhere.db")
    promoted("base")
    assert toy.aliases == {"champion": 1}
    assert not Path("elsewhere.db").exists()


def test_concurrent_promotions_are_decided_one_after_the_other(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    decide, locked, champion = promotion._decide, Registry.locked, Registry.champion
    comparing, waiting, reading = threading.Event(), threading.Event(), threading.Event()
    codes: dict[str, int] = {}

    def lock(registry: Registry) -> Any:
        if comparing.is_set():
            waiting.set()
        return locked(registry)

    def read(registry: Registry) -> Any:
        if comparing.is_set():
            reading.set()
        return champion(registry)

    def slowly(challenger: Any, *arguments: Any, **named: Any) -> Any:
        if challenger.name == "base":
            comparing.set()
            assert waiting.wait(timeout=60)
            assert not reading.wait(timeout=2)  # without a lock the other would read the champion at once
        return decide(challenger, *arguments, **named)

    def start(name: str) -> None:
        codes[name] = main(["promote", name])

    monkeypatch.setattr(promotion, "_decide", slowly)
    monkeypatch.setattr(Registry, "locked", lock)
    monkeypatch.setattr(Registry, "champion", read)
    first, second = (threading.Thread(target=start, args=[name]) for name in ("base", "worse"))
    first.start()
    assert comparing.wait(timeout=60)
    second.start()
    for thread in (first, second):
        thread.join(timeout=60)
    assert codes == {"base": 0, "worse": 1}
    assert {number: tags["verdict"] for number, tags in toy.versions.items()} == {1: "promoted", 2: "refused"}
    assert toy.versions[2]["reasons"].startswith("worse than version 1 (base)")
    assert toy.aliases == {"champion": 1}


def test_a_better_model_is_refused_if_the_alias_was_moved_during_the_comparison(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted("base", "best")
    toy.client.set_registered_model_alias("localizer", "champion", "1")
    decide = promotion._decide

    def moved(*arguments: Any, **named: Any) -> Any:
        verdict = decide(*arguments, **named)
        toy.client.set_registered_model_alias("localizer", "champion", "2")
        return verdict

    monkeypatch.setattr(promotion, "_decide", moved)
    assert main(["promote", "better"]) == 1
    assert toy.aliases == {"champion": 2, "former-champion": 1}
    reason = "the champion changed from version 1 to version 2 during the comparison; run `localizer promote` again"
    assert (toy.versions[3]["verdict"], toy.versions[3]["reasons"].split("\n")[0]) == ("refused", reason)
    assert (reasons()["promoted"], reasons()["reasons"][0], reasons()["champion"]) == (False, reason, 1)
    printed = capsys.readouterr().out
    assert "refused: better, version 3" in printed
    assert printed.endswith("models:/localizer@champion is version 2\nreasons: reports/promote/verdict.json\n")


def test_a_promotion_that_the_store_broke_off_is_completed_by_a_second_call(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    promoted("base")

    def locked(*_: object, **__: object) -> None:
        raise MlflowException("database is locked")

    with monkeypatch.context() as patch:
        patch.setattr(Registry, "set_champion", locked)
        assert main(["promote", "better"]) == 1
    assert "mlflow.db: database is locked; run it again" in capsys.readouterr().err
    assert toy.aliases == {"champion": 1}
    promoted("better")
    assert (toy.aliases, set(toy.versions)) == ({"champion": 2, "former-champion": 1}, {1, 2})


def test_a_model_whose_reasons_can_not_be_saved_is_not_the_champion(toy: Toy) -> None:
    Path("why.json.part").mkdir()  # which blocks the temporary file of why.json
    assert main(["promote", "base", "--reasons", "why.json"]) == 1
    assert toy.aliases == {}
    assert "verdict" not in toy.versions[1]
