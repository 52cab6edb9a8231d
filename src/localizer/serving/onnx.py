"""A trained model as one ONNX file, which answers as the Predictor does, checked before it is written."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from torch import Tensor, nn

from localizer.calibration import COVERAGE
from localizer.files import check_writable, replace_file
from localizer.images.decoding import Pixels
from localizer.model.localizer import Localizer
from localizer.model.saving import ModelCard
from localizer.predictor import Predictor, concatenate, predict_with_flip, to_tensor

OPSET = 18  # the one that torch writes its translations in
IR_VERSION = 8  # came with it; torch's 10 is refused by onnxruntime before 1.18, this one is read from 1.15 on at least
SIDE = 1000  # in pixels, of the image on which boxes are compared
MOST_PX = 0.5  # that a box may differ from PyTorch's on such an image
MOST_AGREEMENT = 0.01
BATCH = 8  # images compared at once
WEIGHTS_MD5 = "weights_md5"  # the digest by which DVC and MLflow know the weights' file
BOX_FORMAT = "xyxy, shares of the upright image's width and height"
DOC = (
    "pixels: uint8 [images, {size}, {size}, 3], {preprocessing}. boxes: {box_format}. agreement: IoU of the box with "
    "that of the mirror image, mirrored back. In the metadata, margin: a box larger by this share of its mean side in "
    "pixels, which counts as 1 at least, on each side holds the true one with the probability of coverage; null where "
    "that is not known. agreement_threshold: a box whose agreement reaches it is confident; null where not known."
)


@dataclass(frozen=True)
class Exported:
    """What was written: its bytes, and how far onnxruntime's answers are from PyTorch's at most.

    difference_px: of a box, on an image of SIDE pixels; difference_agreement: of an IoU.
    """

    size: int
    difference_px: float
    difference_agreement: float


class Answer(nn.Module):
    """All that the Predictor computes: RGB uint8 [N, S, S, 3] -> boxes [N, 4] and agreement [N] of `FlipPrediction`."""

    def __init__(self, model: Localizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        images = pixels.permute(0, 3, 1, 2)
        # One pass for both: two would keep BatchNorm from being folded into weights that they share.
        boxes, mirrored = self.model(torch.cat([images, images.flip(3)])).view(2, -1, 4)
        xmin, ymin, xmax, ymax = mirrored.split(1, dim=1)
        return boxes, _paired_iou(boxes, torch.cat([1 - xmax, ymin, 1 - xmin, ymax], dim=1))


def export(weights: Path, path: Path) -> Exported:
    """Write MODEL.safetensors as PATH.onnx and return how well it agrees with PyTorch.

    The same model gives the same bytes. Raises ValueError, and leaves what was at PATH, where that can't be written,
    the model is missing or broken, or onnxruntime's answers are not PyTorch's.
    """
    if path.suffix != ".onnx":
        raise ValueError(f"{path}: a file that ends in .onnx is expected")
    if path.is_dir():
        raise ValueError(f"{path}: a folder; name the file to write")
    predictor = Predictor.load(weights, device=torch.device("cpu"))
    check_writable(path.parent)
    content = _content(predictor, weights)
    try:
        exported = compare(content, predictor)
    except ValueError as error:
        raise ValueError(f"{path}: not written: {error}") from None
    replace_file(path, content)
    return exported


def compare(content: bytes, predictor: Predictor) -> Exported:
    """Return how far an ONNX file's answers are from the predictor's; ValueError where that is too far."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    squares = trial_squares(predictor.card.image_size)
    batches = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
    expected = concatenate([predict_with_flip(predictor.model, to_tensor(batch)) for batch in batches])
    told = [session.run(["boxes", "agreement"], {"pixels": batch}) for batch in batches]
    boxes, agreement = (np.concatenate(parts) for parts in zip(*told, strict=True))
    px = float(SIDE * np.abs(boxes - expected.boxes).max())
    share = float(np.abs(agreement - expected.agreement).max())
    if not (px <= MOST_PX and share <= MOST_AGREEMENT):  # NaN is too far as well
        raise ValueError(
            f"onnxruntime {onnxruntime.__version__} and torch {torch.__version__} differ by {px:.3g} px on an image of "
            f"{SIDE} px (at most {MOST_PX} are allowed) and by {share:.3g} in agreement (at most {MOST_AGREEMENT}); "
            "try the versions of requirements.lock"
        )
    return Exported(len(content), px, share)


def trial_squares(size: int) -> Pixels:
    """Return the images [N, size, size, 3] that answers are compared on: noise, flat ones, ramps and halves."""
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    half = np.repeat(np.array([0, 255], dtype=np.uint8), [size // 2, size - size // 2])
    flat = [np.full((size, size), level, dtype=np.uint8) for level in (0, 127, 255)]
    lines = [np.broadcast_to(line, (size, size)) for line in (ramp, ramp[::-1], half, half[::-1])]
    grey = np.stack([*flat, *lines, *(picture.T for picture in lines)])
    noise = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    return np.concatenate([np.repeat(grey[..., None], 3, axis=3), noise])


def weights_md5(path: Path) -> str:
    """Return the md5 of the weights that an ONNX file was exported from; ValueError where it doesn't tell."""
    try:
        told = {one.key: one.value for one in onnx.load_model(path, load_external_data=False).metadata_props}
    except DecodeError:
        raise ValueError(f"{path}: not an ONNX file, though its name ends in {path.suffix}") from None
    if not re.fullmatch("[0-9a-f]{32}", told.get(WEIGHTS_MD5, "")):
        raise ValueError(
            f"{path}: its metadata have no {WEIGHTS_MD5}, which `localizer export` writes: export it again"
        )
    return told[WEIGHTS_MD5]


def _content(predictor: Predictor, weights: Path) -> bytes:
    model = _graph(predictor)
    card = predictor.card
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "localizer", version("localizer")
    told = {"size": card.image_size, "preprocessing": card.preprocessing, "box_format": BOX_FORMAT}
    model.doc_string = DOC.format(**told)
    onnx.helper.set_model_props(model, _metadata(card) | {WEIGHTS_MD5: _md5(weights, card)})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _md5(weights: Path, card: ModelCard) -> str:
    content = weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise ValueError(f"{weights}: another file than it was when the export began; export it again")
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _graph(predictor: Predictor) -> Any:
    """Return the network as an onnx.ModelProto, BatchNorm folded, for any number of images."""
    size = predictor.card.image_size
    program: Any = torch.onnx.export(
        Answer(predictor.model).eval(),
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        input_names=["pixels"],
        output_names=["boxes", "agreement"],
        opset_version=OPSET,
        dynamo=True,
        dynamic_shapes=({0: "images"},),
        verbose=False,
    )
    model = program.model_proto  # made anew each time that it is asked for
    graph = model.graph
    # torch notes where in which source file each part came from: paths of this machine.
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _metadata(card: ModelCard) -> dict[str, str]:
    """Return what is written into the file: text as it is, all else as JSON."""
    told = {
        "preprocessing": card.preprocessing,
        "image_size": card.image_size,
        "box_format": BOX_FORMAT,
        "label": card.label,
        "margin": card.calibration.margin,
        "agreement_threshold": card.calibration.agreement,
        "coverage": COVERAGE,
        "calibration_images": card.calibration.images,
        "architecture": asdict(card.architecture),
        "params": card.params,
        "weights_sha256": card.weights_sha256,
        "card_version": card.version,
        "localizer_version": version("localizer"),
    }
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in told.items()}


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return what `boxes.paired_iou` does, of tensors."""
    overlap = _area(torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:]))
    union = _area(a[:, :2], a[:, 2:]) + _area(b[:, :2], b[:, 2:]) - overlap
    return torch.where(union > 0, overlap / union, torch.zeros_like(union))


def _area(low: Tensor, high: Tensor) -> Tensor:
    width, height = (high - low).clamp(min=0).unbind(1)
    return width * height
