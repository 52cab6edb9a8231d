"""Comparing results: which are repeats, how two differ image by image, and the resulting text."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from localizer.boxes import Array
from localizer.comparison.differences import (
    Comparison,
    PairedDifference,
    compare,
    outcome,
    paired_difference,
    paired_t_interval,
)
from localizer.comparison.groups import Group, Result, differing_params, differing_sources, group_results
from localizer.comparison.sections import METRICS_TITLE, Section, sections
from localizer.comparison.text import WIDTH, escaped, markdown, terminal

SOURCES = {"stages/train.py": "1", "data/demo/raw": "2"}


def images(ious: dict[str, float], *, left_px: float = 0, label: str = "cat") -> pd.DataFrame:
    """Predictions of boxes 10 pixels wide in images of 100 by 100."""
    rows = [
        {"image": name, "label": label, "width": 100, "height": 100, "xmin_px": left_px, "ymin_px": 0.0}
        | {"xmax_px": left_px + 10, "ymax_px": 10.0, "iou": iou}
        for name, iou in ious.items()
    ]
    table = pd.DataFrame(rows).assign(digest="", cluster=range(len(rows)))
    return table.assign(pred_xmin_px=1.0, pred_ymin_px=1.0, pred_xmax_px=9.0, pred_ymax_px=9.0)


def result(
    name: str, ious: dict[str, float] | None = None, *, seed: int = 0, lr: float = 0.1, commit: str = "c" * 40
) -> Result:
    params = {"train.seed": seed, "train.lr": lr}
    table = None if ious is None else images(ious)
    metrics = {"images": 2.0} if ious is None else {"mean_iou": sum(ious.values()) / len(ious), "images": len(ious)}
    return Result(name, params, metrics, table, commit)


def names(groups: list[Group]) -> list[list[str]]:
    return [[one.name for one in group.results] for group in groups]


def paired(first: Result, other: Result) -> PairedDifference:
    return paired_difference(Group((first,)), Group((other,)))


def section(comparison: Comparison, title: str) -> Section:
    (one,) = [one for one in sections(comparison) if one.title.startswith(title)]
    return one


def test_results_that_differ_in_their_seeds_only_are_one_group() -> None:
    some = [result("one"), result("other", lr=0.2), result("two", seed=1), result("three", seed=2)]
    assert names(group_results(some)) == [["one", "two", "three"], ["other"]]


def test_a_result_named_twice_stays_apart() -> None:
    assert names(group_results([result("one"), result("one")])) == [["one"], ["one"]]


def test_params_as_numbers_and_as_text_are_the_same() -> None:
    text = Result("text", {"train.seed": "1", "train.lr": "0.1"}, {}, commit="c" * 40)
    assert names(group_results([result("numbers"), text])) == [["numbers", "text"]]


def test_results_of_other_commits_are_no_repeats() -> None:
    assert len(group_results([result("one"), result("two", seed=1, commit="d" * 40)])) == 2


def test_results_of_other_commits_with_the_same_code_and_data_are_repeats() -> None:
    one, two = (Result(str(seed), {"train.seed": seed}, {}, commit=str(seed), sources=SOURCES) for seed in (0, 1))
    assert names(group_results([one, two])) == [["0", "1"]]


def test_results_of_one_commit_with_other_data_are_no_repeats() -> None:
    other = SOURCES | {"data/demo/raw": "3"}
    one = Result("one", {"train.seed": 0}, {}, commit="c", sources=SOURCES)
    two = Result("two", {"train.seed": 1}, {}, commit="c", sources=other)
    assert len(group_results([one, two])) == 2
    assert differing_sources(Group((one,)), Group((two,))) == ["data/demo/raw"]


def test_results_of_changed_code_are_no_repeats_where_the_commit_is_all_that_is_known() -> None:
    one, two = (Result(str(seed), {"train.seed": seed}, {}, commit="c", dirty=True) for seed in (0, 1))
    assert len(group_results([one, two])) == 2


def test_results_of_which_nothing_is_known_are_no_repeats() -> None:
    some = [result("one", commit=""), result("two", seed=1, commit="")]
    assert names(group_results(some)) == [["one"], ["two"]]


def test_unknown_sources_are_not_taken_for_equal() -> None:
    assert differing_sources(Group((result("one"),)), Group((result("two"),))) is None


def test_a_groups_repeats_are_paired_by_image() -> None:
    group = Group((result("one", {"a": 0.2, "b": 0.4}), result("two", {"b": 0.6, "a": 0.4, "c": 1.0}, seed=1)))
    found = paired_difference(group, Group((result("other", {"c": 0.5, "b": 0.7, "a": 0.5}),)))
    assert found.ious[0].tolist() == [[0.2, 0.4], [0.4, 0.6]]  # images a and b, a column a repeat
    assert [*found.images["iou_first"].round(6)] == [0.3, 0.5]
    assert found.gain.value == pytest.approx(0.2)
    assert group.name == "one and 1 more seed"


def test_the_difference_is_the_mean_gain_by_image() -> None:
    found = paired(result("one", {"a": 0.1, "b": 0.4, "c": 0.5}), result("two", {"c": 0.4, "a": 0.4, "b": 0.5}))
    assert found.gain.value == pytest.approx(0.1)  # of 0.3, 0.1 and -0.1
    assert dict(zip(found.images["image"], found.images["gain"].round(6), strict=True)) == {
        "a": 0.3,
        "b": 0.1,
        "c": -0.1,
    }
    assert found.left_out == 0


@pytest.mark.parametrize(("gain", "word"), [(0.1, "better"), (-0.1, "worse"), (0.0, "no clear difference")])
def test_a_gain_that_is_the_same_on_every_image_is_clear(gain: float, word: str) -> None:
    first = {str(number): 0.25 + number / 100 for number in range(20)}
    found = paired(result("one", first), result("two", {name: iou + gain for name, iou in first.items()}))
    assert found.outcome == word
    assert (found.gain.low, found.gain.high) == pytest.approx((gain, gain))


@pytest.mark.parametrize(
    ("count", "word"), [(2, "too few images to tell"), (19, "too few images to tell"), (20, "better")]
)
def test_fewer_than_20_images_decide_nothing(count: int, word: str) -> None:
    names = [str(number) for number in range(count)]
    found = paired(result("one", dict.fromkeys(names, 0.5)), result("two", dict.fromkeys(names, 0.6)))
    assert found.outcome == word


@pytest.mark.parametrize(("gain", "word"), [(1e-6, "no clear difference"), (0.004, "better")])
def test_a_gain_of_rounding_is_a_tie(gain: float, word: str) -> None:
    first = {str(number): 0.5 for number in range(219)}
    other = {name: iou + gain * (int(name) < 219 - 6) for name, iou in first.items()}
    found = paired(result("one", first), result("two", other))
    assert found.gain.low > 0
    assert found.outcome == word


def clustered(one: Result, clusters: list[int]) -> Result:
    assert one.images is not None
    return Result(one.name, one.params, one.metrics, one.images.assign(cluster=clusters), one.commit)


def ups_and_downs(clusters: list[int]) -> PairedDifference:
    """40 images, of which 30 gain 0.1 and 10 lose it."""
    first = {str(number): 0.5 for number in range(40)}
    other = {name: 0.4 if int(name) % 4 == 0 else 0.6 for name in first}
    return paired(clustered(result("one", first), clusters), clustered(result("two", other, lr=2), clusters))


def test_images_of_one_cluster_count_as_one() -> None:
    found = ups_and_downs([number // 4 for number in range(40)])
    assert (found.independent, found.outcome) == (10, "too few images to tell")
    assert ups_and_downs([*range(40)]).outcome == "better"


def test_clusters_of_images_that_go_together_have_a_wider_interval() -> None:
    # Images 0, 4, 8, ... lose: in pairs of two that lose, or of two that gain, half as many are independent.
    together = sorted(range(40), key=lambda number: number % 4)
    pairs = [together.index(number) // 2 for number in range(40)]
    independent, paired = ups_and_downs([*range(40)]), ups_and_downs(pairs)
    assert paired.gain.value == independent.gain.value
    widths = [one.gain.high - one.gain.low for one in (independent, paired)]
    assert widths[1] / widths[0] == pytest.approx(2**0.5, rel=0.1)


def test_a_table_that_knows_no_clusters_takes_those_of_the_other() -> None:
    names = dict.fromkeys("abcd", 0.5)
    one, two = result("one", names), clustered(result("two", names), [7, 7, 9, 9])
    assert paired(one, two).independent == paired(two, one).independent == 2


def test_images_that_are_all_of_one_cluster_can_not_be_compared() -> None:
    one = clustered(result("one", {"a": 0.1, "b": 0.2}), [3, 3])
    with pytest.raises(ValueError, match="2 of 2 and 2 are the same, with the same ground truth, all of one cluster"):
        paired(one, one)


def with_digests(name: str, digests: list[str]) -> Result:
    table = images(dict.fromkeys("abc", 0.5)).assign(digest=digests)
    return Result(name, {}, {}, table)


@pytest.mark.parametrize(
    ("first", "other", "kept"),
    [
        (["1", "2", "3"], ["1", "2", "4"], "ab"),  # c has other pixels
        (["1", "2", "3"], ["", "", ""], "abc"),  # an older table
        (["1", "2", "3"], ["1", "2", "3"], "abc"),
    ],
)
def test_an_image_with_another_file_is_left_out_where_both_files_are_known(
    first: list[str], other: list[str], kept: str
) -> None:
    found = paired(with_digests("one", first), with_digests("two", other))
    assert "".join(found.images["image"]) == kept
    assert found.left_out == 3 - len(kept)


def test_a_repeat_with_other_files_is_not_paired_past_an_older_one() -> None:
    older, one, two = (
        with_digests(name, list(known)) for name, known in (("x", ["", "", ""]), ("y", "123"), ("z", "124"))
    )
    assert [*paired_difference(Group((older, one)), Group((two,))).images["image"]] == ["a", "b"]


def flat(*means: float, count: int = 20) -> Array:
    """IoUs of repeats that are the same on all images."""
    return np.tile(means, (count, 1))


def test_the_variances_of_both_groups_seeds_are_added() -> None:
    # 0.4 and 0.6, as 0.7 and 0.9, have the variance 0.02, their means 0.01; with 1 degree each the sum has 2, and
    # Student's t at 0.95 is 2.9200.
    found = paired_t_interval(flat(0.4, 0.6), flat(0.7, 0.9), np.arange(20))
    half = 2.9200 * 0.02**0.5
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=1e-4)


@pytest.mark.parametrize(("one", "two"), [((0.4,), (0.7, 0.9)), ((0.3, 0.5), (0.8,))])
def test_the_seed_variance_of_one_group_is_used_for_both(one: tuple[float, ...], two: tuple[float, ...]) -> None:
    # The variance 0.02 counts 1 / 2 and 1 / 1 times, with 1 degree, of which Student's t at 0.95 is 6.3138.
    found = paired_t_interval(flat(*one), flat(*two), np.arange(20))
    half = 6.3138 * 0.03**0.5
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.4 - half, 0.4 + half), abs=1e-4)


def test_images_and_seeds_have_satterthwaites_degrees_of_freedom() -> None:
    # Of 4 images that gain 0.3 -+ sqrt(0.03) the variance is 0.04, and of their mean 0.01 with 3 degrees; the seeds
    # add 0.01 twice, with 1 degree: 0.03^2 / (0.01^2 / 3 + 0.01^2 + 0.01^2) = 27 / 7 degrees.
    gains = 0.03**0.5 * np.array([[1], [-1], [1], [-1]])
    found = paired_t_interval(flat(0.4, 0.6, count=4), flat(0.7, 0.9, count=4) + gains, np.arange(4))
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.95, 27 / 7) * 0.03**0.5)


def test_without_repeats_the_interval_is_students_over_clusters() -> None:
    one, two = np.zeros((4, 1)), np.array([[0.0], [0.2], [0.4], [0.6]])
    # The deviation is sqrt(0.2 / 3), and Student's t for 3 degrees 2.35336. Two clusters lie 0.4 below and above in
    # sum: sqrt(2 / 1 * (0.16 + 0.16)) / 4 = 0.2, and for 1 degree it is 6.31375.
    separate, both = paired_t_interval(one, two, np.arange(4)), paired_t_interval(one, two, np.array([5, 5, 8, 8]))
    assert separate.high - 0.3 == pytest.approx(2.35336 * (0.2 / 3) ** 0.5 / 2, abs=1e-5)
    assert both.high - 0.3 == pytest.approx(6.31375 * 0.2, abs=1e-5)


@pytest.mark.parametrize(("first", "other"), [(2, 2), (3, 3), (1, 3)])
def test_other_seeds_of_one_training_are_seldom_called_better_or_worse(first: int, other: int) -> None:
    rng, count, draws = np.random.default_rng(0), 200, 400
    called = np.zeros(2)
    for _ in range(draws):
        one, two = (rng.normal(0.5, 0.006, (1, seeds)) + rng.normal(0, 0.1, (count, seeds)) for seeds in (first, other))
        mean_one, mean_two = (ious.mean(axis=1, keepdims=True) for ious in (one, two))
        found = paired_t_interval(one, two, np.arange(count)), paired_t_interval(mean_one, mean_two, np.arange(count))
        called += [outcome(gain) != "no clear difference" for gain in found]
    assert called[0] <= 0.1 * draws
    assert called[1] > 0.15 * draws  # with the interval over images only


def test_three_seeds_of_each_find_what_is_better() -> None:
    rng = np.random.default_rng(0)
    one, two = (rng.normal(mean, 0.006, (1, 3)) + rng.normal(0, 0.1, (200, 3)) for mean in (0.5, 0.55))
    assert outcome(paired_t_interval(one, two, np.arange(200))) == "better"


def test_groups_with_repeats_are_compared_over_images_and_seeds() -> None:
    names = [str(number) for number in range(20)]
    some = [result(str(seed), dict.fromkeys(names, iou), seed=seed) for seed, iou in enumerate((0.4, 0.6))]
    rival = [result(str(seed), dict.fromkeys(names, iou), seed=seed) for seed, iou in enumerate((0.7, 0.9))]
    assert paired_difference(Group(tuple(some)), Group(tuple(rival))).outcome == "no clear difference"
    assert paired_difference(Group(tuple(some[:1])), Group(tuple(rival[:1]))).outcome == "better"


def test_gains_that_cancel_are_no_clear_difference() -> None:
    first = {str(number): 0.5 for number in range(40)}
    other = {name: 0.5 + (0.2 if int(name) % 2 else -0.2) for name in first}
    assert paired(result("one", first), result("two", other)).outcome == "no clear difference"


def test_images_of_only_one_test_split_are_left_out_and_counted() -> None:
    found = paired(result("one", {"a": 0.1, "b": 0.2, "c": 0.3}), result("two", {"b": 0.3, "c": 0.4, "d": 0, "e": 0}))
    assert (len(found.images), found.left_out) == (2, 3)
    assert found.gain.value == pytest.approx(0.1)


def test_images_that_not_all_repeats_have_alike_are_left_out_and_counted() -> None:
    moved = Result(
        "moved", {"train.seed": 1}, {}, pd.concat([images({"a": 0.5}, left_px=3), images({"b": 0.5, "c": 0.5})])
    )
    repeats = Group((Result("one", {}, {}, images({"a": 0.4, "b": 0.4, "c": 0.4, "d": 0.4})), moved))
    found = paired_difference(repeats, Group((result("other", {"a": 0.6, "b": 0.6, "c": 0.6, "d": 0.6}),)))
    assert list(found.images["image"]) == ["b", "c"]
    assert found.gain.value == pytest.approx(0.15)  # 0.6 over the mean of 0.4 and 0.5
    assert found.left_out == 2


def test_an_image_with_another_true_box_is_left_out_once() -> None:
    one, two = result("one", {"a": 0.1, "b": 0.2, "c": 0.3}), result("two", {"a": 0.2, "b": 0.3})
    moved = pd.concat([two.images, images({"c": 1.0}, left_px=5)])
    found = paired(one, Result("two", two.params, two.metrics, moved))
    assert ([*found.images["image"]], found.left_out) == (["a", "b"], 1)


def test_results_on_other_images_can_not_be_compared() -> None:
    with pytest.raises(ValueError, match="tested on different images: 0 of 2 and 2 are the same"):
        paired(result("one", {"a": 0.1, "b": 0.2}), result("two", {"c": 0.1, "d": 0.2}))


def test_a_result_without_predictions_is_named_with_what_to_do() -> None:
    missing = Result("two", {}, {}, missing="not in the cache; `dvc repro`")
    with pytest.raises(ValueError, match=r"^two: not in the cache; `dvc repro`$"):
        paired(result("one", {"a": 0.1, "b": 0.2}), missing)


def test_the_images_that_gained_and_lost_most_come_first_and_others_never() -> None:
    first = dict.fromkeys("abcde", 0.5)
    found = paired(result("one", first), result("two", {"a": 0.6, "b": 0.9, "c": 0.5, "d": 0.1, "e": 0.4}))
    assert [*found.extremes(1, count=5)["image"]] == ["b", "a"]
    assert [*found.extremes(-1, count=1)["image"]] == ["d"]


def test_params_that_differ_are_listed_for_each_group() -> None:
    groups = group_results([result("one"), result("two", seed=1), result("other", lr=0.2)])
    assert differing_params(groups) == {"train.lr": ["0.1", "0.2"], "train.seed": ["0, 1", "0"]}


def test_repeats_are_shown_with_mean_lowest_highest_and_count() -> None:
    some = [
        result(name, {"a": iou, "b": iou}, seed=seed)
        for seed, (name, iou) in enumerate([("x", 0.5), ("y", 0.6), ("z", 0.75)])
    ]
    one = section(compare([*some, result("w", {"a": 0.5, "b": 0.7}, lr=1)]), METRICS_TITLE)
    assert one.header == ("metric", "A, 3 seeds", "B")
    assert one.notes[-1] == "With several seeds: mean, lowest and highest value."
    assert one.rows[0] == ("Mean IoU", "0.617, 0.500 to 0.750", "0.600")


def test_an_interval_is_shown_where_it_is_known() -> None:
    metrics = {"gain_over_mean_box": 0.5, "gain_over_mean_box_low": 0.4, "gain_over_mean_box_high": 0.6}
    one = section(compare([Result("one", {}, metrics), Result("two", {"a": 1}, {})]), METRICS_TITLE)
    assert one.rows == [("Gain over the constant box", "+0.500 [+0.400, +0.600]", "")]


def test_a_metric_without_a_name_in_words_is_shown_by_its_own() -> None:
    one = section(compare([Result("one", {}, {"new": 0.25}), Result("two", {"a": 1}, {"new": 2.0})]), METRICS_TITLE)
    assert one.rows == [("new", "0.25", "2")]


def test_an_unknown_difference_leaves_the_tables_and_the_reason() -> None:
    comparison = compare([result("one", {"a": 0.1, "b": 0.2}), result("two", lr=0.2)])
    assert comparison.known_differences == {}
    one = section(comparison, "Against A")
    assert one.rows == [("B", "unknown", "", "", "")]
    assert one.notes[0].startswith("B can't be compared with A image by image: two: its predictions are unavailable")
    assert section(comparison, "Params").rows == [("train.lr", "0.1", "0.2")]


ONE_SEED = "not the variation between training seeds"


def against(*results: Result) -> str:
    return " ".join(section(compare(results), "Against").notes)


def test_that_the_interval_ignores_seeds_is_noted_for_single_seeds_only() -> None:
    one, two = {"a": 0.1, "b": 0.2}, {"a": 0.2, "b": 0.3}
    single = [result("x", one), result("y", two, lr=2)]
    assert "B and A have one seed each: the interval covers the choice of test images" in against(*single)
    assert ONE_SEED in against(*single)
    repeated = against(*single, result("z", two, lr=2, seed=1))
    assert ONE_SEED not in repeated
    assert "the interval covers images and seeds. If only one of both has several" in repeated


def test_fewer_than_three_seeds_of_each_are_noted_as_few() -> None:
    ious = {"a": 0.1, "b": 0.2}
    some = [result(f"{lr}{seed}", ious, seed=seed, lr=lr) for seed in range(3) for lr in (1, 2)]
    assert "fewer than 3 seeds of each" in against(*some[:5])
    assert "fewer than 3 seeds of each" not in against(*some)


def test_that_of_many_one_is_better_by_chance_is_noted_for_three_or_more() -> None:
    some = [result(str(lr), {"a": 0.1, "b": 0.2}, lr=lr) for lr in range(4)]
    assert "Of 3 that are no better than A, about 0.15 come out as better by chance." in against(*some)
    assert "by chance" not in against(*some[:3])


def test_too_few_images_are_noted() -> None:
    comparison = compare([result("x", {"a": 0.1, "b": 0.2}), result("y", {"a": 0.2, "b": 0.3}, lr=2)])
    one = section(comparison, "Against")
    assert one.rows[0][1] == "too few images to tell"
    assert "Fewer than 20 independent images are too few for a conclusion." in one.notes


def test_clusters_are_counted_with_the_images() -> None:
    found = ups_and_downs([number // 2 for number in range(40)])
    one = section(Comparison({"A": found.first, "B": found.other}, {"B": found}), "Against")
    assert one.rows[0][3] == "40 in 20 clusters"
    assert any("count as one" in note for note in one.notes)


def test_a_results_commit_is_shown_once() -> None:
    rows = section(compare([result("exp (ccccccc)"), result("other (run 123456)", lr=2)]), "Results").rows
    assert [row[1:3] for row in rows] == [("exp", "ccccccc"), ("other (run 123456)", "ccccccc")]


def test_only_slices_that_are_clearly_better_or_worse_are_listed() -> None:
    first = {f"{label}{number}": 0.5 for label in ("cat", "dog") for number in range(30)}
    other = {
        name: iou + (0.2 if name.startswith("cat") else 0.1 - 0.2 * (int(name[3:]) % 2)) for name, iou in first.items()
    }
    labels = [name[:3] for name in first]
    one, two = (result(str(lr), ious, lr=lr) for lr, ious in ((1, first), (2, other)))
    both = [
        Result(each.name, each.params, each.metrics, each.images.assign(label=labels))
        for each in (one, two)
        if each.images is not None
    ]
    listed = section(compare(both), "Slices")
    assert [row[1:3] for row in listed.rows if row[1].startswith("label")] == [("label: cat", "better")]
    assert listed.notes[0].startswith("Tested slices, of 20 independent images or more: B 5. The intervals")


def test_repeats_of_one_training_have_nothing_to_be_compared_with() -> None:
    comparison = compare([result("one", {"a": 0.1, "b": 0.2}), result("two", {"a": 0.1, "b": 0.2}, seed=1)])
    assert "There is nothing else to compare them with." in section(comparison, "Results").notes
    assert [one.title for one in sections(comparison)] == ["Results", METRICS_TITLE, "Params that differ"]


def test_more_groups_than_letters_are_refused() -> None:
    groups = [result(str(lr), lr=lr) for lr in range(27)]
    with pytest.raises(ValueError, match="expected 26 different results at most, got 27"):
        compare(groups)


@pytest.mark.parametrize("count", [2, 5])
def test_the_terminals_text_fits_its_width(count: int) -> None:
    some = {f"{'long' * 30}{number}.jpg": 0.25 for number in range(3)}
    results = [result("name " * 30, {name: iou + lr / 10 for name, iou in some.items()}, lr=lr) for lr in range(count)]
    text = terminal(compare(results))
    assert max(map(len, text.splitlines())) <= WIDTH
    assert all(f"  {letter} " in text or f"\n{letter} " in text for letter in "ABCDE"[:count])


def test_what_would_steer_a_terminal_is_escaped() -> None:
    text = terminal(compare([result("red\x1b[31m"), result("line\nbreak", lr=2)]))
    assert "\x1b" not in text
    assert "line\\nbreak" in text


def test_markdown_escapes_what_would_be_markup() -> None:
    assert escaped("a|b") == "a\\|b"
    assert escaped("<b> & *c* _d_ `e` [f]") == "&lt;b\\> &amp; \\*c\\* \\_d\\_ \\`e\\` \\[f\\]"
    assert escaped("one\ntwo") == "one\\\\ntwo"


def test_a_name_makes_no_cell_and_no_line_of_its_own_in_markdown() -> None:
    text = markdown(compare([result("x | y"), result("<img src=x>\n# z", lr=2)]))
    lines = [line for line in text.splitlines() if line.startswith(("| A ", "| B "))][:2]
    assert ["x \\| y" in line or "&lt;img" in line for line in lines] == [True, True]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {6}  # around five cells
    assert "<img" not in text


def test_the_same_comparison_has_the_same_text() -> None:
    some = [
        result("one", {str(n): n / 10 for n in range(10)}),
        result("two", {str(n): (n % 7) / 10 for n in range(10)}, lr=2),
    ]
    assert markdown(compare(some)) == markdown(compare(some))


def folded(name: str, ious: dict[str, float], *, lr: float = 0.1) -> Result:
    """Return a result of three pooled folds."""
    return replace(result(name, ious, lr=lr), folds=3)


ALL = {str(number): 0.5 + number / 100 for number in range(30)}


def test_pooled_folds_are_compared_on_all_their_images() -> None:
    better = folded("b", {name: iou + 0.1 for name, iou in ALL.items()}, lr=0.2)
    difference = paired(folded("a", ALL), better)
    assert (difference.outcome, len(difference.images), difference.left_out) == ("better", 30, 0)


@pytest.mark.parametrize("reverse", [False, True])
def test_pooled_folds_are_not_compared_with_a_test_split_that_has_some_of_their_images(reverse: bool) -> None:
    some = result("one split", dict([*ALL.items()][:25]), lr=0.2)
    pair = [folded("folds", ALL), some]
    with pytest.raises(
        ValueError, match="folds pools 3 folds and one split is of one test split: 5 images are in only"
    ):
        paired(*(pair[::-1] if reverse else pair))


def test_pooled_folds_are_compared_with_a_result_on_the_same_images() -> None:
    assert paired(folded("folds", ALL), result("one split", ALL, lr=0.2)).left_out == 0
