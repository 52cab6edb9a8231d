"""Pretrained weights to start from: torchvision's ImageNet weights, or a file."""

from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from localizer.model.localizer import Localizer

NONE, IMAGENET = "none", "imagenet"
FOLDER = Path("weights")  # a DVC dependency as a whole
OURS, HEAD = "backbone.", "fc."  # prefixes: of names in Localizer's own files, and of the head's


def load_pretrained(model: Localizer, weights: str) -> None:
    """Load weights into the model's ResNet, except its head: `none`, `imagenet`, or a file in FOLDER.

    A file has torchvision's names, or is a Localizer model. Raises ValueError if it doesn't fit.
    """
    if weights == NONE:
        return
    depth = model.architecture.depth
    tensors = _imagenet(depth) if weights == IMAGENET else _read(FOLDER / weights)
    named = {name.removeprefix(OURS): tensor for name, tensor in tensors.items()}
    body = {name: tensor for name, tensor in named.items() if not name.startswith(HEAD)}
    try:
        missing, unknown = model.backbone.load_state_dict(body, strict=False)
    except RuntimeError as error:
        raise ValueError(f"weights {weights}: does not fit a ResNet-{depth}: {_last_line(error)}") from None
    # Files from before PyTorch 0.4 lack num_batches_tracked.
    absent = [name for name in missing if not name.startswith(HEAD) and not name.endswith("num_batches_tracked")]
    if absent or unknown:
        difference = f"missing key {absent[0]}" if absent else f"unexpected key {unknown[0]}"
        raise ValueError(f"weights {weights}: does not fit a ResNet-{depth}: {difference}; is train.depth right?")


def _imagenet(depth: int) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    best = get_model_weights(f"resnet{depth}").DEFAULT
    try:
        return dict(best.get_state_dict(progress=False, check_hash=True))
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(
            f"weights imagenet: {best.url}: {reason}; without a network, download that file elsewhere into "
            f"{FOLDER}/ and set train.weights={best.url.rpartition('/')[2]}"
        ) from None
    except RuntimeError as error:  # torch's own check of the file's hash
        raise ValueError(f"weights imagenet: {best.url}: {error}") from None


def _read(path: Path) -> dict[str, Tensor]:
    """Read a file's tensors without executing code in it."""
    if not path.is_file():
        known = ", ".join(sorted(file.name for file in FOLDER.glob("*.*"))) or "no files"
        raise ValueError(f"{path}: no such file; expected none, imagenet, or a file in {FOLDER}/, which has {known}")
    try:
        loaded = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # torch raises all kinds on broken files
        raise ValueError(f"{path}: not a file of weights: {_last_line(error)}") from None
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise ValueError(f"{path}: expected a mapping of names to tensors, as from model.state_dict()")
    return loaded


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
