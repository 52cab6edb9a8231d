"""`localizer verify` on a tiny project: it reproduces its own outputs, and names what was changed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from project import commit, copy_project, run, set_params

pytestmark = pytest.mark.pipeline

CERTIFICATE = Path("reports/verify/certificate.json")
TRAINING_LOOP = Path("src/localizer/training/loop.py")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, finished_project: Path, empty_store: Path) -> Path:
    """Return a tiny project after its first `dvc repro`, committed."""
    folder = tmp_path_factory.mktemp("verified")
    copy_project(finished_project, folder, {}, store=empty_store)
    commit(folder)
    return folder


def certificate(project: Path) -> dict[str, object]:
    return dict(json.loads((project / CERTIFICATE).read_text()))


@contextmanager
def restored(path: Path) -> Iterator[None]:
    """Restore the file's content at the end."""
    before = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(before)


def test_a_committed_pipeline_is_reproduced(project: Path) -> None:
    printed = run(project, "localizer", "verify")
    assert printed.splitlines()[-1] == f"same: {CERTIFICATE}"
    values = certificate(project)
    assert values["verdict"] == "same"
    assert "models/localizer.safetensors" in json.dumps(values["stages"])
    assert str(project) not in json.dumps(values)
    assert run(project, "git", "status", "--short") == ""


def test_an_image_with_one_changed_pixel_is_named(project: Path) -> None:
    image = min((project / "data/demo/raw/images").iterdir())
    with restored(image):
        pixels = Image.open(image).convert("RGB")
        red, *others = pixels.getpixel((0, 0))  # type: ignore[misc]
        pixels.putpixel((0, 0), (255 - int(red), *others))
        pixels.save(image)
        printed = run(project, "localizer", "verify", status=1)
    assert f"data/demo/raw/images/{image.name}" in printed
    assert certificate(project)["verdict"] == "differs"


def test_a_changed_parameter_is_named_with_both_values(project: Path) -> None:
    with restored(project / "params.yaml"):
        set_params(project, {"train": {"lr": 0.003}})
        printed = run(project, "localizer", "verify", status=1)
    assert "train.lr" in printed
    assert "0.003" in printed


def test_a_changed_source_file_is_named(project: Path) -> None:
    with restored(project / TRAINING_LOOP):
        text = (project / TRAINING_LOOP).read_text()
        (project / TRAINING_LOOP).write_text(text + "# another line\n")
        printed = run(project, "localizer", "verify", status=1)
    assert TRAINING_LOOP.as_posix() in printed


def test_a_weights_file_with_one_flipped_bit_is_named(project: Path) -> None:
    weights = project / "models/localizer.safetensors"
    with restored(weights):
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(bytes(content))
        printed = run(project, "localizer", "verify", status=1)
    assert "models/localizer.safetensors" in printed


def test_code_that_was_committed_but_not_rerun_is_named(project: Path) -> None:
    (project / TRAINING_LOOP).write_text((project / TRAINING_LOOP).read_text() + "# another line\n")
    commit(project)
    assert f"{TRAINING_LOOP.parent.as_posix()}: dvc.lock has md5" in run(project, "localizer", "verify", status=1)
