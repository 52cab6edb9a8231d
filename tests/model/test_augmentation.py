"""Augmentation: the box goes where the pixels go, by painted boxes and by torchvision v2."""

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from localizer.model import augmentation
from localizer.model.augmentation import DRAWS, Augmentation, draw
from localizer.model.localizer import RGB_MEAN, RGB_STD

SIDE = 64
BOX = torch.tensor([[0.25, 0.375, 0.5, 0.75]])


def augment(images: Tensor, boxes: Tensor, draws: Tensor, *, strength: Augmentation) -> tuple[Tensor, Tensor]:
    """Return what `augmentation.augment` does, with pixels in [0, 255] as before normalization."""
    pixels, moved = augmentation.augment(images, boxes, draws, strength=strength)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (RGB_MEAN, RGB_STD))
    return 255 * (pixels * std + mean), moved


def painted(boxes: Tensor) -> Tensor:
    """Return black images [N, 3, SIDE, SIDE] with each box painted white."""
    images = torch.zeros(len(boxes), 3, SIDE, SIDE, dtype=torch.uint8)
    for image, box in zip(images, (boxes * SIDE).round().long().tolist(), strict=True):
        image[:, box[1] : box[3], box[0] : box[2]] = 255
    return images


def found(images: Tensor) -> Tensor:
    """Return the boxes around what is bright in [N, 3, SIDE, SIDE]."""
    boxes = []
    for image in images:
        rows, columns = torch.nonzero(image[0] > 191, as_tuple=True)
        boxes.append([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    return torch.tensor(boxes) / SIDE


def draws(**chosen: float) -> Tensor:
    """Return one row of draws, 0.5 (no change) but for those that are named."""
    names = ("flip", "zoom", "x", "y", "brightness", "contrast", "saturation", "turn")
    return torch.tensor([[chosen.get(name, 0.5) for name in names]])


def test_without_strength_nothing_changes() -> None:
    images = painted(BOX)
    pixels, boxes = augment(images, BOX, torch.rand(1, DRAWS), strength=Augmentation())
    torch.testing.assert_close(pixels, images.float(), atol=1e-3, rtol=0)
    torch.testing.assert_close(boxes, BOX)


def test_a_flip_mirrors_the_box() -> None:
    _, boxes = augment(painted(BOX), BOX, draws(flip=0.0), strength=Augmentation(horizontal_flip=0.5))
    torch.testing.assert_close(boxes, torch.tensor([[0.5, 0.375, 0.75, 0.75]]))


def test_a_flip_equals_torchvisions() -> None:
    images = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8)
    pixels, boxes = augment(images, BOX, draws(flip=0.0), strength=Augmentation(horizontal_flip=1.0))
    reference = tv_tensors.BoundingBoxes(BOX * SIDE, format="XYXY", canvas_size=(SIDE, SIDE))
    torch.testing.assert_close(pixels, v2.functional.horizontal_flip(images).float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(boxes * SIDE, v2.functional.horizontal_flip(reference).as_subclass(Tensor))


def test_zoom_and_shift_equal_torchvisions() -> None:
    images = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8).float()
    strength = Augmentation(scale=0.2, translate=0.125)  # with these draws: 1.2 times as large, 8 px right, 4 px up
    pixels, boxes = augment(images.byte(), BOX, draws(zoom=1.0, x=1.0, y=0.25), strength=strength)
    affine = {"angle": 0, "translate": [8, -4], "scale": 1.2, "shear": [0.0, 0.0]}
    bilinear = v2.InterpolationMode.BILINEAR
    expected = v2.functional.affine(images, **affine, interpolation=bilinear, fill=127.5)
    reference = tv_tensors.BoundingBoxes(BOX * SIDE, format="XYXY", canvas_size=(SIDE, SIDE))
    inside = slice(2, None)  # columns; the image's edge, which the two blend differently, falls on column 1
    torch.testing.assert_close(pixels[..., inside], expected[..., inside], atol=0.05, rtol=0)
    torch.testing.assert_close(boxes * SIDE, v2.functional.affine(reference, **affine).as_subclass(Tensor))


def test_a_turn_equals_torchvisions_and_gives_the_box_around_the_turned_one() -> None:
    images = torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8).float()
    pixels, boxes = augment(images.byte(), BOX, draws(turn=1.0), strength=Augmentation(rotation=30))
    bilinear = v2.InterpolationMode.BILINEAR
    expected = v2.functional.rotate(images, -30, interpolation=bilinear, fill=127.5)  # torchvision counts the other way
    middle = slice(SIDE // 4, -SIDE // 4)  # away from the image's edge, which the two blend differently
    torch.testing.assert_close(pixels[..., middle, middle], expected[..., middle, middle], atol=0.05, rtol=0)
    # BOX has its corners at (-1/2, -1/4), (0, -1/4), (-1/2, 1/2), (0, 1/2) from the centre, in half sides.
    c, s = 3**0.5 / 2, 0.5
    wanted_box = torch.tensor([[-c / 2 - s / 2, -s / 2 - c / 4, s / 4, c / 2]])
    torch.testing.assert_close(2 * boxes - 1, wanted_box, atol=1e-5, rtol=0)


def test_painted_boxes_are_found_again_where_the_box_says() -> None:
    corners = torch.rand(64, 4, generator=torch.Generator().manual_seed(0)) * 0.4
    boxes = ((corners + torch.tensor([0.0, 0.0, 0.5, 0.5])) * SIDE).round() / SIDE
    strength = Augmentation(horizontal_flip=0.5, scale=0.3, translate=0.2)
    pixels, moved = augment(painted(boxes), boxes, draw(64, seed=0, epoch=1), strength=strength)
    torch.testing.assert_close(found(pixels), moved, atol=1.01 / SIDE, rtol=0)
    assert not torch.allclose(moved, boxes, atol=4 / SIDE)  # the control: they did move


def test_a_box_that_would_leave_the_view_is_only_flipped() -> None:
    box = torch.tensor([[0.0, 0.0, 0.1, 0.1]])
    _, moved = augment(
        painted(box), box, draws(flip=0.0, x=0.0, y=0.0), strength=Augmentation(horizontal_flip=1, translate=0.5)
    )
    torch.testing.assert_close(moved, torch.tensor([[0.9, 0.0, 1.0, 0.1]]))


def test_moved_boxes_stay_valid() -> None:
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(256, 1)
    strength = Augmentation(horizontal_flip=0.5, scale=0.5, translate=0.5, rotation=45)
    _, moved = augment(painted(boxes), boxes, draw(256, seed=0, epoch=1), strength=strength)
    assert ((moved >= 0) & (moved <= 1)).all()
    assert (moved[:, :2] < moved[:, 2:]).all()


@pytest.mark.parametrize(("draw_", "expected"), [({"brightness": 1.0}, 120.0), ({"brightness": 0.0}, 80.0)])
def test_brightness_scales_a_grey_image(draw_: dict[str, float], expected: float) -> None:
    images = torch.full((1, 3, 8, 8), 100, dtype=torch.uint8)
    pixels, _ = augment(images, BOX, draws(**draw_), strength=Augmentation(color_jitter=0.2))
    torch.testing.assert_close(pixels, torch.full_like(pixels, expected), atol=0.01, rtol=0)


def test_colour_moves_no_box_and_leaves_the_range() -> None:
    images = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    pixels, boxes = augment(images, BOX.repeat(8, 1), draw(8, seed=0, epoch=1), strength=Augmentation(color_jitter=0.9))
    assert pixels.min() >= -1e-3
    assert pixels.max() <= 255 + 1e-3
    torch.testing.assert_close(boxes, BOX.repeat(8, 1))


def test_colors_are_changed_one_after_the_other_within_a_thousandth_of_a_level() -> None:
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    chosen, strength = draw(16, seed=0, epoch=1), Augmentation(color_jitter=0.4)
    pixels, _ = augment(images, BOX.repeat(16, 1), chosen, strength=strength)
    brightness, contrast, saturation = (1 + 0.4 * (2 * chosen[:, 4:7] - 1)).T[..., None, None, None]
    gray = v2.functional.rgb_to_grayscale(images.float())
    saturated = gray + saturation * (images - gray)
    mean = gray.mean((1, 2, 3), keepdim=True)
    expected = ((mean + contrast * (saturated - mean)) * brightness).clamp(0, 255)
    assert ((expected == 0) | (expected == 255)).any()  # some are clipped
    # torchvision's weights of red, green and blue have four digits, ours three: up to 0.02 levels.
    torch.testing.assert_close(pixels, expected, atol=0.05, rtol=0)


def test_an_epochs_draws_are_the_same_again_and_others_in_another_epoch_or_seed() -> None:
    table = draw(5, seed=0, epoch=1)
    torch.testing.assert_close(draw(5, seed=0, epoch=1), table, atol=0, rtol=0)
    assert not torch.equal(draw(5, seed=0, epoch=2), table)
    assert not torch.equal(draw(5, seed=1, epoch=1), table)
