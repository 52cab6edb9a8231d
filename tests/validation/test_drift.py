"""How far annotations are from accepted ones, in numbers worked by hand."""

import numpy as np
import pandas as pd
import pytest

from localizer.dataset import Drift
from localizer.tables import EDGES
from localizer.validation.drift import DriftReport, measure_drift

Row = tuple[str, str, tuple[float, float, float, float]]
BOX = (10.0, 10.0, 20.0, 20.0)
SOURCE = "boxes.csv"
LIMITS = Drift()


def table(*rows: Row, first: int = 2) -> pd.DataFrame:
    """Return boxes of (image, label, edges), a line each from line `first` on."""
    frame = pd.DataFrame([(image, label, *box) for image, label, box in rows], columns=["image", "label", *EDGES])
    return frame.assign(file=SOURCE, line=range(first, first + len(rows)), element="")


def changes(report: DriftReport) -> list[tuple[object, ...]]:
    """Return the changed rows, an unknown line or IoU as None."""
    return [
        tuple(None if value != value else value for value in row)
        for row in report.rows[["change", "image", "line_old", "line_new", "iou"]].itertuples(index=False)
    ]


def test_equal_annotations_have_no_change_and_no_distance() -> None:
    rows = [("a", "cat", BOX), ("b", "dog", (1.0, 2.0, 3.0, 4.0))]
    report = measure_drift(table(*rows), table(*reversed(rows)))
    assert report.rows.empty
    assert (report.before, report.after, report.labels, report.sizes) == (2, 2, 0, 0)


def test_added_and_removed_rows_have_their_lines() -> None:
    report = measure_drift(table(("a", "cat", BOX), ("c", "cat", BOX)), table(("b", "cat", BOX), ("a", "cat", BOX)))
    assert sorted(changes(report), key=str) == [
        ("added", "c", None, "3", None),
        ("removed", "b", "2", None, None),
    ]
    assert [report.count(change) for change in ("added", "removed", "moved")] == [1, 1, 0]


def test_a_moved_box_has_the_iou_of_the_old_and_the_new() -> None:
    # 10 x 10 moved by 5 across: they share 50 of 150.
    report = measure_drift(table(("a", "cat", (15.0, 10.0, 25.0, 20.0))), table(("a", "cat", BOX), first=7))
    assert changes(report) == [("moved", "a", "7", "2", pytest.approx(1 / 3))]


@pytest.mark.parametrize(("right", "moved"), [(1000.0, 0), (999.0, 0), (998.0, 1)])
def test_a_box_that_keeps_999_of_1000_has_not_moved(right: float, moved: int) -> None:
    old = table(("a", "cat", (0.0, 0.0, 1000.0, 10.0)))
    assert measure_drift(table(("a", "cat", (0.0, 0.0, right, 10.0))), old).count("moved") == moved


def test_another_label_is_one_removed_and_one_added() -> None:
    report = measure_drift(table(("a", "dog", BOX)), table(("a", "cat", BOX)))
    assert sorted(report.rows["change"]) == ["added", "removed"]


LEFT, MIDDLE, RIGHT = (0.0, 0.0, 10.0, 10.0), (40.0, 0.0, 50.0, 10.0), (80.0, 0.0, 90.0, 10.0)


def test_two_boxes_of_an_image_and_label_in_another_order_have_not_moved() -> None:
    one, two = ("a", "cat", LEFT), ("a", "cat", RIGHT)
    assert measure_drift(table(one, two), table(two, one)).rows.empty


def test_of_two_boxes_the_one_that_moved_is_paired_with_what_it_was() -> None:
    # 10 x 10 moved by 1 across: they share 90 of 110.
    new = table(("a", "cat", (81.0, 0.0, 91.0, 10.0)), ("a", "cat", LEFT))
    old = table(("a", "cat", LEFT), ("a", "cat", RIGHT))
    assert changes(measure_drift(new, old)) == [("moved", "a", "3", "2", pytest.approx(90 / 110))]


def test_a_box_taken_from_the_front_moves_none_of_the_others() -> None:
    old = table(("a", "cat", LEFT), ("a", "cat", MIDDLE), ("a", "cat", RIGHT))
    new = table(("a", "cat", MIDDLE), ("a", "cat", RIGHT))
    assert changes(measure_drift(new, old)) == [("removed", "a", "2", None, None)]


def test_a_repeated_row_is_one_added_and_moves_none_of_the_others() -> None:
    old = table(("a", "cat", LEFT), ("a", "cat", RIGHT))
    new = table(("a", "cat", LEFT), ("a", "cat", LEFT), ("a", "cat", RIGHT))
    assert changes(measure_drift(new, old)) == [("added", "a", None, "3", None)]


def test_a_repeated_row_less_is_one_removed() -> None:
    old = table(("a", "cat", LEFT), ("a", "cat", LEFT), ("a", "cat", RIGHT))
    new = table(("a", "cat", LEFT), ("a", "cat", RIGHT))
    assert changes(measure_drift(new, old)) == [("removed", "a", "3", None, None)]


NAN = float("nan")


def test_unknown_numbers_that_stay_unknown_have_not_moved() -> None:
    rows = [("a", "cat", (NAN, 10.0, 20.0, 20.0)), ("b", "cat", (NAN,) * 4)]
    assert measure_drift(table(*rows), table(*rows)).rows.empty


def test_a_number_that_became_unknown_has_moved() -> None:
    report = measure_drift(table(("a", "cat", (NAN, 10.0, NAN, 20.0))), table(("a", "cat", BOX)))
    assert changes(report) == [("moved", "a", "2", "2", 0)]


def test_an_empty_box_that_stays_as_it_is_has_not_moved() -> None:
    flat = ("a", "cat", (10.0, 10.0, 10.0, 20.0))
    assert measure_drift(table(flat), table(flat)).rows.empty


def test_labels_are_as_far_apart_as_half_the_differences_of_their_shares() -> None:
    # 3/4, 1/4, 0 before and 1/4, 1/4, 1/2 after: (1/2 + 0 + 1/2) / 2.
    old = table(*[(str(i), label, BOX) for i, label in enumerate(["cat", "cat", "cat", "dog"])])
    new = table(*[(str(i), label, BOX) for i, label in enumerate(["cat", "dog", "cow", "cow"])])
    assert measure_drift(new, old).labels == 0.5


def test_sizes_are_as_far_apart_as_their_cumulative_distributions() -> None:
    # Areas 100, 100, 100, 400 before and 100, 400, 400, 400 after: at 100 it is 3/4 against 1/4.
    small, large = (0.0, 0.0, 10.0, 10.0), (0.0, 0.0, 20.0, 20.0)
    old = table(*[(str(i), "cat", box) for i, box in enumerate([small, small, small, large])])
    new = table(*[(str(i), "cat", box) for i, box in enumerate([small, large, large, large])])
    assert measure_drift(new, old).sizes == 0.5


def test_boxes_of_unknown_numbers_have_no_size() -> None:
    old = table(("a", "cat", BOX), ("b", "cat", (0.0, 0.0, 50.0, 50.0)))
    new = table(("a", "cat", BOX), ("b", "cat", (NAN,) * 4))
    assert measure_drift(new, old).sizes == 0.5  # half of the old ones are larger than the only one that is known


def test_unknown_sizes_are_at_no_distance() -> None:
    assert measure_drift(table(("a", "cat", (NAN,) * 4)), table(("a", "cat", BOX))).sizes == 0


def many(count: int, *, gone: int = 0, moved: int = 0, **edges: float) -> pd.DataFrame:
    """Return a box for each of `count` images, without the first `gone`, the next `moved` ones far away."""
    rows = table(*[(f"{i}", "cat", BOX) for i in range(count)]).iloc[gone:].copy()
    rows.loc[rows.index[:moved], ["xmin_px", "xmax_px"]] += 500
    return rows


@pytest.mark.parametrize(
    ("new", "found"),
    [
        (many(20, gone=1), []),
        (many(20, gone=2), [("drift_removed", "2, 10.0% of 20", "rows removed up to 5.0% of the accepted ones")]),
        (many(20, moved=1), []),
        (many(20, moved=2), [("drift_moved", "2, 10.0% of 20", "rows moved up to 5.0% of the accepted ones")]),
    ],
    ids=["removed-at-the-limit", "removed-above", "moved-at-the-limit", "moved-above"],
)
def test_rows_at_the_limit_are_no_finding_and_above_it_a_critical_one(
    new: pd.DataFrame, found: list[tuple[str, str, str]]
) -> None:
    findings = list(measure_drift(new, many(20)).findings(LIMITS, source=SOURCE))
    assert [(finding.rule, finding.got, finding.expected) for finding in findings] == found
    assert all(
        finding.severity == "critical" and finding.is_of_file() and finding.file == SOURCE for finding in findings
    )


def test_rows_added_up_to_half_as_many_are_no_finding_and_more_are_critical() -> None:
    assert list(measure_drift(many(30), many(20)).findings(LIMITS, source=SOURCE)) == []
    (finding,) = measure_drift(many(31), many(20)).findings(LIMITS, source=SOURCE)
    assert (finding.rule, finding.got, finding.expected) == (
        "drift_added",
        "11, 55.0% of 20",
        "rows added up to 50.0% of the accepted ones",
    )


@pytest.mark.parametrize("cats", range(1, 10))
def test_labels_a_tenth_apart_are_at_the_limit(cats: int) -> None:
    old, new = (table(*[(f"{i}", "cat" if i < count else "dog", BOX) for i in range(10)]) for count in (cats, cats + 1))
    report = measure_drift(new, old)
    assert report.labels == pytest.approx(0.1)
    limits = Drift(removed=1, labels=0.1)
    assert list(report.findings(limits, source=SOURCE)) == []


def test_labels_above_the_limit_are_a_critical_finding() -> None:
    old = table(*[(f"{i}", "cat", BOX) for i in range(10)])
    new = table(*[(f"{i}", "cat" if i < 8 else "dog", BOX) for i in range(10)])
    (finding,) = measure_drift(new, old).findings(Drift(removed=1), source=SOURCE)
    assert finding.rule == "drift_labels"
    assert finding.expected == "at most 0.1 as total variation distance from the accepted labels"
    assert finding.got == "0.200"


@pytest.mark.parametrize(("grown", "rules"), [(1, []), (2, ["drift_sizes"])])
def test_sizes_at_the_limit_are_no_finding_and_above_it_a_critical_one(grown: int, rules: list[str]) -> None:
    new = many(10)
    new.loc[new.index[:grown], "xmax_px"] += 30
    findings = list(measure_drift(new, many(10)).findings(Drift(moved=1), source=SOURCE))
    assert [finding.rule for finding in findings] == rules


def test_what_the_config_allows_is_no_finding() -> None:
    everything = Drift(added=1, removed=1, moved=1, labels=1, sizes=1)
    old, new = table(("a", "cat", BOX)), table(("b", "dog", (0.0, 0.0, 50.0, 50.0)))
    assert len(list(measure_drift(new, old).findings(LIMITS, source=SOURCE))) == 4
    assert list(measure_drift(new, old).findings(everything, source=SOURCE)) == []


def test_many_rows_are_compared_without_a_warning() -> None:
    generator = np.random.default_rng(0)
    sides = generator.integers(1, 400, size=(9000, 2)).astype(float)
    new = table(*[(f"{i}", "cat", (0.0, 0.0, *side)) for i, side in enumerate(sides.tolist())])
    assert measure_drift(new, new.iloc[:-1]).count("added") == 1
