"""The facts of images that nobody looked at."""

import pandas as pd
import pytest

from localizer.dataset import DatasetConfig
from localizer.datasets.prepare import annotated_metadata
from localizer.probing.metadata import ImageMetadata


def card(**changed: object) -> DatasetConfig:
    values = {"title": "mine", "format": "voc", "annotations": "boxes", "images": "images"}
    return DatasetConfig.model_validate(values | changed)


def annotations(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image", "width", "height"], dtype=str)


def test_there_is_a_row_an_image_with_the_columns_of_the_probe() -> None:
    facts = annotated_metadata(annotations(("b", "100", "80"), ("a", "50", "40"), ("b", "100", "80")), card())
    assert list(facts.columns) == list(ImageMetadata.__dataclass_fields__)
    assert list(facts["image"]) == ["b", "a"]
    assert list(facts.index) == [0, 1]


def test_sizes_are_as_annotated_first_and_all_else_is_empty() -> None:
    (facts,) = annotated_metadata(annotations(("a", "100", "80"), ("a", "50", "40")), card()).to_dict("records")
    known = {"image": "a", "path": "a", "annotated": True, "width": 100, "height": 80}
    assert facts == dict.fromkeys(facts, "") | known


@pytest.mark.parametrize("text", ["", "wide", "nan", "inf", "-5", "0", "640.7", "1e9"])
@pytest.mark.parametrize(("units", "unknown"), [("pixel", 0), ("unit", 1)])
def test_a_size_that_is_none_is_unknown_but_a_unit_square_for_shares(text: str, units: str, unknown: int) -> None:
    shares = card(format="yolo") if units == "unit" else card()
    facts = annotated_metadata(annotations(("a", text, "80")), shares)
    assert facts[["width", "height"]].to_numpy().tolist() == [[unknown, unknown]]


def test_the_size_is_that_of_the_first_row_that_tells_one() -> None:
    facts = annotated_metadata(annotations(("a", "", ""), ("a", "640.7", "480"), ("a", "50", "40")), card())
    assert facts[["width", "height"]].to_numpy().tolist() == [[50, 40]]
