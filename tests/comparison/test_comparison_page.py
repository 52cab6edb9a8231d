"""The page of a comparison: self-contained, reproducible, and with the images that changed most."""

import base64
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from test_groups import images, result

from localizer.comparison.differences import Comparison, compare
from localizer.comparison.groups import Result
from localizer.comparison.page import page, shown_images

FIRST, OTHER = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.5}, {"a": 0.9, "b": 0.2, "c": 0.5, "d": 0.6}


def with_boxes(name: str, ious: dict[str, float], box_px: list[float], *, lr: float) -> Result:
    """A result that predicts one box on all images."""
    boxes_px = dict(zip(["pred_xmin_px", "pred_ymin_px", "pred_xmax_px", "pred_ymax_px"], box_px, strict=True))
    return Result(name, {"train.lr": lr}, {"mean_iou": 0.5}, images(ious).assign(**boxes_px), "c" * 40)


@pytest.fixture
def two() -> Comparison:
    one = with_boxes("one", FIRST, [60, 20, 80, 40], lr=1)
    return compare([one, with_boxes("two <b>&</b>", OTHER, [20, 60, 40, 80], lr=2)])


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """White images of 100 by 100 pixels."""
    found = {name: tmp_path / f"{name}.png" for name in FIRST}
    for path in found.values():
        Image.new("RGB", (100, 100), "white").save(path)
    return found


def test_the_page_is_self_contained(two: Comparison, paths: dict[str, Path]) -> None:
    text = page(two, paths)
    assert {address[:5] for address in re.findall(r'(?:src|href)="([^"]*)"', text) if address[0] != "#"} == {"data:"}
    assert not re.search(r"<script|<link|@import|url\(\s*['\"]?http", text)


def test_the_page_is_the_same_each_time(two: Comparison, paths: dict[str, Path]) -> None:
    assert page(two, paths).encode() == page(two, paths).encode()


def test_names_are_escaped(two: Comparison) -> None:
    text = page(two, {})
    assert "<b>&</b>" not in text
    assert "two &lt;b&gt;&amp;&lt;/b&gt;" in text


def numbered(name: str, iou: float, numbers: range, *, lr: float = 1, seed: int = 0) -> Result:
    return result(name, {str(number): iou for number in numbers}, lr=lr, seed=seed)


def test_the_outcome_comes_before_the_tables_with_its_number_of_images() -> None:
    text = page(compare([numbered("one", 0.25, range(25)), numbered("two", 0.5, range(20), lr=2)]), {})
    words = " ".join(text.split())
    assert (
        "<b>B is better</b> than A: its mean IoU is 0.250 higher on 20 images that both were tested on; 5 others"
        in words
    )
    assert text.index("B is better") < text.index("<h2>Results</h2>")
    assert "Most images are left out" not in text


def test_an_outcome_on_less_than_half_of_the_images_is_a_warning() -> None:
    text = page(compare([numbered("one", 0.25, range(41)), numbered("two", 0.5, range(20), lr=2)]), {})
    assert "<b>Most images are left out</b>: 21 are in only one test split" in text


def test_too_few_images_are_the_outcome() -> None:
    text = page(compare([numbered("one", 0.25, range(19)), numbered("two", 0.5, range(19), lr=2)]), {})
    assert "<b>Too few images to tell</b> B from A: mean IoU +0.250" in text


def test_an_outcome_of_single_seeds_is_followed_by_its_limitation() -> None:
    one, two = numbered("one", 0.25, range(20)), numbered("two", 0.5, range(20), lr=2)
    single, repeated = (
        page(compare(some), {}) for some in ([one, two], [one, two, numbered("b", 0.6, range(20), seed=1)])
    )
    caveat = '<p class="note">B and A have one seed each: the interval covers the choice of test images'
    assert single.index(caveat) < single.index("<h2>Results</h2>")
    assert "have one seed each" not in repeated
    assert "90% interval over images and seeds" in repeated
    assert "over images and seeds" not in single


def test_the_images_shown_are_those_that_gained_and_lost(two: Comparison, paths: dict[str, Path]) -> None:
    assert re.findall(r'<img src="data:image/jpeg;base64,[^"]+"[^>]*\nalt="(\w+) with', page(two, paths)) == [
        "a",
        "d",
        "b",
    ]
    assert sorted(shown_images(two)["image"]) == ["a", "b", "d"]


def test_an_image_has_the_true_box_and_both_predicted_boxes(two: Comparison, paths: dict[str, Path]) -> None:
    found = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', page(two, paths))
    picture = Image.open(BytesIO(base64.b64decode(found[0])))
    assert picture.size == (220, 220)  # 2.2 times the image, where the boxes' left edges lie at 0, 60 and 20 pixels
    edges: dict[str, Any] = {
        name: picture.getpixel(place) for name, place in {"true": (1, 10), "one": (133, 66), "two": (45, 154)}.items()
    }
    expected = {"true": (0, 166, 81), "one": (42, 133, 208), "two": (230, 0, 126)}
    far = {name: max(abs(a - b) for a, b in zip(edges[name], expected[name], strict=True)) for name in expected}
    assert max(far.values()) < 60, far  # JPEG blurs a line's color a little


def test_a_page_without_images_has_the_reason(two: Comparison) -> None:
    assert "No images: the working directory doesn't have them" in page(two, {})


def test_a_page_without_a_difference_has_the_reason() -> None:
    text = page(compare([result("one", {"a": 0.1, "b": 0.2}), result("two", lr=2)]), {})
    assert "Not compared" in text
    assert "two: its predictions are unavailable" in text
    assert "<svg" not in text


def test_a_page_of_repeats_only_has_nothing_to_compare() -> None:
    text = page(compare([result("one", {"a": 0.1, "b": 0.2}), result("two", {"a": 0.1, "b": 0.2}, seed=1)]), {})
    assert "All results are repeats of one training" in text


def test_of_no_difference_no_image_is_shown() -> None:
    assert isinstance(shown_images(compare([result("one"), result("two", lr=2)])), pd.DataFrame)
    assert shown_images(compare([result("one"), result("two", lr=2)])).empty
