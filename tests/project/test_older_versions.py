"""What version 0.1.0 made, commit 097e965, still works: its results, and its runs in MLflow.

tests/support/made_at_097e965 has what `make repro` of that commit left, without the weights' values and the pictures.
"""

import json
import shutil
from pathlib import Path

import pytest
from evaluated_toy import enter, log_model
from project import run

from localizer.cli import main
from localizer.comparison.results import ResultFinder
from localizer.model.saving import read_model_card
from localizer.tracking.store import Store, open_store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's store, of SQLAlchemy
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon:DeprecationWarning"),  # DVC's graph, of pygtrie
]

MADE = Path(__file__).parents[1] / "support" / "made_at_097e965"
PLACES = {
    "dvc_yaml.txt": "dvc.yaml",
    "dvc_lock.txt": "dvc.lock",
    "params.yaml": "params.yaml",
    "metrics.json": "reports/evaluate/metrics.json",
    "predictions.csv": "reports/evaluate/predictions.csv",
}
METRICS = json.loads((MADE / "metrics.json").read_text())


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the committed results, and a store with the runs."""
    for name, place in PLACES.items():
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MADE / name, tmp_path / place)
    (tmp_path / ".gitignore").write_text("mlflow.db*\nmlartifacts\n.localizer\n")
    run(tmp_path, "git", "init", "-q")
    run(tmp_path, "dvc", "init", "-q")
    run(tmp_path, "git", "add", "-A")
    run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "results")
    enter(tmp_path, monkeypatch)
    return tmp_path


def log_runs(store: Store) -> dict[str, str]:
    """Log the runs as that version tagged them; return their ids by name, the pipeline's as `pipeline`."""
    runs = json.loads((MADE / "runs.json").read_text())
    new: dict[str, str] = {}
    for one in reversed(runs):  # the pipeline's run, which started first, stands last
        new[one["id"]] = store.client.create_run(store.experiment_id, run_name=one["name"]).info.run_id
    for one in runs:
        tags = {name: value for name, value in one["tags"].items() if name != "process"}
        for old, now in new.items():
            tags = {name: value.replace(old, now) for name, value in tags.items()}
        store.write_tags(new[one["id"]], tags)
        store.write_params(new[one["id"]], one["params"])
        for name, value in one["metrics"].items():
            store.client.log_metric(new[one["id"]], name, value)
        if one["name"] == "evaluate":
            store.client.log_artifact(new[one["id"]], str(MADE / "predictions.csv"))
        if one["name"] == "train":
            log_model(store, new[one["id"]])
        store.client.set_terminated(new[one["id"]], one["status"])
    return {("pipeline" if one["tags"]["kind"] == "pipeline" else one["name"]): new[one["id"]] for one in runs}


def test_a_model_file_is_refused_with_the_commit_that_reads_it() -> None:
    """Its head is gone; a version 2 or 3 of the card tells so before anything is read wrongly."""
    version = json.loads((MADE / "localizer.json").read_text())["version"]
    with pytest.raises(ValueError, match=rf"expected version \d, got {version}; .* Localizer at commit f93d18a"):
        read_model_card(MADE / "localizer.json")


def test_results_that_were_committed_are_compared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ResultFinder().find("rev:HEAD")
    assert found.metrics == METRICS
    assert found.images is not None
    assert len(found.images) == METRICS["images"]
    assert found.params["train.epochs"] == 16
    assert "src/localizer/training/engine.py" in found.sources
    assert main(["compare", "rev:HEAD", "workspace"]) == 0
    assert f"{METRICS['mean_iou']:.3f}" in capsys.readouterr().out


def test_runs_are_traced_and_their_evaluations_found(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = log_runs(open_store())
    assert main(["trace", ids["evaluate"]]) == 0
    told = capsys.readouterr().out
    for stage in ("prepare", "validate", "split", "train", "evaluate"):
        assert f"{stage} {ids[stage][:8]} FINISHED" in told, told
    assert "src/localizer" not in told
    found = ResultFinder().find(f"run:{ids['pipeline']}")
    assert found.images is not None
    assert len(found.images) == METRICS["images"]
    assert found.params["train.epochs"] == "16"


def test_a_run_is_promoted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = log_runs(open_store())
    assert main(["promote", ids["pipeline"]]) == 0, capsys.readouterr()
    assert "champion" in capsys.readouterr().out
