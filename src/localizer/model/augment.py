"""Augmentation of a batch on its device: one matrix an image moves its pixels and its box."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DRAWS = 7  # random numbers an image: flip, zoom, shift x, shift y, brightness, contrast, saturation
LEAST_VISIBLE = 0.8  # share of the box that must stay in view, or the image is only flipped
GREY = 127.5  # what fills the space outside the image
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """Strengths, 0 being off.

    flip: probability of a left-right flip; zoom: 0.2 scales by 0.8 to 1.2; shift: 0.1 moves by up to a
    tenth of the side; colour: 0.2 changes brightness, contrast and saturation by up to a fifth each.
    """

    flip: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    colour: float = 0.0


def draw(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return the random numbers [count, DRAWS] in [0, 1) of one epoch: row i is image i's, in whatever batch."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).random((count, DRAWS), dtype=np.float32))


def augment(pixels: Tensor, boxes: Tensor, draws: Tensor, *, strength: Augmentation) -> tuple[Tensor, Tensor]:
    """Return augmented pixels, float [N, 3, S, S] in [0, 255], and their boxes [N, 4] xyxy in [0, 1].

    pixels: uint8 [N, 3, S, S]; draws: rows of `draw`. A box is cut at the image's edge.
    """
    sign, scale, shift = _placement(boxes, draws, strength)
    moved = _moved_boxes(boxes, sign, scale, shift).clamp(0, 1)
    return _coloured(_moved_pixels(pixels, sign, scale, shift), draws[:, 4:], strength.colour), moved


def _placement(boxes: Tensor, draws: Tensor, strength: Augmentation) -> tuple[Tensor, Tensor, Tensor]:
    """Return flip sign [N], scale [N] and shift [N, 2], undone where the box would leave the view."""
    sign = 1 - 2 * (draws[:, 0] < strength.flip).float()
    scale = 1 + strength.zoom * (2 * draws[:, 1] - 1)
    shift = 2 * strength.shift * (2 * draws[:, 2:4] - 1)
    moved = _moved_boxes(boxes, sign, scale, shift)
    visible = _area(moved.clamp(0, 1)) >= LEAST_VISIBLE * _area(moved)
    return sign, torch.where(visible, scale, 1.0), torch.where(visible[:, None], shift, 0.0)


def _moved_boxes(boxes: Tensor, sign: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Move boxes as the pixels move: x -> sign * scale * x + shift, with x in [-1, 1] from the centre."""
    centred = 2 * boxes - 1
    x = centred[:, [0, 2]] * (sign * scale)[:, None] + shift[:, :1]
    y = centred[:, [1, 3]] * scale[:, None] + shift[:, 1:]
    x = x.sort(dim=1).values
    return (torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1) + 1) / 2


def _moved_pixels(pixels: Tensor, sign: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    theta = torch.zeros(len(pixels), 2, 3, device=pixels.device)  # from output to input, so the inverse
    theta[:, 0, 0], theta[:, 0, 2] = sign / scale, -sign * shift[:, 0] / scale
    theta[:, 1, 1], theta[:, 1, 2] = 1 / scale, -shift[:, 1] / scale
    grid = torch.nn.functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pixels.float() - GREY, grid, align_corners=False) + GREY


def _coloured(pixels: Tensor, draws: Tensor, colour: float) -> Tensor:
    """Change brightness, contrast and saturation by factors in [1 - colour, 1 + colour]."""
    brightness, contrast, saturation = (1 + colour * (2 * draws - 1)).T[:, :, None, None, None]
    luma = torch.tensor(LUMA, device=pixels.device).view(1, 3, 1, 1)
    grey = (pixels * luma).sum(dim=1, keepdim=True)
    pixels = grey + saturation * (pixels - grey)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    return ((mean + contrast * (pixels - mean)) * brightness).clamp(0, 255)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
