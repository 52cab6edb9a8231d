"""`localizer verify` on a tiny project: it agrees with itself, and names what was changed."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from project import TINY, commit, make_project, run, set_params

pytestmark = pytest.mark.pipeline

CERTIFICATE = Path("reports/verify/certificate.json")
ENGINE = Path("src/localizer/training/loop.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A tiny project that has run and is committed."""
    folder = tmp_path_factory.mktemp("verified")
    make_project(folder, TINY)
    shutil.copy(empty_store, folder / "mlflow.db")
    run(folder, "dvc", "repro")
    commit(folder)
    return folder


def certificate(project: Path) -> dict[str, object]:
    return dict(json.loads((project / CERTIFICATE).read_text()))


@contextmanager
def changed(path: Path) -> Iterator[None]:
    """Leave the file as it is at the end as it was at the start."""
    before = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(before)


def test_a_committed_pipeline_gives_the_same_again(project: Path) -> None:
    printed = run(project, "localizer", "verify")
    assert printed.splitlines()[-1] == f"same: {CERTIFICATE}"
    told = certificate(project)
    assert told["verdict"] == "same"
    assert "models/localizer.safetensors" in json.dumps(told["stages"])
    assert str(project) not in json.dumps(told)
    assert run(project, "git", "status", "--short") == ""


def test_one_pixel_of_one_image_is_named(project: Path) -> None:
    image = min((project / "data/demo/raw/images").iterdir())
    with changed(image):
        picture = Image.open(image).convert("RGB")
        red, *others = picture.getpixel((0, 0))  # type: ignore[misc]
        picture.putpixel((0, 0), (255 - int(red), *others))
        picture.save(image)
        printed = run(project, "localizer", "verify", status=1)
    assert f"data/demo/raw/images/{image.name}" in printed
    assert certificate(project)["verdict"] == "differs"


def test_one_parameter_is_named_with_both_values(project: Path) -> None:
    with changed(project / "params.yaml"):
        set_params(project, {"train": {"lr": 0.003}})
        printed = run(project, "localizer", "verify", status=1)
    assert "train.lr" in printed
    assert "0.003" in printed


def test_one_line_of_training_code_is_named(project: Path) -> None:
    with changed(project / ENGINE):
        text = (project / ENGINE).read_text()
        (project / ENGINE).write_text(text + "# a line more\n")
        printed = run(project, "localizer", "verify", status=1)
    assert ENGINE.as_posix() in printed


def test_one_flipped_bit_of_the_weights_is_named(project: Path) -> None:
    weights = project / "models/localizer.safetensors"
    with changed(weights):
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
        printed = run(project, "localizer", "verify", status=1)
    assert "models/localizer.safetensors" in printed


def test_code_that_was_committed_but_not_run_is_named(project: Path) -> None:
    (project / ENGINE).write_text((project / ENGINE).read_text() + "# a line more\n")
    commit(project)
    assert f"{ENGINE.parent.as_posix()}: dvc.lock has md5" in run(project, "localizer", "verify", status=1)
