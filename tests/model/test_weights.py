"""Weights to start from: torchvision's names, files of others, and clear words where they don't fit."""

import io
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from localizer.model.localizer import Architecture, Localizer
from localizer.model.weights import load_pretrained

SMALL = Architecture(depth=18, head="grid", grid=2)


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return dict(torchvision.models.resnet18(weights=None).state_dict())


@pytest.fixture
def model() -> Localizer:
    Path("weights").mkdir()
    torch.manual_seed(0)
    return Localizer(SMALL)


def ours(name: str) -> str:
    return f"backbone.{name}"


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("rename", [str, ours], ids=["torchvision's", "ours"])
def test_a_file_gives_all_but_the_head(
    model: Localizer, reference: dict[str, torch.Tensor], suffix: str, rename: Callable[[str], str]
) -> None:
    named = {rename(name): tensor for name, tensor in reference.items()}
    path = f"weights/some.{suffix}"
    torch.save(named, path) if suffix == "pth" else save_file(named, path)
    head = model.get_parameter("backbone.fc.linear.weight").clone()
    assert not torch.equal(model.get_parameter("backbone.layer4.1.conv2.weight"), reference["layer4.1.conv2.weight"])
    load_pretrained(model, f"some.{suffix}")
    for name, tensor in model.backbone.state_dict().items():
        assert name.startswith("fc.") or torch.equal(tensor, reference[name])
    torch.testing.assert_close(model.get_parameter("backbone.fc.linear.weight"), head, atol=0, rtol=0)


def test_none_changes_nothing(model: Localizer) -> None:
    before = model.backbone.conv1.weight.clone()
    load_pretrained(model, "none")
    assert torch.equal(model.backbone.conv1.weight, before)


def test_a_model_of_another_depth_is_refused(model: Localizer) -> None:
    save_file(torchvision.models.resnet34(weights=None).state_dict(), "weights/deep.safetensors")
    with pytest.raises(
        ValueError, match=r"weights deep\.safetensors: does not fit a ResNet-18: unexpected key layer1\.2\."
    ):
        load_pretrained(model, "deep.safetensors")


def test_weights_of_other_shapes_are_refused(model: Localizer) -> None:
    save_file(torchvision.models.resnet50(weights=None).state_dict(), "weights/wide.safetensors")
    with pytest.raises(ValueError, match="does not fit a ResNet-18: size mismatch"):
        load_pretrained(model, "wide.safetensors")


def test_a_missing_file_is_told_with_those_that_are_there(model: Localizer) -> None:
    Path("weights/there.pth").touch()
    with pytest.raises(ValueError, match=r"weights/absent\.pth: no such file; .* which has there\.pth"):
        load_pretrained(model, "absent.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04"])
def test_a_file_of_something_else_is_named(model: Localizer, suffix: str, content: bytes) -> None:
    Path(f"weights/other.{suffix}").write_bytes(content)
    with pytest.raises(ValueError, match=rf"weights/other\.{suffix}: not a file of weights"):
        load_pretrained(model, f"other.{suffix}")


def test_a_whole_pickled_model_is_refused(model: Localizer) -> None:
    torch.save(torchvision.models.resnet18(weights=None), "weights/whole.pth")
    with pytest.raises(ValueError, match=r"whole\.pth: not a file of weights"):
        load_pretrained(model, "whole.pth")


def test_imagenet_comes_through_torchvisions_loader_with_its_check_of_the_hash(
    model: Localizer, reference: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = io.BytesIO()
    torch.save(reference, content)
    told: dict[str, object] = {}

    def load(url: str, **how: object) -> dict[str, torch.Tensor]:
        told.update(how, url=url)
        return torch.load(io.BytesIO(content.getvalue()), weights_only=True)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    load_pretrained(model, "imagenet")
    assert str(told["url"]).endswith("resnet18-f37072fd.pth")
    assert told["check_hash"] is True
    assert torch.equal(model.backbone.conv1.weight, reference["conv1.weight"])


def test_without_a_network_imagenet_says_what_to_do(model: Localizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(url: str, **_: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    with pytest.raises(ValueError, match=r"no route to host; .* train\.weights=resnet18-f37072fd\.pth"):
        load_pretrained(model, "imagenet")
