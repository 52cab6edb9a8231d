"""The one way from image files to boxes, shared by train, evaluate and `localizer predict`."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from localizer.boxes import Array, as_pixels, paired_iou
from localizer.calibration import margin_px
from localizer.images.decoding import THREADS, ImageError, Pixels, open_rgb, read_squares, to_square
from localizer.model import saving
from localizer.model.fuse import fuse_batch_norm
from localizer.model.localizer import Localizer
from localizer.model.saving import ModelCard

BATCH = 32  # images computed together, unless told otherwise


@dataclass(frozen=True)
class Prediction:
    """One image's box, xyxy in pixels of the upright image, and that image's size in pixels.

    margin_px: a box larger by so much on each side holds the true one with the probability of calibration.COVERAGE,
    if the image is like those of training. confident: whether the boxes of the image and its mirror image agree
    better than the calibration side's worst tenth do; None without a calibration side.
    """

    image: str
    box_xyxy_px: tuple[float, float, float, float]
    margin_px: float
    confident: bool | None
    width: int
    height: int


@dataclass(frozen=True)
class Failure:
    """An image that got no box, and why."""

    image: str
    error: str


class Source(NamedTuple):
    """An image to be looked at: what it is called in the answer, and its file or that file's content."""

    name: str
    image: Path | bytes


class _Opened(NamedTuple):
    name: str
    width: int
    height: int
    square: Pixels


@dataclass(frozen=True)
class FlipPrediction:
    """Boxes [N, 4] xyxy in [0, 1] of images, and their IoU [N] with those of the mirror images, mirrored back."""

    boxes: Array
    agreement: Array


@dataclass(frozen=True)
class Predictor:
    """A network in evaluation mode on its device, its BatchNorm folded, and what its card says."""

    model: Localizer
    card: ModelCard
    device: torch.device

    @classmethod
    def load(cls, weights: Path, *, device: torch.device) -> Self:
        """Return the predictor of MODEL.safetensors and MODEL.json beside it; ValueError says what is wrong."""
        model, card = saving.load(weights)
        fuse_batch_norm(model.eval())
        return cls(model.to(device).to(memory_format=torch.channels_last), card, device)

    def predict(self, path: Path) -> Prediction:
        """Return the box of one image file; ImageError names the file and what is wrong with it."""
        (answer,) = self.predict_all([Source(str(path), path)])
        if isinstance(answer, Failure):
            raise ImageError(path, answer.error)
        return answer

    def predict_all(self, sources: Iterable[Source], *, batch_size: int = BATCH) -> Iterator[Prediction | Failure]:
        """Yield an answer for each image, in their order: its box, or what is wrong with it.

        No more than `batch_size` images are held at once. How many are computed together changes a box by less than
        a millionth of its image.
        """
        waiting = iter(sources)
        with ThreadPoolExecutor(THREADS) as pool:
            while some := [*islice(waiting, batch_size)]:
                opened = [*pool.map(self._open, some)]
                images = [one for one in opened if isinstance(one, _Opened)]
                found = iter(self._answers(images)) if images else iter(())
                yield from (one if isinstance(one, Failure) else next(found) for one in opened)

    def _open(self, source: Source) -> "_Opened | Failure":
        place = source.image if isinstance(source.image, Path) else Path(source.name)
        content = None if isinstance(source.image, Path) else source.image
        try:
            image = open_rgb(place, content)
        except ImageError as error:
            return Failure(source.name, error.reason)
        return _Opened(source.name, image.width, image.height, to_square(image, self.card.image_size))

    def _answers(self, images: "Sequence[_Opened]") -> Iterator[Prediction]:
        pixels = to_tensor(np.stack([one.square for one in images])).to(self.device)
        seen, calibration = predict_with_flip(self.model, pixels), self.card.calibration
        width, height = (np.array([getattr(one, side) for one in images]) for side in ("width", "height"))
        boxes_px = as_pixels(seen.boxes, width, height)
        margins = margin_px(calibration, boxes_px, width=width, height=height)
        for one, box_px, margin, agreement in zip(images, boxes_px, margins, seen.agreement, strict=True):
            xmin, ymin, xmax, ymax = (round(float(side), 2) for side in box_px)
            sure = None if calibration.agreement is None else bool(agreement >= calibration.agreement)
            box = (xmin, ymin, xmax, ymax)
            yield Prediction(one.name, box, round(float(margin), 2), sure, one.width, one.height)

    def predict_with_flip(
        self, paths: Sequence[Path | str], *, digests: Sequence[str] = (), batch_size: int = 64
    ) -> FlipPrediction:
        """Return the boxes of image files and how they agree; ValueError names a file and what is wrong with it.

        digests: SHA-256 of the files, which are compared, where there are some.
        """
        parts = (slice(start, start + batch_size) for start in range(0, len(paths), batch_size))
        squares = (
            read_squares([*map(Path, paths[part])], self.card.image_size, digests=digests[part]) for part in parts
        )
        return concatenate([predict_with_flip(self.model, to_tensor(pixels).to(self.device)) for pixels in squares])


def predict_with_flip(model: Localizer, pixels: Tensor) -> FlipPrediction:
    """Return what the model sees in uint8 [N, 3, S, S] and in its mirror image: see `predict_boxes`."""
    boxes = predict_boxes(model, pixels)
    mirrored = predict_boxes(model, pixels.flip(3))
    back = np.stack([1 - mirrored[:, 2], mirrored[:, 1], 1 - mirrored[:, 0], mirrored[:, 3]], axis=1)
    return FlipPrediction(boxes, paired_iou(boxes, back))


def concatenate(seen: Sequence[FlipPrediction]) -> FlipPrediction:
    """Return what was seen in batches as one."""
    if not seen:
        return FlipPrediction(np.empty((0, 4)), np.empty(0))
    return FlipPrediction(np.concatenate([one.boxes for one in seen]), np.concatenate([one.agreement for one in seen]))


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
