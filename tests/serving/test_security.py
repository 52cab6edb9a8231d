"""Promises of SECURITY.md: no code in a model file runs, installs are by hash, no secret is written to a file."""

import hashlib
import io
import json
import pickle
import re
import shutil
import zipfile
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import mlflow
import pytest
import torch
from project import ROOT, TINY, commit, make_project, run
from servers import free_port, mlflow_server

from localizer.calibration import Calibration
from localizer.model.localizer import Architecture
from localizer.model.saving import ModelCard
from localizer.predictor import Predictor
from localizer.tracking.errors import redact_credentials
from localizer.tracking.store import SETTINGS

pytestmark = pytest.mark.server

CANARY = "-".join(["canary", "in", "the", "mine"])  # assembled, so that this file does not contain it
PLANTED = {"project/.git/config", "project/.dvc/config.local"}  # where the fixture writes it


class Hostile:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("ran"),))


def test_a_pickle_named_safetensors_is_refused_and_does_not_run(tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    torch.save({"weight": Hostile()}, weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    card = ModelCard(Architecture(18), 32, "disc", 1, 0.5, {}, Calibration(0, None, None), digest)
    weights.with_suffix(".json").write_text(json.dumps(asdict(card)))
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        Predictor.load(weights, device=torch.device("cpu"))
    assert not Path("ran").exists()
    torch.load(io.BytesIO(weights.read_bytes()), weights_only=False)
    assert Path("ran").exists()  # a control: torch.load runs it


@pytest.mark.parametrize("refused", [True, False], ids=["ours", "control"])
def test_mlflow_refuses_a_pickled_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool) -> None:
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(Hostile()))
    flavor = {"loader_module": "mlflow.sklearn", "model_path": "model.pkl", "serialization_format": "pickle"}
    description = {
        "flavors": {"python_function": flavor, "sklearn": {"pickled_model": "model.pkl", **flavor}},
        "mlflow_version": mlflow.__version__,
    }
    (tmp_path / "MLmodel").write_text(json.dumps(description))
    name = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
    monkeypatch.setenv(name, SETTINGS[name] if refused else "true")
    with pytest.raises(mlflow.MlflowException, match=r"(?i)pickle") if refused else nullcontext():
        mlflow.sklearn.load_model(str(tmp_path))
    assert Path("ran").exists() is not refused


def test_everything_is_installed_by_hash() -> None:
    files = [ROOT / "Makefile", ROOT / ".ci/run", ROOT / "README.md", *(ROOT / ".github/workflows").glob("*.yml")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    installing = [line for line in lines if re.search(r"\bpip (install|sync)\b", line)]
    ours = [line for line in installing if "--editable ." in line and "--no-deps --no-build-isolation" in line]
    assert len(ours) == 1
    assert len(installing) >= 4
    assert [line for line in installing if "--require-hashes" not in line] == ours


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://me:pw@host/x", "https://host/x"),
        ("see http://token@host:5000 and s3://a:b@bucket", "see http://host:5000 and s3://bucket"),
        ("postgresql+psycopg://me:p%40w@db/runs", "postgresql+psycopg://db/runs"),
        ("git@host:team/project.git", "git@host:team/project.git"),
        ("https://host/a@b", "https://host/a@b"),
        ("plain text, me@example.org", "plain text, me@example.org"),
    ],
)
def test_user_info_is_removed_from_addresses_only(text: str, plain: str) -> None:
    assert redact_credentials(text) == plain


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A small project that ran, sent its runs to a server and was traced, with the canary in place of all secrets."""
    folder = tmp_path_factory.mktemp("secrets")
    project = folder / "project"
    make_project(project, TINY)
    shutil.copy(empty_store, project / "mlflow.db")
    run(project, "git", "remote", "add", "origin", f"https://me:{CANARY}@host.example/team/project.git")
    run(project, "dvc", "remote", "add", "--local", "-d", "team", f"https://me:{CANARY}@host.example/store")
    run(project, "dvc", "remote", "modify", "--local", "team", "password", CANARY)
    commit(project)
    outputs = []
    with mlflow_server(folder, port := free_port()), pytest.MonkeyPatch.context() as patch:
        for name in ("MLFLOW_TRACKING_PASSWORD", "AWS_SECRET_ACCESS_KEY", "GIT_PASSWORD"):
            patch.setenv(name, CANARY)
        for command in (["dvc", "repro"], ["localizer", "sync"], ["localizer", "trace", "models/localizer.json"]):
            outputs.append(run(project, *command, server=f"http://me:{CANARY}@127.0.0.1:{port}"))
    (folder / "outputs.txt").write_text("".join(outputs), encoding="utf-8")
    return folder


def holding(folder: Path, secret: str) -> list[str]:
    """Return the files below a folder that contain a secret, also inside an archive."""
    files = [file for file in folder.rglob("*") if file.is_file() and not file.is_symlink()]
    return [str(file.relative_to(folder)) for file in files if secret.encode() in _content(file.read_bytes())]


def _content(content: bytes) -> bytes:
    if zipfile.is_zipfile(io.BytesIO(content)):
        archive = zipfile.ZipFile(io.BytesIO(content))
        content += b"".join(archive.read(name) for name in archive.namelist())
    return content


def test_no_secret_is_in_a_file_that_the_pipeline_wrote(project: Path) -> None:
    assert set(holding(project, CANARY)) == PLANTED


def test_the_runs_are_on_the_server_and_the_search_finds_planted_secrets(project: Path) -> None:
    for store in ("project/mlflow.db", "server.db"):
        client = mlflow.MlflowClient(f"sqlite:///{project / store}")
        experiment = client.get_experiment_by_name("localizer")
        assert experiment
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 6
        client.set_tag(runs[0].info.run_id, "planted", secret := f"https://me:planted-{store[:3]}@host")
        assert {store} <= set(holding(project, secret))
