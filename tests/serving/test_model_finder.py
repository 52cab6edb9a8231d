"""Models by name, in a small repository of git and DVC and a small store of MLflow."""

import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from evaluated_toy import WEIGHTS, Logged, enter, execution, log_model
from mlflow import MlflowClient
from tracking_toy import environment

from localizer.calibration import Calibration
from localizer.model.localizer import Architecture
from localizer.model.saving import ModelCard
from localizer.serving.model_finder import find_model
from localizer.tracking.history.runs import History
from localizer.tracking.registry.registry import Registry
from localizer.tracking.store import Store, open_store

pytestmark = [
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's store, of SQLAlchemy
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),  # DVC's graph, of pygtrie
]

CARD = "models/localizer.json"


@dataclass(frozen=True)
class Toy:
    """A repository with weights in its commits and experiments, and a store with runs."""

    root: Path
    store: Store
    runs: dict[str, Logged]

    def folder(self, name: str) -> Path:
        """Return the store's folder of the model that a run logged."""
        model_id = self.runs[name].model.removeprefix("models:/")
        return Path(self.store.client.get_logged_model(model_id).artifact_location.removeprefix("file://"))

    def weights(self, name: str) -> Path:
        return self.folder(name) / "artifacts" / "localizer.safetensors"


def write_model(folder: Path, content: str, *, label: str = "cat") -> None:
    """Write weights of this content, which no network could load, and their card."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "localizer.safetensors").write_text(content)
    digest = hashlib.sha256(content.encode()).hexdigest()
    architecture, calibration = Architecture(depth=18), Calibration(20, 0.25, 0.9)
    card = ModelCard(architecture, 32, label, 1, 0.5, {}, calibration, digest)
    (folder / "localizer.json").write_text(json.dumps(asdict(card)))


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, env=environment(), check=True, capture_output=True)


def make_repository(root: Path) -> None:
    """Tag bare has no model, v1 one, v2 another, v3 that of v2 with another card, lost one that is not in the cache."""
    from dvc.repo import Repo

    git(root, "init", "-q")
    (root / ".gitignore").write_text("mlflow.db*\nmlartifacts/\n.localizer/\n")
    with Repo.init(str(root)) as repo:
        git(root, "add", "-A")
        git(root, "commit", "-qm", "bare")
        git(root, "tag", "bare")
        for tag, content, label in (("v1", "one", "cat"), ("v2", "two", "cat"), ("v3", "two", "dog"), ("lost", "", "")):
            write_model(root / "models", content, label=label)
            repo.add([WEIGHTS, CARD])
            git(root, "add", "-A")
            git(root, "commit", "-qm", tag)
            git(root, "tag", tag)
        git(root, "checkout", "-q", "v2")
    lost = hashlib.md5(b"").hexdigest()
    (root / ".dvc/cache/files/md5" / lost[:2] / lost[2:]).unlink()


def log_models(store: Store, *names: str) -> dict[str, Logged]:
    return {name: execution(store, name) for name in names}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Toy:
    root = tmp_path_factory.mktemp("toy") / "project"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        make_repository(root)
        shutil.copy(empty_store, root / "mlflow.db")
        store = open_store()
        toy = Toy(root, store, log_models(store, "plain", "old", "gone", "v1", "v2", "far", "ui"))
        for name in ("plain", "v1", "v2", "far", "ui"):
            write_model(toy.weights(name).parent, f"of {name}")
        shutil.rmtree(toy.folder("gone"))
        digest = hashlib.md5(b"two").hexdigest()
        store.client.set_tag(toy.runs["v2"].train, f"out.{WEIGHTS}", digest)
        store.client.set_tag(toy.runs["v2"].evaluate, f"in.{WEIGHTS}", digest)
        return toy


@pytest.fixture
def toy(made: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    enter(made.root, monkeypatch)
    return made


def test_a_file_is_that_file() -> None:
    write_model(Path("mine"), "x")
    assert find_model("mine/localizer.safetensors") == Path("mine/localizer.safetensors")


def test_a_missing_file_is_an_error_with_all_forms_of_a_model() -> None:
    with pytest.raises(
        ValueError, match=r"^mine\.safetensors: no such file; --model expects a \.safetensors file .*rev:"
    ):
        find_model("mine.safetensors")


def test_a_missing_model_of_the_last_run_is_an_error_with_the_command_that_trains_it() -> None:
    with pytest.raises(ValueError, match=r"^models/localizer\.safetensors: no such file; train it with `dvc repro`"):
        find_model("models/localizer.safetensors")


def test_a_file_of_another_type_is_refused() -> None:
    Path("model.onnx").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.onnx: expected a \.safetensors file"):
        find_model("model.onnx")


@pytest.mark.parametrize(("name", "content"), [("rev:v1", "one"), ("rev:v2", "two"), ("v3~2", "one"), ("HEAD", "two")])
def test_a_revision_names_its_model(toy: Toy, name: str, content: str) -> None:
    found = find_model(name)
    assert found.read_text() == content
    assert found.with_suffix(".json").is_file()
    assert found.is_relative_to(toy.root / ".localizer/models")


def test_an_experiment_names_its_model(toy: Toy) -> None:
    # As DVC keeps an experiment on v2.
    sha = subprocess.check_output(["git", "rev-parse", "v2"], cwd=toy.root, text=True).strip()
    git(toy.root, "update-ref", f"refs/exps/{sha[:2]}/{sha[2:]}/warm-fly", "v1")
    assert find_model("warm-fly").read_text() == "one"


def test_the_same_weights_with_two_cards_are_two_models(toy: Toy) -> None:
    labels = [json.loads(find_model(f"rev:{tag}").with_suffix(".json").read_text())["label"] for tag in ("v2", "v3")]
    assert labels == ["cat", "dog"]


def test_a_revision_is_fetched_once_and_again_if_its_copy_is_corrupt(
    toy: Toy, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(toy.root / ".localizer/models", ignore_errors=True)
    fetched = []
    for _ in range(2):
        find_model("rev:v1")
        fetched.append(capsys.readouterr().err.count("fetching the model"))
    find_model("rev:v1").write_text("on")
    assert find_model("rev:v1").read_text() == "one"
    assert fetched == [1, 0]


def test_a_revision_without_a_model_is_an_error(toy: Toy) -> None:
    with pytest.raises(ValueError, match=r"^rev:bare: no models/localizer\.safetensors in the revision \w{7}; --model"):
        find_model("rev:bare")


def test_a_revision_whose_model_can_not_be_fetched_is_an_error_with_the_command_that_rebuilds_it(toy: Toy) -> None:
    with pytest.raises(ValueError, match=r"neither in DVC's cache nor in its remote .* && dvc repro`") as caught:
        find_model("rev:lost")
    assert str(caught.value).startswith("lost: models/localizer.safetensors of ")
    assert not [*(toy.root / ".localizer").rglob("*.part")]


@pytest.mark.parametrize("name", ["HEAD:.gitignore", "HEAD^{tree}"])
def test_a_file_or_folder_of_a_commit_is_no_revision(toy: Toy, name: str) -> None:
    with pytest.raises(ValueError, match=r"^rev:HEAD.*: no branch, tag, commit or experiment; --model expects"):
        find_model(f"rev:{name}")


def test_an_empty_name_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"^--model '': an empty name"):
        find_model("")


def test_an_unknown_name_is_an_error_with_all_that_was_tried(toy: Toy) -> None:
    with pytest.raises(ValueError, match=r"^none: no file, no branch, tag, commit or experiment, no run of .*; --mod"):
        find_model("none")


def test_a_folder_is_an_error(toy: Toy) -> None:
    with pytest.raises(ValueError, match=r"^models: a folder, no branch"):
        find_model("models")


def test_an_unknown_revision_is_an_error(toy: Toy) -> None:
    with pytest.raises(ValueError, match=r"^rev:none: no branch, tag, commit or experiment; --model expects"):
        find_model("rev:none")


@pytest.mark.parametrize("name", ["run:none", "runs:/none/model"])
def test_an_unknown_run_is_an_error(toy: Toy, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: no run of that id or name in MLflow; --model expects"):
        find_model(name)


@pytest.mark.parametrize("name", ["plain", "run:plain", "runs:/plain/model"])
def test_a_run_names_the_model_that_its_training_logged(toy: Toy, name: str) -> None:
    assert find_model(name) == toy.weights("plain")


@pytest.mark.parametrize("which", ["pipeline", "train", "evaluate"])
def test_any_run_of_a_pipeline_names_its_model(toy: Toy, which: str) -> None:
    assert find_model(getattr(toy.runs["plain"], which)[:8]) == toy.weights("plain")


def test_a_run_whose_evaluation_is_running_names_the_model_of_its_training(toy: Toy) -> None:
    ran = execution(toy.store, "open", status="RUNNING")
    with pytest.raises(ValueError, match=f"{ran.model}: no localizer.safetensors"):
        find_model("open")


def test_a_training_that_logged_two_models_is_an_error(toy: Toy) -> None:
    ran = execution(toy.store, "two models")
    log_model(toy.store, ran.train)
    with pytest.raises(
        ValueError, match=rf"no logged model, or several, of the training of {ran.pipeline} \(two models\)"
    ):
        find_model("two models")


def test_an_ambiguous_name_is_an_error_with_all_models_newest_first(toy: Toy) -> None:
    first, second = execution(toy.store, "twice"), execution(toy.store, "twice")
    with pytest.raises(ValueError, match="twice: ambiguous, 2 models") as caught:
        find_model("twice")
    places = [str(caught.value).index(f"run:{run.pipeline} (twice, {run.model})") for run in (second, first)]
    assert places == sorted(places)


def test_a_run_and_a_revision_of_one_name_and_the_same_weights_are_one_model(toy: Toy) -> None:
    assert find_model("v2").read_text() == "two"


def test_a_run_and_a_revision_of_one_name_and_different_weights_are_an_error(toy: Toy) -> None:
    pipeline = toy.runs["v1"].pipeline
    with pytest.raises(ValueError, match=rf"v1: both a run .* with different weights; write run:{pipeline} or rev:v1"):
        find_model("v1")


def test_a_prefix_selects_the_run_or_the_revision(toy: Toy) -> None:
    assert (find_model("run:v1").read_text(), find_model("rev:v1").read_text()) == ("of v1", "one")


def test_a_run_without_a_model_does_not_hide_the_revision_of_its_name(toy: Toy) -> None:
    toy.store.client.create_run(toy.store.experiment_id, tags={"kind": "pipeline"}, run_name="v3")
    assert find_model("v3").read_text() == "two"


def test_a_revision_without_a_model_does_not_hide_the_run_of_its_name(toy: Toy) -> None:
    ran = execution(toy.store, "bare")
    with pytest.raises(ValueError, match=f"{ran.model}: no localizer.safetensors"):
        find_model("bare")


def test_a_logged_model_is_found_by_its_id(toy: Toy) -> None:
    assert find_model(toy.runs["plain"].model) == toy.weights("plain")


def test_an_unknown_logged_model_is_an_error(toy: Toy) -> None:
    with pytest.raises(ValueError, match=rf"models:/m-{'0' * 32}: .*not found"):
        find_model(f"models:/m-{'0' * 32}")


def test_a_champion_and_a_version_name_the_model_that_was_promoted(toy: Toy) -> None:
    registry = Registry(toy.store)
    version = registry.register(toy.runs["plain"].model)
    registry.set_champion(version, instead_of=None)
    assert find_model("models:/localizer@champion") == toy.weights("plain")
    assert find_model(f"models:/localizer/{version.number}") == toy.weights("plain")


def test_a_version_that_was_registered_from_a_folder_names_the_model_of_that_folder(toy: Toy) -> None:
    register_by_hand(toy, "ui", source=str(toy.folder("ui")))
    log_model(toy.store, toy.runs["ui"].train)  # so that the run doesn't determine it
    assert find_model("models:/of-ui/1") == toy.weights("ui")


def test_a_version_that_was_registered_from_a_run_names_the_model_that_it_logged(toy: Toy) -> None:
    register_by_hand(toy, "plain", source=f"runs:/{toy.runs['plain'].train}/model")
    assert find_model("models:/of-plain/1") == toy.weights("plain")


def test_a_version_of_something_else_than_a_logged_model_is_an_error(toy: Toy) -> None:
    register_by_hand(toy, "old", source="elsewhere/model", run_id="0" * 32)
    with pytest.raises(ValueError, match="models:/of-old/1: version 1 was registered from elsewhere/model, not a"):
        find_model("models:/of-old/1")


def register_by_hand(toy: Toy, name: str, *, source: str, run_id: str | None = None) -> None:
    """Register what a run logged, as version 1 of a model that is named after it."""
    address = toy.store.client.tracking_uri
    client = MlflowClient(address, registry_uri=address)
    client.create_registered_model(f"of-{name}")
    client.create_model_version(f"of-{name}", source, run_id or toy.runs[name].train)


def test_a_missing_champion_is_an_error_with_the_command_that_makes_one(toy: Toy) -> None:
    with pytest.raises(ValueError, match=r"^models:/nobody@champion: .*not found.*; `localizer promote RUN` sets"):
        find_model("models:/nobody@champion")


@pytest.mark.parametrize("name", ["models:/localizer/latest", "models:/localizer", "models:/m-1", "runs:/"])
def test_an_address_of_another_form_is_an_error_with_the_accepted_forms(toy: Toy, name: str) -> None:
    with pytest.raises(ValueError, match=rf"^{name}: expected models:/localizer@champion, "):
        find_model(name)


def test_a_model_that_was_logged_without_its_files_is_an_error(toy: Toy) -> None:
    with pytest.raises(ValueError, match=f"{toy.runs['old'].model}: no localizer.safetensors .*older Localizer; train"):
        find_model("old")


def test_a_model_whose_files_are_deleted_is_an_error(toy: Toy) -> None:
    with pytest.raises(ValueError, match=f"{toy.runs['gone'].model}: no localizer.safetensors .*its files are gone"):
        find_model("gone")


def test_a_model_on_a_server_is_copied_once(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    remote, downloads = toy.folder("far"), []

    def download(*, artifact_uri: str, dst_path: str, tracking_uri: str) -> None:
        downloads.append(artifact_uri)
        shutil.copytree(remote, Path(dst_path) / "artifacts")

    logged = SimpleNamespace(artifact_location="mlflow-artifacts:/0/far", source_run_id=toy.runs["far"].train)
    monkeypatch.setattr(History, "logged_model", lambda _history, _model_id: (toy.store, logged))
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", download)
    for _ in range(2):
        found = find_model("far")
        assert found.is_relative_to(toy.root / ".localizer/models" / toy.runs["far"].model.removeprefix("models:/"))
        assert found.read_text() == "of far"
    assert downloads == ["mlflow-artifacts:/0/far"]


@pytest.mark.parametrize("name", ["run:plain", "plain", "models:/localizer@champion"])
def test_a_missing_store_is_in_the_error(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(tmp_path, monkeypatch)
    with pytest.raises(ValueError, match=rf"^{name}: .*mlflow\.db: no such file, so there are no runs here"):
        find_model(name)
    assert not [*tmp_path.iterdir()]
