"""Saving a trained model as two files: MODEL.safetensors, its weights, and MODEL.json, its model card."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from localizer.calibration import Calibration
from localizer.files import replace_file, replace_text
from localizer.images.decoding import PREPROCESSING
from localizer.model.localizer import Architecture, Localizer

VERSION = 4  # of the JSON file
FORMER_READERS = {3: "Localizer at commit f93d18a, the last with the heads heatmap and grid"}  # by version


@dataclass(frozen=True)
class ModelCard:
    """The model card: what is needed to use a model, besides its weights.

    image_size: side in pixels of the square that images are resized to; label: the object's; best_epoch, val_iou: the
    epoch of the weights; params: of the training, flattened; calibration: fitted on the calibration split;
    weights_sha256: of the weights' file; split_sha256: of tables/split.csv, empty in cards of older versions;
    pretrained_sha256: of the file that training started from, whose name is params' `weights`, empty for none;
    preprocessing: from image file to square.
    """

    architecture: Architecture
    image_size: Annotated[int, Field(ge=1)]
    label: str
    best_epoch: int
    val_iou: float
    params: dict[str, bool | int | float | str]
    calibration: Calibration
    weights_sha256: str
    split_sha256: str = ""
    pretrained_sha256: str = ""
    preprocessing: str = PREPROCESSING
    version: int = VERSION


def save(weights: Path, model: Localizer, **card: Any) -> None:
    """Write MODEL.safetensors and MODEL.json; `card`: the fields of ModelCard except architecture and digest."""
    content = save_tensors({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})
    digest = hashlib.sha256(content).hexdigest()
    text = json.dumps(asdict(ModelCard(model.architecture, **card, weights_sha256=digest)), indent=2) + "\n"
    replace_file(weights, content)
    replace_text(weights.with_suffix(".json"), text)


def load(weights: Path) -> tuple[Localizer, ModelCard]:
    """Load a model and its card; ValueError if either is missing or wrong."""
    card = read_model_card(weights.with_suffix(".json"))
    content = _read_weights(weights, card)
    model = Localizer(card.architecture)
    try:
        model.load_state_dict(load_tensors(content))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{weights}: not the weights of {card.architecture}: {reason}") from None
    return model, card


def read_model_card(path: Path) -> ModelCard:
    """Read MODEL.json; ValueError if it is missing, damaged, or of another version."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; a model card belongs beside its weights") from None
    except ValueError as error:
        raise ValueError(f"{path}: not a model card: {error}") from None
    version = fields.get("version") if isinstance(fields, dict) else None
    if isinstance(version, int) and version != VERSION:
        reader = FORMER_READERS.get(version, "the version that wrote it")
        raise ValueError(f"{path}: expected version {VERSION}, got {version}; train again, or use {reader}")
    try:
        card = TypeAdapter(ModelCard).validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path}: not a model card: {key}: {first['msg']}") from None
    if card.preprocessing != PREPROCESSING:
        raise ValueError(
            f"{path}: expected the preprocessing {PREPROCESSING!r}, got {card.preprocessing!r}; use the version that "
            "trained the model"
        )
    return card


def _read_weights(path: Path, card: ModelCard) -> bytes:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `dvc repro` trains a model, `dvc pull` fetches one")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise ValueError(f"{path}: not the weights of {path.with_suffix('.json').name} (their SHA-256 differs)")
    return content
