"""Weights to start from: torchvision's names, files of others, our own, and clear words where they don't fit."""

import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from localizer.model.localizer import Architecture, Localizer
from localizer.model.resnet import DEPTHS, Depth
from localizer.model.weights import fit_weights, load_pretrained

SMALL = Architecture(depth=18)


@pytest.fixture(scope="module")
def reference() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return dict(torchvision.models.resnet18(weights=None).state_dict())


@pytest.fixture
def model() -> Localizer:
    Path("weights").mkdir()
    torch.manual_seed(0)
    return Localizer(SMALL)


def head_of(model: Localizer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items() if name.startswith("backbone.fc.")}


def assert_loaded(model: Localizer, reference: dict[str, torch.Tensor]) -> None:
    """Assert that the backbone has these tensors, bit for bit."""
    for name, tensor in model.backbone.state_dict().items():
        assert name.startswith("fc.") or torch.equal(tensor, reference[name])


def trained(architecture: Architecture) -> Localizer:
    """Return a model none of whose parameters is as a new one's."""
    model = Localizer(architecture)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "backbone.", "module.", "model.backbone.", "_orig_mod."])
def test_a_file_gives_all_but_a_classifiers_head(
    model: Localizer, reference: dict[str, torch.Tensor], suffix: str, prefix: str
) -> None:
    named = {prefix + name: tensor for name, tensor in reference.items()}
    path = f"weights/some.{suffix}"
    torch.save(named, path) if suffix == "pth" else save_file(named, path)
    head = head_of(model)
    assert not torch.equal(model.get_parameter("backbone.layer4.1.conv2.weight"), reference["layer4.1.conv2.weight"])
    load_pretrained(model, f"some.{suffix}")
    assert_loaded(model, reference)
    assert all(torch.equal(tensor, head[name]) for name, tensor in head_of(model).items())


@pytest.mark.parametrize("depth", sorted(DEPTHS))
def test_names_and_shapes_of_torchvisions_and_timms_resnets_fit(depth: Depth) -> None:
    with torch.device("meta"):
        ours = Localizer(Architecture(depth))
        theirs = (torchvision.models.get_model(f"resnet{depth}"), timm.create_model(f"resnet{depth}"))
    for other in theirs:
        fit = fit_weights(other.state_dict(), ours, where="x")
        assert (fit.problems, fit.loaded) == ([], fit.total)
        assert sorted(fit.unused_head) == ["fc.bias", "fc.weight"]


@pytest.mark.parametrize("name", ["resnet50d", "resnet50_gn", "seresnet50", "resnext50_32x4d", "wide_resnet50_2"])
def test_a_resnet_of_another_stem_norm_block_or_width_is_refused(name: str) -> None:
    with torch.device("meta"):
        ours, other = Localizer(Architecture(50)), timm.create_model(name)
    assert fit_weights(other.state_dict(), ours, where="x").problems


def test_a_checkpoint_of_a_training_gives_the_weights_that_are_nested_in_it(
    model: Localizer, reference: dict[str, torch.Tensor]
) -> None:
    weights = {f"model.{name}": tensor for name, tensor in reference.items()} | {"model.criterion.w": torch.ones(1)}
    state = {0: {"exp_avg": torch.ones(2), "step": 3}}
    torch.save({"epoch": 7, "state_dict": weights, "optimizer_states": [state], "o": state}, "weights/last.ckpt")
    with pytest.raises(ValueError, match=r"1 unexpected: criterion\.w; is train\.depth right"):
        load_pretrained(model, "last.ckpt")
    del weights["model.criterion.w"]
    weights["criterion.w"] = torch.ones(1)  # beside the ResNet, where it may be
    torch.save({"epoch": 7, "state_dict": weights, "optimizer_states": [state], "o": state}, "weights/last.ckpt")
    load_pretrained(model, "last.ckpt")
    assert_loaded(model, reference)


def test_of_two_resnets_in_a_file_none_is_taken(model: Localizer, reference: dict[str, torch.Tensor]) -> None:
    torch.save({"student": reference, "teacher": reference}, "weights/two.pth")
    before = model.backbone.conv1.weight.clone()
    with pytest.raises(ValueError, match=r"two\.pth: has 2 ResNets, below student\., teacher\.; save one of them"):
        load_pretrained(model, "two.pth")
    assert torch.equal(model.backbone.conv1.weight, before)


def test_a_file_of_another_network_is_refused_with_the_names_in_it(model: Localizer) -> None:
    save_file({"embedder.weight": torch.ones(2)}, "weights/other.safetensors")
    with pytest.raises(ValueError, match=r"expected layer1\.0\.conv1\.weight, got embedder\.weight"):
        load_pretrained(model, "other.safetensors")


def test_counters_of_batches_may_be_missing(model: Localizer, reference: dict[str, torch.Tensor]) -> None:
    old = {name: tensor for name, tensor in reference.items() if not name.endswith("num_batches_tracked")}
    save_file(old, "weights/old.safetensors")
    load_pretrained(model, "old.safetensors")
    assert torch.equal(model.backbone.conv1.weight, reference["conv1.weight"])
    save_file({name: tensor for name, tensor in old.items() if name != "bn1.bias"}, "weights/lacks.safetensors")
    with pytest.raises(ValueError, match=r"1 missing: bn1\.bias"):
        load_pretrained(model, "lacks.safetensors")


def test_a_localizer_model_gives_its_head_too(model: Localizer) -> None:
    own = trained(SMALL)
    save_file(own.state_dict(), "weights/own.safetensors")
    digest = load_pretrained(model, "own.safetensors")
    assert digest == hashlib.sha256(Path("weights/own.safetensors").read_bytes()).hexdigest()
    for name, tensor in own.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_a_head_one_tensor_of_which_does_not_fit_is_left_out_and_reported(
    model: Localizer, caplog: pytest.LogCaptureFixture
) -> None:
    own = trained(SMALL).state_dict()
    first = next(iter(head_of(model)))
    own[first] = own[first][:1].contiguous()
    save_file(own, "weights/own.safetensors")
    head = head_of(model)
    load_pretrained(model, "own.safetensors")
    assert all(torch.equal(tensor, head[name]) for name, tensor in head_of(model).items())
    assert_loaded(model, {name.removeprefix("backbone."): tensor for name, tensor in own.items()})
    assert "own.safetensors: its head does not fit this model's and is left out" in caplog.text


def test_none_changes_nothing(model: Localizer) -> None:
    before = model.backbone.conv1.weight.clone()
    assert load_pretrained(model, "none") == ""
    assert torch.equal(model.backbone.conv1.weight, before)


def test_a_model_of_another_depth_is_refused(model: Localizer) -> None:
    save_file(torchvision.models.resnet34(weights=None).state_dict(), "weights/deep.safetensors")
    expected = r"weights deep\.safetensors: does not fit a ResNet-18: 96 unexpected: layer1\.2\."  # 16 blocks, not 8
    with pytest.raises(ValueError, match=expected):
        load_pretrained(model, "deep.safetensors")


def test_weights_of_other_shapes_are_refused(model: Localizer) -> None:
    save_file(torchvision.models.resnet50(weights=None).state_dict(), "weights/wide.safetensors")
    with pytest.raises(ValueError, match=r"does not fit a ResNet-18: \d+ unexpected: .*; \d+ of another shape: "):
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
    with pytest.raises(
        ValueError, match=r"whole\.pth: .* a Python object, torchvision\.models\.resnet\.ResNet; expected"
    ):
        load_pretrained(model, "whole.pth")


def test_imagenet_comes_through_torchvisions_loader_with_its_check_of_the_hash(
    model: Localizer, reference: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", "home")
    file = Path("home/hub/checkpoints/resnet18-f37072fd.pth")
    told: dict[str, object] = {}

    def load(url: str, **how: object) -> None:
        told.update(how, url=url)
        file.parent.mkdir(parents=True)
        torch.save(reference, file)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    assert load_pretrained(model, "imagenet") == hashlib.sha256(file.read_bytes()).hexdigest()
    assert str(told["url"]).endswith("resnet18-f37072fd.pth")
    assert told["check_hash"] is True
    assert torch.equal(model.backbone.conv1.weight, reference["conv1.weight"])


def test_without_a_network_imagenet_says_what_to_do(model: Localizer, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(url: str, **_: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", load)
    with pytest.raises(ValueError, match=r"no route to host; .* train\.weights=resnet18-f37072fd\.pth"):
        load_pretrained(model, "imagenet")
