"""The head and its decoder."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localizer.model.head import HeadName, HeatmapHead, decode, make_head

numbers = st.floats(-1e6, 1e6, width=32)


def test_zero_decodes_to_the_centred_half_size_box() -> None:
    torch.testing.assert_close(decode(torch.zeros(1, 4)), torch.tensor([[0.25, 0.25, 0.75, 0.75]]))


def test_a_box_of_size_s_begins_within_the_room_that_it_leaves() -> None:
    # sigmoid(ln 3) = 3/4: width 3/4 leaves 1/4, of which 3/4 lies before the box.
    raw = torch.tensor([[3.0, 1.0, 3.0, 1.0]]).log()
    torch.testing.assert_close(decode(raw), torch.tensor([[3 / 16, 1 / 4, 15 / 16, 3 / 4]]))


@given(st.lists(numbers, min_size=4, max_size=4))
@settings(deadline=None)
def test_every_finite_output_decodes_to_a_valid_box(raw: list[float]) -> None:
    xmin, ymin, xmax, ymax = decode(torch.tensor([raw]))[0].tolist()
    assert 0 <= xmin <= xmax <= 1
    assert 0 <= ymin <= ymax <= 1


HEADS = [("grid", 1), ("grid", 2), ("grid", 3), ("heatmap", 0)]


def drawn_from(head: torch.nn.Module) -> torch.nn.Module:
    """Return the head with random numbers in place of the zeros that it starts with."""
    generator = torch.Generator().manual_seed(0)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, generator=generator)
    return head.eval()


@pytest.mark.parametrize(("name", "grid"), HEADS)
@pytest.mark.parametrize("shape", [(4, 4), (1, 1), (3, 5), (2, 2)])
def test_a_fresh_head_answers_the_centred_box_for_any_features(
    name: HeadName, grid: int, shape: tuple[int, int]
) -> None:
    boxes = make_head(name, 8, grid=grid)(torch.rand(3, 8, *shape))
    torch.testing.assert_close(boxes, torch.tensor([[0.25, 0.25, 0.75, 0.75]]).expand(3, 4))


@pytest.mark.parametrize(("name", "grid"), HEADS)
def test_only_pooling_forgets_where_a_feature_is(name: HeadName, grid: int) -> None:
    head = drawn_from(make_head(name, 1, grid=grid))
    features = torch.zeros(2, 1, 6, 6)
    features[0, 0, 0, 0] = features[1, 0, 5, 5] = 9
    left, right = head(features)
    assert torch.allclose(left, right) == (name == "grid" and grid == 1)


@pytest.mark.parametrize(("name", "grid"), HEADS)
def test_any_features_give_valid_boxes(name: HeadName, grid: int) -> None:
    boxes = drawn_from(make_head(name, 8, grid=grid))(100 * torch.randn(16, 8, 3, 3))
    assert ((boxes >= 0) & (boxes <= 1)).all()
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


def test_a_heat_map_puts_the_box_where_it_is_hot() -> None:
    head = HeatmapHead(1)
    torch.nn.init.constant_(head.heat.weight, 100.0)
    features = torch.zeros(1, 1, 3, 3)
    features[0, 0, 0, 2] = 1  # the first row, the last column: the box of half the size lies in that corner
    torch.testing.assert_close(head(features), torch.tensor([[0.5, 0.0, 1.0, 0.5]]))


def test_between_two_hot_cells_the_box_lies_in_the_middle() -> None:
    head = HeatmapHead(1)
    torch.nn.init.constant_(head.heat.weight, 100.0)
    features = torch.zeros(1, 1, 3, 3)
    features[0, 0, 0, 0] = features[0, 0, 0, 2] = 1
    torch.testing.assert_close(head(features), torch.tensor([[0.25, 0.0, 0.75, 0.5]]))
