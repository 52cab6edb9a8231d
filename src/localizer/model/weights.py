"""Pretrained weights to start from: torchvision's ImageNet weights, or a file."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from localizer.files import file_sha256
from localizer.model.localizer import Architecture, Localizer
from localizer.model.resnet import DEPTHS, Depth

log = logging.getLogger(__name__)
NONE, IMAGENET = "none", "imagenet"
FOLDER = Path("weights")  # a DVC dependency as a whole
HEAD = "fc."  # prefix of the head's names in a ResNet
MARK = "layer1.0.conv1.weight"  # a name that each ResNet has once
COUNTER = "num_batches_tracked"  # of BatchNorm; not in files from before PyTorch 0.4, and without effect
OUR_PREFIX = "backbone."  # of the ResNet's names in a Localizer model
SHOWN = 3


@dataclass(frozen=True)
class WeightsFit:
    """What of a file loads into a model, by the names of torchvision's ResNet.

    depth: the model's; prefix: of the ResNet's names in the file; backbone, head: the tensors that load, of the file's
    head all or none; total: tensors of the model's backbone; missing, unexpected, other_shape: names in the backbone
    that don't fit; unused_head: names of a head that doesn't fit. BatchNorm's counters are in no number.
    """

    depth: Depth
    prefix: str
    backbone: Mapping[str, Tensor]
    total: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    other_shape: tuple[str, ...]
    head: Mapping[str, Tensor]
    unused_head: tuple[str, ...]

    @property
    def loaded(self) -> int:
        return sum(_matters(name) for name in self.backbone)

    @property
    def problems(self) -> list[str]:
        """Return what keeps the file from being used, with a count and the first names; empty if nothing does."""
        kinds = {"missing": self.missing, "unexpected": self.unexpected, "of another shape": self.other_shape}
        return [f"{len(names)} {kind}: {first_names(names)}" for kind, names in kinds.items() if names]


def load_pretrained(model: Localizer, weights: str) -> str:
    """Load `none`, `imagenet`, or a file in FOLDER into the model; return the SHA-256 of the file, empty for none.

    The head is loaded if the file has one that fits. Raises ValueError if the file doesn't fit.
    """
    if weights == NONE:
        return ""
    depth = model.architecture.depth
    path = _imagenet(depth) if weights == IMAGENET else FOLDER / weights
    fit = fit_weights(read_weights(path), model, where=f"weights {weights}")
    if fit.problems:
        raise ValueError(
            f"weights {weights}: does not fit a ResNet-{depth}: {'; '.join(fit.problems)}; "
            f"is train.depth right? `localizer weights {path}` tells what it fits"
        )
    model.backbone.load_state_dict({**fit.backbone, **fit.head}, strict=False)
    if fit.unused_head and fit.prefix == OUR_PREFIX:
        log.warning(
            "weights %s: its head does not fit this model's and is left out: %s", weights, first_names(fit.unused_head)
        )
    return file_sha256(path)


def fit_weights(tensors: Mapping[str, Tensor], model: Localizer, *, where: str) -> WeightsFit:
    """Compare a file's tensors with a model, which may be on the meta device, by names and shapes.

    Raises ValueError that begins with `where` if the file has no ResNet, or several.
    """
    prefix = _resnet_prefix(tensors, where=where)
    named = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    expected = model.backbone.state_dict()
    body, head = (
        {name: tensor for name, tensor in named.items() if name.startswith(HEAD) == is_head}
        for is_head in (False, True)
    )
    own = [name for name in expected if not name.startswith(HEAD) and _matters(name)]
    alike = {name for name in named.keys() & expected.keys() if named[name].shape == expected[name].shape}
    head_fits = head.keys() <= alike
    return WeightsFit(
        depth=model.architecture.depth,
        prefix=prefix,
        backbone={name: tensor for name, tensor in body.items() if name in alike},
        total=len(own),
        missing=tuple(name for name in own if name not in body),
        unexpected=tuple(name for name in body if name not in expected),
        other_shape=tuple(name for name in body if name in expected and name not in alike),
        head=head if head_fits else {},
        unused_head=() if head_fits else tuple(head),
    )


def fit_depth(tensors: Mapping[str, Tensor], *, where: str) -> WeightsFit:
    """Return the fit of the depth that a file fits best."""
    with torch.device("meta"):  # names and shapes alone
        models = [Localizer(Architecture(depth)) for depth in DEPTHS]
    fits = [fit_weights(tensors, model, where=where) for model in models]
    return max(fits, key=lambda fit: fit.loaded - len(fit.missing + fit.unexpected + fit.other_shape))


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors without executing code in it; those of nested mappings by dotted names."""
    if not path.is_file():
        names = (file.name for file in FOLDER.glob("*.*") if file.suffix not in (".md", ".dvc", ".gitignore", ""))
        known = ", ".join(sorted(names)) or "none"
        raise ValueError(f"{path}: no such file; expected none, imagenet, or a file in {FOLDER}/, which has {known}")
    try:
        loaded = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # torch raises all kinds on broken files
        raise ValueError(
            f"{path}: not a file of weights alone: {_reason(error)}; expected .safetensors, or tensors in nested "
            "mappings, as torch.save(model.state_dict(), path) writes them"
        ) from None
    if not isinstance(loaded, dict):
        raise ValueError(f"{path}: expected a mapping of names to tensors, as from model.state_dict()")
    return dict(_tensors(loaded))


def first_names(names: tuple[str, ...]) -> str:
    """Return the first few names, with dots for the others."""
    return ", ".join([*names[:SHOWN], *["..."][: len(names) > SHOWN]])


def _resnet_prefix(tensors: Mapping[str, Tensor], *, where: str) -> str:
    """Return what stands before the ResNet's names, as `module.` or `state_dict.model.`; empty for nothing."""
    found = [name.removesuffix(MARK) for name in tensors if f".{name}".endswith(f".{MARK}")]
    if not found:
        held = first_names(tuple(tensors)) or "no tensor"
        raise ValueError(f"{where}: has no ResNet with torchvision's names: expected {MARK}, got {held}")
    if len(found) > 1:
        prefixes = ", ".join(prefix or "no prefix" for prefix in found)
        raise ValueError(f"{where}: has {len(found)} ResNets, below {prefixes}; save one of them in a file of its own")
    return found[0]


def _tensors(content: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _tensors(value, f"{prefix}{key}.")
        elif isinstance(value, Tensor):
            yield f"{prefix}{key}", value


def _imagenet(depth: int) -> Path:
    """Return the file of torchvision's best weights for a depth, downloaded if it isn't there yet."""
    from torchvision.models import get_model_weights

    best = get_model_weights(f"resnet{depth}").DEFAULT
    name = best.url.rpartition("/")[2]
    try:
        best.get_state_dict(progress=False, check_hash=True)
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(
            f"weights imagenet: {best.url}: {reason}; without a network, download that file elsewhere into "
            f"{FOLDER}/ and set train.weights={name}"
        ) from None
    except RuntimeError as error:  # torch's own check of the file's hash
        raise ValueError(f"weights imagenet: {best.url}: {error}") from None
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def _matters(name: str) -> bool:
    return not name.endswith(COUNTER)


def _reason(error: Exception) -> str:
    """Return the last line of an error; torch's on a Python object ends in advice to load it, which runs code."""
    if found := re.search(r"Unsupported global: GLOBAL (\S+)", str(error)):
        return f"it has a Python object, {found[1]}"
    if found := re.search(r"WeightsUnpickler error: (.*)", str(error)):
        return found[1]
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
