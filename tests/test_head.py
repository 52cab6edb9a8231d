"""The head and its decoder."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from localizer.model.head import GridHead, decode

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


def test_a_fresh_head_answers_the_centred_box_for_any_features() -> None:
    raw = GridHead(8, grid=2)(torch.rand(3, 8, 4, 4))
    torch.testing.assert_close(raw, torch.zeros(3, 4))


@pytest.mark.parametrize(("grid", "sees_place"), [(1, False), (2, True)])
def test_a_grid_keeps_where_a_feature_is_and_pooling_does_not(grid: int, sees_place: bool) -> None:
    head = GridHead(1, grid=grid)
    torch.nn.init.normal_(head.linear.weight, generator=torch.Generator().manual_seed(0))
    features = torch.zeros(2, 1, 4, 4)
    features[0, 0, 0, 0] = features[1, 0, 3, 3] = 1
    left, right = head(features)
    assert torch.allclose(left, right) != sees_place
