"""The one way from image files to boxes, shared by train, evaluate and `localizer predict`."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from localizer.boxes import Array, as_pixels, paired_iou
from localizer.calibration import Calibration, margin_px
from localizer.data.images import PREPROCESSING, Pixels, open_rgb, read_squares, to_square
from localizer.files import replace_file, replace_text
from localizer.model.localizer import Architecture, Localizer

VERSION = 3  # of the JSON file


@dataclass(frozen=True)
class ModelCard:
    """What one needs, beside the weights, to use a model.

    image_size: side in pixels of the square that images are stretched to; label: what the box is drawn
    around; best_epoch and val_iou: where the weights come from; params: what they were trained with; calibration:
    what their errors on the calibration side promise; weights_sha256: of their file; preprocessing: from file to
    square.
    """

    architecture: Architecture
    image_size: int
    label: str
    best_epoch: int
    val_iou: float
    params: dict[str, bool | int | float | str]
    calibration: Calibration
    weights_sha256: str
    preprocessing: str = PREPROCESSING
    version: int = VERSION


@dataclass(frozen=True)
class Prediction:
    """One image's box, xyxy in pixels of the upright image, and that image's size in pixels.

    margin_px: a box larger by so much on each side holds the true one with the probability of calibration.COVERAGE,
    if the image is like those of training. confident: whether the boxes of the image and its mirror image agree as
    well as nine tenths of the calibration side's do; None without a calibration side.
    """

    image: str
    box_xyxy_px: tuple[float, float, float, float]
    margin_px: float
    confident: bool | None
    width: int
    height: int


@dataclass(frozen=True)
class Seen:
    """Boxes [N, 4] xyxy in [0, 1] of images, and their IoU [N] with those of the mirror images, mirrored back."""

    boxes: Array
    agreement: Array


@dataclass(frozen=True)
class Predictor:
    """A network in evaluation mode on its device, and what its card says."""

    model: Localizer
    card: ModelCard
    device: torch.device

    @classmethod
    def load(cls, weights: Path, *, device: torch.device) -> Self:
        """Return the predictor of MODEL.safetensors and MODEL.json beside it; ValueError says what is wrong."""
        card = read_card(weights.with_suffix(".json"))
        content = _read_weights(weights, card)
        model = Localizer(card.architecture)
        try:
            model.load_state_dict(load_tensors(content))
        except (SafetensorError, RuntimeError) as error:
            told = str(error).splitlines()[-1].strip()
            raise ValueError(f"{weights}: not the weights of {card.architecture}: {told}") from None
        return cls(model.to(device).to(memory_format=torch.channels_last).eval(), card, device)

    def predict(self, path: Path) -> Prediction:
        """Return the box of one image file; ValueError names the file and what is wrong with it."""
        image = open_rgb(path)
        width, height = image.size
        seen = look(self.model, to_tensor(to_square(image, self.card.image_size)[None]).to(self.device))
        size = {"width": np.array([width]), "height": np.array([height])}
        box_px, calibration = as_pixels(seen.boxes, **size), self.card.calibration
        return Prediction(
            str(path),
            tuple(round(float(side), 2) for side in box_px[0]),  # type: ignore[arg-type]
            round(float(margin_px(calibration, box_px, **size)[0]), 2),
            None if calibration.agreement is None else bool(seen.agreement[0] >= calibration.agreement),
            width,
            height,
        )

    def look(self, paths: Sequence[Path], *, batch_size: int = 64) -> Seen:
        """Return the boxes of image files and how they agree; ValueError names a file and what is wrong with it."""
        starts = range(0, len(paths), batch_size)
        squares = (read_squares(paths[start : start + batch_size], self.card.image_size) for start in starts)
        return together([look(self.model, to_tensor(pixels).to(self.device)) for pixels in squares])


def look(model: Localizer, pixels: Tensor) -> Seen:
    """Return what the model sees in uint8 [N, 3, S, S] and in its mirror image: see `predict_boxes`."""
    boxes = predict_boxes(model, pixels)
    mirrored = predict_boxes(model, pixels.flip(3))
    back = np.stack([1 - mirrored[:, 2], mirrored[:, 1], 1 - mirrored[:, 0], mirrored[:, 3]], axis=1)
    return Seen(boxes, paired_iou(boxes, back))


def together(seen: Sequence[Seen]) -> Seen:
    """Return what was seen in batches as one."""
    if not seen:
        return Seen(np.empty((0, 4)), np.empty(0))
    return Seen(np.concatenate([one.boxes for one in seen]), np.concatenate([one.agreement for one in seen]))


def to_tensor(pixels: Pixels) -> Tensor:
    """Return RGB pixels [N, S, S, 3] as the [N, 3, S, S] view that the network takes, without a copy."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@torch.inference_mode()
def predict_boxes(model: Localizer, pixels: Tensor) -> Array:
    """Return boxes [N, 4] xyxy in [0, 1] of uint8 [N, 3, S, S], in evaluation mode and full precision.

    Raises ValueError when the network answers NaN, which would else pass for a box without overlap.
    """
    boxes = model.eval()(pixels).cpu().double().numpy()
    if np.isnan(boxes).any():
        raise ValueError("the network answers NaN: its training has diverged; try a lower train.lr")
    return boxes


def save(weights: Path, model: Localizer, **card: Any) -> None:
    """Write MODEL.safetensors and MODEL.json; `card` are the fields of ModelCard but architecture and digest."""
    content = save_tensors({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})
    digest = hashlib.sha256(content).hexdigest()
    text = json.dumps(asdict(ModelCard(model.architecture, **card, weights_sha256=digest)), indent=2) + "\n"
    replace_file(weights, content)
    replace_text(weights.with_suffix(".json"), text)


def read_card(path: Path) -> ModelCard:
    """Return what MODEL.json says; ValueError where it is missing or of another version."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; it belongs beside the weights") from None
    except ValueError as error:
        raise ValueError(f"{path}: not a model's description: {error}") from None
    version = fields.get("version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version != VERSION:
        raise ValueError(
            f"{path}: version {version}, wanted {VERSION}; train again, or use the Localizer that wrote it"
        )
    try:
        card = TypeAdapter(ModelCard).validate_python(fields)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(map(str, fault["loc"]))
        raise ValueError(f"{path}: not a model's description: {key}: {fault['msg']}") from None
    if card.preprocessing != PREPROCESSING:
        raise ValueError(
            f"{path}: its images were prepared otherwise ({card.preprocessing!r}) than here ({PREPROCESSING!r}); use "
            "the Localizer that trained it"
        )
    return card


def _read_weights(path: Path, card: ModelCard) -> bytes:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `dvc repro` trains a model, `dvc pull` fetches one")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise ValueError(f"{path}: not the weights that {path.with_suffix('.json').name} describes")
    return content
