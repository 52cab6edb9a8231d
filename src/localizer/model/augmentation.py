"""Augmentation of a batch on its device: one matrix an image moves its pixels and its box."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DRAWS = 8  # random numbers an image: flip, zoom, shift x, shift y, brightness, contrast, saturation, turn
LEAST_VISIBLE = 0.8  # share of the box that must stay in view, or the image is only flipped
GREY = 127.5  # what fills the space outside the image
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


@dataclass(frozen=True)
class Augmentation:
    """Strengths, 0 being off.

    flip: probability of a left-right flip; zoom: 0.2 scales by 0.8 to 1.2; shift: 0.1 moves by up to a
    tenth of the side; turn: up to so many degrees either way; colour: 0.2 changes brightness, contrast and
    saturation by up to a fifth each.
    """

    flip: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    turn: float = 0.0
    colour: float = 0.0


def draw(count: int, *, seed: int, epoch: int) -> Tensor:
    """Return the random numbers [count, DRAWS] in [0, 1) of one epoch: row i is image i's, in whatever batch."""
    return torch.from_numpy(np.random.default_rng((seed, epoch)).random((count, DRAWS), dtype=np.float32))


def augment(pixels: Tensor, boxes: Tensor, draws: Tensor, *, strength: Augmentation) -> tuple[Tensor, Tensor]:
    """Return augmented pixels, float [N, 3, S, S] in [0, 255], and their boxes [N, 4] xyxy in [0, 1].

    pixels: uint8 [N, 3, S, S]; draws: rows of `draw`. A box is cut at the image's edge.
    """
    matrix, shift = _placement(boxes, draws, strength)
    moved = _moved_boxes(boxes, matrix, shift).clamp(0, 1)
    return _coloured(_moved_pixels(pixels, matrix, shift), draws[:, 4:7], strength.colour), moved


def _placement(boxes: Tensor, draws: Tensor, strength: Augmentation) -> tuple[Tensor, Tensor]:
    """Return matrices [N, 2, 2] and shifts [N, 2]: p -> matrix p + shift, with p in [-1, 1] from the centre.

    Where the box would leave the view, only the flip is left.
    """
    flip = torch.ones(len(boxes), 2, device=boxes.device)
    flip[:, 0] -= 2 * (draws[:, 0] < strength.flip)
    scale = 1 + strength.zoom * (2 * draws[:, 1] - 1)
    angle = math.radians(strength.turn) * (2 * draws[:, 7] - 1)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    turned = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    shift = 2 * strength.shift * (2 * draws[:, 2:4] - 1)
    moved = _moved_boxes(boxes, turned * flip[:, None], shift)
    visible = _area(moved.clamp(0, 1)) >= LEAST_VISIBLE * _area(moved)
    upright = torch.eye(2, device=boxes.device)
    return torch.where(visible[:, None, None], turned, upright) * flip[:, None], shift * visible[:, None]


def _moved_boxes(boxes: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Move boxes as the pixels move; one that is turned gives the upright box around its corners."""
    left, top, right, bottom = boxes.unbind(1)
    corners = 2 * torch.stack([left, top, right, top, left, bottom, right, bottom], dim=1).view(-1, 4, 2) - 1
    moved = corners @ matrix.mT + shift[:, None]
    return (torch.cat([moved.amin(1), moved.amax(1)], dim=1) + 1) / 2


def _moved_pixels(pixels: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    back = torch.linalg.inv_ex(matrix).inverse  # grid_sample asks where an output's pixel comes from
    theta = torch.cat([back, -back @ shift[:, :, None]], dim=2)
    grid = torch.nn.functional.affine_grid(theta, list(pixels.shape), align_corners=False)
    return torch.nn.functional.grid_sample(pixels.float() - GREY, grid, align_corners=False) + GREY


def _coloured(pixels: Tensor, draws: Tensor, colour: float) -> Tensor:
    """Change brightness, contrast and saturation by factors in [1 - colour, 1 + colour]."""
    brightness, contrast, saturation = (1 + colour * (2 * draws - 1)).T[:, :, None, None, None]
    red, green, blue = pixels.split(1, dim=1)
    grey = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    pixels = grey + saturation * (pixels - grey)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    return ((mean + contrast * (pixels - mean)) * brightness).clamp(0, 255)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
