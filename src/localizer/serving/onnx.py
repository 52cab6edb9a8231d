"""Export of a model to one ONNX file that computes what `Predictor` does, checked before it is written."""

import hashlib
import json
import re
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

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

OPSET = 18  # what torch translates to
IR_VERSION = 8  # released with it: onnxruntime reads it from 1.15 on at least, but torch's 10 only from 1.18 on
IMAGE_PX = 1000  # side of the image for which differences of boxes are given in pixels
MAX_BOX_PX = 0.5  # difference from PyTorch's boxes on such an image
MAX_AGREEMENT = 0.01  # difference from PyTorch's agreement
BATCH = 8  # images compared at once
WEIGHTS_MD5 = "weights_md5"  # metadata key of the digest by which DVC and MLflow know the weights file
BOX_FORMAT = "xyxy, shares of the upright image's width and height"
DOC = (
    "pixels: uint8 [images, {size}, {size}, 3], {preprocessing}. boxes: {box_format}. agreement: IoU of the box and "
    "the box of the mirror image, mirrored back. In the metadata: margin, in multiples of the box's mean side in "
    "pixels, which is at least 1: the box enlarged by it on each side contains the true one with probability coverage. "
    "agreement_threshold: a box with at least this agreement is confident. null: unknown."
)


class Difference(NamedTuple):
    """The largest difference of onnxruntime's output from PyTorch's: of boxes, on an image of IMAGE_PX, and of IoUs."""

    box_px: float
    agreement: float


class FlipModel(nn.Module):
    """`predict_with_flip` as a network: RGB uint8 [N, S, S, 3] -> boxes [N, 4] xyxy in [0, 1] and agreement [N]."""

    def __init__(self, model: Localizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        images = pixels.permute(0, 3, 1, 2)
        # One pass for both: with two, BatchNorm would not be folded into the weights that they share.
        boxes, mirrored = self.model(torch.cat([images, images.flip(3)])).view(2, -1, 4)
        xmin, ymin, xmax, ymax = mirrored.split(1, dim=1)
        return boxes, _paired_iou(boxes, torch.cat([1 - xmax, ymin, 1 - xmin, ymax], dim=1))


def export(weights: Path, path: Path) -> Difference:
    """Write MODEL.safetensors as an ONNX file; the same model gives the same bytes.

    ValueError, which leaves an existing file, if the path can't be written, the model is missing or broken, or
    onnxruntime's output differs from PyTorch's.
    """
    if path.suffix != ".onnx" or path.is_dir():
        raise ValueError(f"{path}: expected a file name that ends in .onnx")
    predictor = Predictor.load(weights, device=torch.device("cpu"))
    check_writable(path.parent)
    content = _content(predictor, weights)
    difference = difference_from_torch(content, predictor)
    if not (difference.box_px <= MAX_BOX_PX and difference.agreement <= MAX_AGREEMENT):  # NaN fails as well
        raise ValueError(
            f"{path}: not written: onnxruntime {onnxruntime.__version__} differs from torch {torch.__version__} by "
            f"{difference.box_px:.3g} px on an image of {IMAGE_PX} px (at most {MAX_BOX_PX} allowed) and "
            f"{difference.agreement:.3g} in agreement (at most {MAX_AGREEMENT} allowed); try the versions of "
            "requirements.lock"
        )
    replace_file(path, content)
    return difference


def difference_from_torch(content: bytes, predictor: Predictor) -> Difference:
    """Return how much the output of an ONNX file differs from the predictor's on `comparison_images`."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    squares = comparison_images(predictor.card.image_size)
    batches = [squares[start : start + BATCH] for start in range(0, len(squares), BATCH)]
    expected = concatenate([predict_with_flip(predictor.model, to_tensor(batch)) for batch in batches])
    outputs = [session.run(["boxes", "agreement"], {"pixels": batch}) for batch in batches]
    boxes, agreement = (np.concatenate(parts) for parts in zip(*outputs, strict=True))
    return Difference(
        box_px=float(IMAGE_PX * np.abs(boxes - expected.boxes).max()),
        agreement=float(np.abs(agreement - expected.agreement).max()),
    )


def comparison_images(size: int) -> Pixels:
    """Return images [N, size, size, 3] to compare outputs on: noise, flat, gradients and halves."""
    ramp = np.linspace(0, 255, size).astype(np.uint8)
    half = np.repeat(np.array([0, 255], dtype=np.uint8), [size // 2, size - size // 2])
    flat = [np.full((size, size), level, dtype=np.uint8) for level in (0, 127, 255)]
    rows = [np.broadcast_to(row, (size, size)) for row in (ramp, ramp[::-1], half, half[::-1])]
    gray = np.stack([*flat, *rows, *(image.T for image in rows)])
    noise = np.random.default_rng(0).integers(0, 256, (8, size, size, 3), dtype=np.uint8)
    return np.concatenate([np.repeat(gray[..., None], 3, axis=3), noise])


def weights_md5(path: Path) -> str:
    """Return the md5 of the weights that an ONNX file was exported from; ValueError if its metadata lacks it."""
    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError:
        raise ValueError(f"{path}: not an ONNX file, though its name ends in {path.suffix}") from None
    md5 = next((entry.value for entry in model.metadata_props if entry.key == WEIGHTS_MD5), "")
    if not re.fullmatch("[0-9a-f]{32}", md5):
        raise ValueError(f"{path}: no {WEIGHTS_MD5} in its metadata; export it again with `localizer export`")
    return md5


def _content(predictor: Predictor, weights: Path) -> bytes:
    model, card = _graph(predictor), predictor.card
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "localizer", version("localizer")
    model.doc_string = DOC.format(size=card.image_size, preprocessing=card.preprocessing, box_format=BOX_FORMAT)
    onnx.helper.set_model_props(model, _metadata(card) | {WEIGHTS_MD5: _md5(weights, card)})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _md5(weights: Path, card: ModelCard) -> str:
    content = weights.read_bytes()
    if hashlib.sha256(content).hexdigest() != card.weights_sha256:
        raise ValueError(f"{weights}: changed during the export; export it again")
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _graph(predictor: Predictor) -> Any:
    """Return the network as an onnx.ModelProto, BatchNorm folded, for any batch size."""
    size = predictor.card.image_size
    program: Any = torch.onnx.export(
        FlipModel(predictor.model).eval(),
        (torch.zeros(2, size, size, 3, dtype=torch.uint8),),
        input_names=["pixels"],
        output_names=["boxes", "agreement"],
        opset_version=OPSET,
        dynamo=True,
        dynamic_shapes=({0: "images"},),
        verbose=False,
    )
    model = program.model_proto  # a property, which builds it at each access
    graph = model.graph
    # torch records the source line of each part, with paths of this machine.
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _metadata(card: ModelCard) -> dict[str, str]:
    """Return the file's metadata: text as it is, all else as JSON."""
    metadata = {
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
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in metadata.items()}


def _paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return what `boxes.paired_iou` does, for tensors."""
    overlap = _area(torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:]))
    union = _area(a[:, :2], a[:, 2:]) + _area(b[:, :2], b[:, 2:]) - overlap
    return torch.where(union > 0, overlap / union, torch.zeros_like(union))


def _area(low: Tensor, high: Tensor) -> Tensor:
    width, height = (high - low).clamp(min=0).unbind(1)
    return width * height
