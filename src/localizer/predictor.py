"""From image files to boxes: the preprocessing and box decoding shared by training, evaluation and `predict`."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from localizer.boxes import Array, paired_iou, to_pixels
from localizer.calibration import margin_px
from localizer.images.decoding import THREADS, ImageError, Pixels, open_rgb, read_squares, to_square
from localizer.model import saving
from localizer.model.fuse import fuse_batch_norm
from localizer.model.localizer import Localizer
from localizer.model.saving import ModelCard

BATCH = 32  # images, by default


@dataclass(frozen=True)
class Prediction:
    """The predicted box, xyxy in pixels of the upright image, and that image's size in pixels.

    margin_px: the box enlarged by it on each side contains the true box with probability calibration.COVERAGE, if the
    image is like those of training. confident: whether the boxes of the image and its mirror image agree better than
    in the worst tenth of the calibration split; None without a calibration split.
    """

    image: str
    box_xyxy_px: tuple[float, float, float, float]
    margin_px: float
    confident: bool | None
    width: int
    height: int


@dataclass(frozen=True)
class FailedImage:
    """An image without a prediction, and why."""

    image: str
    error: str


class ImageSource(NamedTuple):
    """An image to predict: its name in the answer, and its path or the file's content."""

    name: str
    image: Path | bytes


class _Decoded(NamedTuple):
    name: str
    width: int
    height: int
    square: Pixels


@dataclass(frozen=True)
class FlipPrediction:
    """Boxes [N, 4] xyxy in [0, 1], and their IoU [N] with the boxes of the mirror images, mirrored back."""

    boxes: Array
    agreement: Array


@dataclass(frozen=True)
class Predictor:
    """A model in evaluation mode with fused BatchNorm, and its model card."""

    model: Localizer
    card: ModelCard
    device: torch.device

    @classmethod
    def load(cls, weights: Path, *, device: torch.device) -> Self:
        """Load MODEL.safetensors and its card MODEL.json; ValueError if either is missing or wrong."""
        model, card = saving.load(weights)
        fuse_batch_norm(model.eval())
        return cls(model.to(device).to(memory_format=torch.channels_last), card, device)

    def predict(self, path: Path) -> Prediction:
        """Predict the box of one image file; ImageError if it can't be read."""
        (answer,) = self.predict_all([ImageSource(str(path), path)])
        if isinstance(answer, FailedImage):
            raise ImageError(path, answer.error)
        return answer

    def predict_all(
        self, sources: Iterable[ImageSource], *, batch_size: int = BATCH
    ) -> Iterator[Prediction | FailedImage]:
        """Yield a prediction or a failure for each image, in order.

        At most `batch_size` images are in memory. The batch size changes a box by less than a millionth of its image.
        """
        remaining = iter(sources)
        with ThreadPoolExecutor(THREADS) as pool:
            while batch := [*islice(remaining, batch_size)]:
                decoded = [*pool.map(self._decode, batch)]
                images = [image for image in decoded if isinstance(image, _Decoded)]
                predictions = iter(self._predict_batch(images)) if images else iter(())
                yield from (image if isinstance(image, FailedImage) else next(predictions) for image in decoded)

    def _decode(self, source: ImageSource) -> "_Decoded | FailedImage":
        path = source.image if isinstance(source.image, Path) else Path(source.name)
        content = None if isinstance(source.image, Path) else source.image
        try:
            image = open_rgb(path, content)
        except ImageError as error:
            return FailedImage(source.name, error.reason)
        return _Decoded(source.name, image.width, image.height, to_square(image, self.card.image_size))

    def _predict_batch(self, images: "Sequence[_Decoded]") -> Iterator[Prediction]:
        pixels = to_tensor(np.stack([image.square for image in images])).to(self.device)
        predicted, threshold = predict_with_flip(self.model, pixels), self.card.calibration.agreement
        width, height = (np.array([getattr(image, side) for image in images]) for side in ("width", "height"))
        boxes_px = to_pixels(predicted.boxes, width, height)
        margins = margin_px(self.card.calibration, boxes_px, width=width, height=height)
        for image, box_px, margin, agreement in zip(images, boxes_px, margins, predicted.agreement, strict=True):
            xmin, ymin, xmax, ymax = (round(float(edge), 2) for edge in box_px)
            confident = None if threshold is None else bool(agreement >= threshold)
            box = (xmin, ymin, xmax, ymax)
            yield Prediction(image.name, box, round(float(margin), 2), confident, image.width, image.height)

    def predict_with_flip(
        self, paths: Sequence[Path | str], *, digests: Sequence[str] = (), batch_size: int = 64
    ) -> FlipPrediction:
        """Predict the boxes of image files and of their mirror images; ValueError names a file and the problem.

        digests: expected SHA-256 of the files, optional.
        """
        parts = (slice(start, start + batch_size) for start in range(0, len(paths), batch_size))
        squares = (
            read_squares([*map(Path, paths[part])], self.card.image_size, digests=digests[part]) for part in parts
        )
        return concatenate([predict_with_flip(self.model, to_tensor(pixels).to(self.device)) for pixels in squares])


def predict_with_flip(model: Localizer, pixels: Tensor) -> FlipPrediction:
    """Predict the boxes of uint8 [N, 3, S, S] and of the mirror images; see `predict_boxes`."""
    boxes = predict_boxes(model, pixels)
    mirrored = predict_boxes(model, pixels.flip(3))
    back = np.stack([1 - mirrored[:, 2], mirrored[:, 1], 1 - mirrored[:, 0], mirrored[:, 3]], axis=1)
    return FlipPrediction(boxes, paired_iou(boxes, back))


def concatenate(batches: Sequence[FlipPrediction]) -> FlipPrediction:
    """Concatenate the predictions of batches."""
    boxes = np.concatenate([np.empty((0, 4)), *(batch.boxes for batch in batches)])
    return FlipPrediction(boxes, np.concatenate([np.empty(0), *(batch.agreement for batch in batches)]))


def to_tensor(pixels: Pixels) -> Tensor:
    """Return RGB pixels [N, S, S, 3] as a [N, 3, S, S] view, without a copy."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@torch.inference_mode()
def predict_boxes(model: Localizer, pixels: Tensor) -> Array:
    """Predict boxes [N, 4] xyxy in [0, 1] of uint8 [N, 3, S, S], in evaluation mode and full precision.

    Raises ValueError if the network returns NaN, which would otherwise count as an IoU of 0.
    """
    boxes = model.eval()(pixels).cpu().double().numpy()
    if np.isnan(boxes).any():
        raise ValueError("the network returns NaN: its training has diverged; try a lower train.lr")
    return boxes
