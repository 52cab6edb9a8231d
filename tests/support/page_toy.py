"""A predictor with a new head, which predicts the centered half of any image, and images for it."""

import hashlib
import io
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from localizer.calibration import Calibration
from localizer.model.localizer import Architecture, Localizer
from localizer.model.saving import ModelCard
from localizer.predictor import Predictor
from localizer.serving.web_app import Example

SMALL = Architecture(depth=18)
CALIBRATED = Calibration(images=20, margin=0.25, agreement=0.9)


@cache
def network() -> Localizer:
    torch.manual_seed(0)
    return Localizer(SMALL).eval()


def predictor(calibration: Calibration = CALIBRATED, *, label: str = "cat") -> Predictor:
    fields: dict[str, Any] = {"best_epoch": 1, "val_iou": 0.5, "params": {}, "weights_sha256": ""}
    card = ModelCard(SMALL, 32, label, calibration=calibration, **fields)
    return Predictor(network(), card, torch.device("cpu"))


def image_bytes(width: int = 80, height: int = 40, *, kind: str = "PNG", color: str = "white") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, kind)
    return file.getvalue()


def example(path: Path, content: bytes) -> Example:
    path.write_bytes(content)
    return Example(path.name, path, hashlib.sha256(content).hexdigest())
