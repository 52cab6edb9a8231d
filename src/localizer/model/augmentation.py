"""Augmentation of a batch on its device, in two affine maps per image: of positions, for pixels and box alike, and of
colors, which the network's normalization is a part of."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from localizer.model.localizer import RGB_MEAN, RGB_STD

DRAWS = 8  # random numbers per image: flip, scale, translate x and y, brightness, contrast, saturation, rotation
MIN_VISIBLE = 0.8  # fraction of the box that must stay in view, else the image is only flipped
FILL = 127.5  # gray level outside the image
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """Strengths of the augmentation; 0 switches one off.

    horizontal_flip: probability. scale: 0.2 scales by a factor in [0.8, 1.2]. translate: 0.1 shifts by up to a tenth of
    the side. rotation: largest angle in degrees, either way. color_jitter: 0.2 changes brightness, contrast and
    saturation by factors in [0.8, 1.2].
    """

    horizontal_flip: float = 0.0
    scale: float = 0.0
    translate: float = 0.0
    rotation: float = 0.0
    color_jitter: float = 0.0


def draw(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return random numbers [count, DRAWS] in [0, 1) for one epoch; row i belongs to image i in any batch."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).random((count, DRAWS), dtype=np.float32))


def augment(pixels: Tensor, boxes: Tensor, draws: Tensor, *, strength: Augmentation) -> tuple[Tensor, Tensor]:
    """Return augmented pixels, normalized for the network, float [N, 3, S, S], and their boxes [N, 4] xyxy in [0, 1].

    pixels: uint8 [N, 3, S, S]; draws: rows of `draw`. Boxes are clipped to the image.
    """
    matrix, shift = _affine(boxes, draws, strength)
    moved = _move_boxes(boxes, matrix, shift).clamp(0, 1)
    return _map_colors(_move_pixels(pixels, matrix, shift), draws[:, 4:7], strength.color_jitter), moved


def _affine(boxes: Tensor, draws: Tensor, strength: Augmentation) -> tuple[Tensor, Tensor]:
    """Return matrices [N, 2, 2] and shifts [N, 2] of p -> matrix p + shift, with p in [-1, 1] from the center.

    If too little of the box would stay in view, only the flip is kept.
    """
    flip = torch.ones(len(boxes), 2, device=boxes.device)
    flip[:, 0] -= 2 * (draws[:, 0] < strength.horizontal_flip)
    scale = 1 + strength.scale * (2 * draws[:, 1] - 1)
    angle = math.radians(strength.rotation) * (2 * draws[:, 7] - 1)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rotated = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    shift = 2 * strength.translate * (2 * draws[:, 2:4] - 1)
    moved = _move_boxes(boxes, rotated * flip[:, None], shift)
    visible = _area(moved.clamp(0, 1)) >= MIN_VISIBLE * _area(moved)
    identity = torch.eye(2, device=boxes.device)
    return torch.where(visible[:, None, None], rotated, identity) * flip[:, None], shift * visible[:, None]


def _move_boxes(boxes: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Move boxes as pixels are moved; a rotated box becomes the upright box around its corners."""
    left, top, right, bottom = boxes.unbind(1)
    corners = 2 * torch.stack([left, top, right, top, left, bottom, right, bottom], dim=1).view(-1, 4, 2) - 1
    moved = corners @ matrix.mT + shift[:, None]
    return (torch.cat([moved.amin(1), moved.amax(1)], dim=1) + 1) / 2


def _move_pixels(pixels: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Return moved pixels less FILL: outside the image they are 0."""
    (a, b), (c, d) = matrix.permute(1, 2, 0)
    back = torch.stack([d, -b, -c, a], dim=1).view(-1, 2, 2) / (a * d - b * c)[:, None, None]
    theta = torch.cat([back, -back @ shift[:, :, None]], dim=2)  # grid_sample maps output pixels to input pixels
    grid = torch.nn.functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pixels - FILL, grid, align_corners=False)


def _map_colors(pixels: Tensor, draws: Tensor, strength: float) -> Tensor:
    """Return pixels, given less FILL, with brightness, contrast and saturation changed, clipped, and normalized.

    The three are factors in [1 - strength, 1 + strength]: contrast of the distance from the image's mean gray,
    saturation of that from the pixel's own. All together they are one 3 x 3 matrix and one shift per image.
    """
    mean, std, luma = _constants(pixels.device)
    brightness, contrast, saturation = (1 + strength * (2 * draws - 1)).unbind(1)
    mean_gray = pixels.mean(dim=(2, 3)) @ luma + FILL
    color = saturation[:, None, None] * torch.eye(3, device=pixels.device) + (1 - saturation)[:, None, None] * luma
    matrix = (brightness * contrast)[:, None, None] * color
    shift = brightness * (contrast * FILL + (1 - contrast) * mean_gray)  # gray stays gray: the same for each channel
    shifts, low, high = (shift[:, None] - mean) / std, -mean / std, (255 - mean) / std
    mapped = torch.baddbmm(shifts[:, :, None], matrix / std[:, None], pixels.flatten(2)).view_as(pixels)
    return mapped.clamp(low.view(3, 1, 1), high.view(3, 1, 1))


@cache
def _constants(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return RGB's mean and standard deviation, in [0, 255], and LUMA: [3] each. Copying them waits for the GPU."""
    mean, std, luma = torch.tensor([RGB_MEAN, RGB_STD, LUMA], device=device)
    return 255 * mean, 255 * std, luma


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
