"""The command `localizer weights`: it tells of a file what training then does with it."""

import shutil
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from localizer import config
from localizer.cli import main
from localizer.files import file_sha256
from localizer.model.localizer import Localizer
from localizer.model.weights import load_pretrained
from localizer.training.params import TrainParams

ROOT = Path(__file__).resolve().parents[2]
PARAMS = config.load("train", TrainParams, path=ROOT / "params.yaml").model_copy(update={"depth": 18})


@pytest.fixture(autouse=True)
def _project() -> None:
    shutil.copy(ROOT / "params.yaml", "params.yaml")
    Path("weights").mkdir()


def resnet(depth: int) -> dict[str, torch.Tensor]:
    return dict(torchvision.models.get_model(f"resnet{depth}", weights=None).state_dict())


def lines(capsys: pytest.CaptureFixture[str], *arguments: str, status: int) -> list[str]:
    """Run the command and return the lines of its output."""
    assert main(["weights", *arguments]) == status
    return capsys.readouterr().out.splitlines()


def test_a_classifier_fits_by_its_depth_whatever_the_params_are(capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(resnet(50), "weights/fifty.pth")
    assert lines(capsys, "fifty.pth", status=0) == [
        f"weights/fifty.pth: 320 tensors, SHA-256 {file_sha256(Path('weights/fifty.pth'))}",
        "fits a ResNet-50",
        "backbone: 265 of 265 tensors fit",  # 53 convolutions and, of 53 layers of BatchNorm, 4 tensors that matter
        "head: left out, since it isn't that of this model: fc.weight, fc.bias",
        "usable: dvc exp run -S train.weights=fifty.pth -S train.depth=50",
    ]


def test_a_model_of_ours_fits_with_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    model = Localizer(PARAMS.architecture)
    save_file(model.state_dict(), "own.safetensors")
    count = sum(name.startswith("backbone.fc.") for name in model.state_dict())
    shown = lines(capsys, "own.safetensors", status=0)
    assert shown[1:4] == [
        "fits a ResNet-18, below backbone.",
        "backbone: 100 of 100 tensors fit",
        f"head: all {count} tensors fit and are loaded, too",
    ]
    assert (
        shown[4]
        == "usable: cp own.safetensors weights/ && dvc exp run -S train.weights=own.safetensors -S train.depth=18"
    )


def test_what_is_missing_unexpected_or_of_another_shape_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    tensors = resnet(18) | {"layer1.0.se.weight": torch.ones(1), "bn1.bias": torch.ones(3)}
    del tensors["layer2.0.bn1.bias"], tensors["fc.weight"], tensors["fc.bias"]
    save_file(tensors, "odd.safetensors")
    assert lines(capsys, "odd.safetensors", status=1)[1:] == [
        "not usable; closest to a ResNet-18",
        "backbone: 98 of 100 tensors fit",
        "1 missing: layer2.0.bn1.bias",
        "1 unexpected: layer1.0.se.weight",
        "1 of another shape: bn1.bias",
        "head: none in the file",
    ]


def test_a_file_of_something_else_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("notes.pth").write_text("text")
    assert main(["weights", "notes.pth"]) == 1
    assert capsys.readouterr().err.startswith("localizer weights: notes.pth: not a file of weights alone: ")
    assert main(["weights", "absent.pth"]) == 1
    assert "absent.pth: no such file" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["", "prefix", "missing", "unexpected", "shape", "two", "none"])
def test_the_command_and_the_training_agree(change: str) -> None:
    tensors = resnet(18)
    if change == "missing":
        del tensors["conv1.weight"]
    tensors |= {"unexpected": {"conv2.weight": torch.ones(1)}, "shape": {"bn1.bias": torch.ones(2)}}.get(change, {})
    content = {"a": tensors, "b": tensors} if change == "two" else {"a": tensors} if change == "prefix" else tensors
    torch.save({} if change == "none" else content, "weights/x.pth")
    try:
        load_pretrained(Localizer(PARAMS.architecture), "x.pth")
        usable = True
    except ValueError:
        usable = False
    assert main(["weights", "x.pth"]) == (0 if usable else 1)
    assert usable == (change in ("", "prefix"))
