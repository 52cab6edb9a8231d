"""A trained model as two files: MODEL.safetensors, its weights, and MODEL.json, the card that says how to use them."""

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

VERSION = 3  # of the JSON file


@dataclass(frozen=True)
class ModelCard:
    """What one needs, beside the weights, to use a model.

    image_size: side in pixels of the square that images are stretched to; label: what the box is drawn
    around; best_epoch and val_iou: where the weights come from; params: what they were trained with; calibration:
    what their errors on the calibration side promise; weights_sha256: of their file; split_sha256: of the table that
    says which images they were fitted to, empty where an older version wrote the card; preprocessing: from file to
    square.
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
    preprocessing: str = PREPROCESSING
    version: int = VERSION


def save(weights: Path, model: Localizer, **card: Any) -> None:
    """Write MODEL.safetensors and MODEL.json; `card` are the fields of ModelCard but architecture and digest."""
    content = save_tensors({name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()})
    digest = hashlib.sha256(content).hexdigest()
    text = json.dumps(asdict(ModelCard(model.architecture, **card, weights_sha256=digest)), indent=2) + "\n"
    replace_file(weights, content)
    replace_text(weights.with_suffix(".json"), text)


def load(weights: Path) -> tuple[Localizer, ModelCard]:
    """Return the network of MODEL.safetensors, and the card beside it; ValueError says what is wrong with either."""
    card = read_model_card(weights.with_suffix(".json"))
    content = _read_weights(weights, card)
    model = Localizer(card.architecture)
    try:
        model.load_state_dict(load_tensors(content))
    except (SafetensorError, RuntimeError) as error:
        told = str(error).splitlines()[-1].strip()
        raise ValueError(f"{weights}: not the weights of {card.architecture}: {told}") from None
    return model, card


def read_model_card(path: Path) -> ModelCard:
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
            f"{path}: version {version}, expected {VERSION}; train again, or use the Localizer that wrote it"
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
