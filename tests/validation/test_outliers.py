"""Scores of how unusual a box is, worked by hand: log 2 is the usual distance where sides double or halve."""

import numpy as np
import pandas as pd
import pytest

from localizer.validation.outliers import with_scores


def table(edges: list[tuple[float, float, float, float]], label: str | None = "cat") -> pd.DataFrame:
    """Return boxes in images of 1000 x 500 pixels."""
    frame = pd.DataFrame(edges, columns=["xmin_px", "ymin_px", "xmax_px", "ymax_px"], dtype=float)
    return frame.assign(image_width=1000.0, image_height=500.0, label=label)


def wide(width: float, *, times: int = 1) -> list[tuple[float, float, float, float]]:
    """Return boxes, all centered in their images, 50 pixels high."""
    return [(500 - width / 2, 225, 500 + width / 2, 275)] * times


# The logarithms of the widths are 0 (11 times) and 1 or -1 (20 times) in powers of two around 50: the
# median is 0, and the median distance, the 16th of 31, is log 2.
SPREAD = [*wide(25, times=10), *wide(50, times=11), *wide(100, times=9)]


def test_a_box_16_times_as_wide_is_4_usual_distances_away_over_the_normal_factor() -> None:
    scores = with_scores(table([*SPREAD, *wide(800)]))
    assert scores["aspect_score"].iloc[-1] == pytest.approx(4 / 1.4826)
    assert scores["size_score"].iloc[-1] == pytest.approx(4 / 1.4826)
    assert scores["aspect_score"].iloc[0] == pytest.approx(1 / 1.4826)
    assert scores["aspect_score"].iloc[15] == 0


def test_position_is_the_farther_of_across_and_down() -> None:
    # Centres at 0.4 and 0.6 across, 15 each, and at 0.45 to 0.55 down; the last at 0.9 across, 0.5 down:
    # from the median 0.6 the distances are 0.2 (15 times), 0 (15 times) and 0.3, so that their median is 0.2.
    rows = [(390.0, 215.0, 410.0, 235.0)] * 15 + [(590.0, 265.0, 610.0, 285.0)] * 15 + [(890.0, 240.0, 910.0, 260.0)]
    scores = with_scores(table(rows))
    assert scores["position_score"].iloc[-1] == pytest.approx(0.3 / 0.2 / 1.4826)
    # Down, the median is 0.5 and the usual distance 0.05.
    assert scores["position_score"].iloc[0] == pytest.approx(1 / 1.4826)


def test_share_aspect_and_center_are_added() -> None:
    (row,) = with_scores(table([(100.0, 50.0, 300.0, 150.0)])).to_dict("records")
    values = {name: row[name] for name in ("box_share", "aspect", "center_x", "center_y")}
    assert values == pytest.approx({"box_share": 0.04, "aspect": 2, "center_x": 0.2, "center_y": 0.2})


@pytest.mark.parametrize(("others", "known"), [(28, False), (29, True)])
def test_a_label_needs_30_boxes(others: int, known: bool) -> None:
    rows = [wide(25 if i % 2 else 100)[0] for i in range(others)]
    scores = with_scores(table([*rows, *wide(800)]))
    assert scores["size_score"].notna().all() == known
    assert scores["size_score"].isna().all() != known


def test_a_flat_box_has_no_score_and_does_not_count_among_the_others() -> None:
    rows = [wide(25 if i % 2 else 100)[0] for i in range(29)]
    scores = with_scores(table([*rows, (500.0, 225.0, 500.0, 275.0)]))
    names = ["box_share", "aspect", "center_x", "center_y", "size_score", "aspect_score", "position_score"]
    assert scores[names].iloc[-1].isna().all()
    assert scores["size_score"].isna().all()


@pytest.mark.parametrize("box", [(60.0, 10.0, 10.0, 50.0), (10.0, 50.0, 60.0, 10.0), (np.nan, 10.0, 60.0, 50.0)])
def test_a_turned_or_unknown_box_has_no_score(box: tuple[float, float, float, float]) -> None:
    scores = with_scores(table([*SPREAD, *wide(800), box]))
    assert scores[["size_score", "aspect_score", "position_score"]].iloc[-1].isna().all()
    assert scores["size_score"].iloc[-2] == pytest.approx(4 / 1.4826)


def test_boxes_are_compared_with_those_of_their_label_only() -> None:
    cats = table([*SPREAD, *wide(800)])
    dogs = table(wide(800, times=20) + wide(400, times=20), label="dog")
    scores = with_scores(pd.concat([cats, dogs], ignore_index=True))
    assert scores["size_score"].iloc[30] == pytest.approx(4 / 1.4826)
    # The dogs' median lies half of log 2 from all of them.
    assert scores["size_score"].iloc[31:].to_numpy() == pytest.approx(np.full(40, 1 / 1.4826))


def test_boxes_without_a_label_are_compared_with_each_other() -> None:
    scores = with_scores(table([*SPREAD, *wide(800)], label=None))
    assert scores["size_score"].iloc[-1] == pytest.approx(4 / 1.4826)


def test_boxes_that_are_mostly_equal_have_no_usual_distance_and_no_score() -> None:
    scores = with_scores(table([*wide(50, times=40), *wide(800)]))
    assert scores[["size_score", "aspect_score", "position_score"]].isna().all(axis=None)


def test_an_image_of_unknown_size_leaves_only_the_aspect() -> None:
    boxes = table([*SPREAD, *wide(800)]).assign(image_width=np.nan, image_height=np.nan)
    scores = with_scores(boxes)
    assert scores[["size_score", "position_score"]].isna().all(axis=None)
    assert scores["aspect_score"].iloc[-1] == pytest.approx(4 / 1.4826)
