"""Weights to start from, other than random ones: torchvision's of ImageNet, or a file's."""

from pathlib import Path
from urllib.error import URLError

import torch
from safetensors.torch import load_file
from torch import Tensor

from localizer.model.localizer import Localizer

NONE, IMAGENET = "none", "imagenet"
FOLDER = Path("weights")  # where files of weights lie: DVC knows it as a whole, by content
OURS, HEAD = "backbone.", "fc."  # before the names in a model of ours; and those of the last part


def start_from(model: Localizer, weights: str) -> None:
    """Give the model's ResNet, all but its head, the weights that are named: `none`, `imagenet`, or a file of FOLDER.

    A file has torchvision's names, as its own have, or is a model of ours. Raises ValueError where it doesn't fit.
    """
    if weights == NONE:
        return
    depth = model.architecture.depth
    tensors = _imagenet(depth) if weights == IMAGENET else _read(FOLDER / weights)
    plain = {name.removeprefix(OURS): tensor for name, tensor in tensors.items()}
    body = {name: tensor for name, tensor in plain.items() if not name.startswith(HEAD)}
    try:
        missing, unknown = model.backbone.load_state_dict(body, strict=False)
    except RuntimeError as error:
        raise ValueError(f"weights {weights}: not of a ResNet-{depth}: {_last_line(error)}") from None
    # Files from before PyTorch 0.4 count no batches.
    lacking = [name for name in missing if not name.startswith(HEAD) and not name.endswith("num_batches_tracked")]
    if lacking or unknown:
        told = f"no {lacking[0]}" if lacking else f"a {unknown[0]}"
        raise ValueError(f"weights {weights}: not of a ResNet-{depth}: it has {told}; is train.depth right?")


def _imagenet(depth: int) -> dict[str, Tensor]:
    from torchvision.models import get_model_weights

    best = get_model_weights(f"resnet{depth}").DEFAULT
    try:
        return dict(best.get_state_dict(progress=False, check_hash=True))
    except (URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", error)
        raise ValueError(
            f"weights imagenet: {best.url}: {reason}; without a network, fetch that file elsewhere, put it into "
            f"{FOLDER}/, and name it: train.weights={best.url.rpartition('/')[2]}"
        ) from None
    except RuntimeError as error:  # torch's own check of the file's hash
        raise ValueError(f"weights imagenet: {best.url}: {error}") from None


def _read(path: Path) -> dict[str, Tensor]:
    """Return a file's tensors; nothing in it is executed."""
    if not path.is_file():
        there = ", ".join(sorted(file.name for file in FOLDER.glob("*.*"))) or "nothing"
        raise ValueError(
            f"{path}: no such file; weights is none, imagenet, or a file in {FOLDER}/, which holds {there}"
        )
    try:
        loaded = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # of a broken file torch raises whatever it trips over
        raise ValueError(f"{path}: not a file of weights: {_last_line(error)}") from None
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise ValueError(f"{path}: a mapping of names to tensors was expected, as model.state_dict() gives")
    return loaded


def _last_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[-1].strip()
