"""The metadata of images without their files."""

import pandas as pd
import pytest

from localizer.dataset import DatasetConfig
from localizer.datasets.prepare import annotated_metadata
from localizer.probing.metadata import ImageMetadata


def config(**changed: object) -> DatasetConfig:
    values = {"title": "mine", "format": "voc", "annotations": "boxes", "images": "images"}
    return DatasetConfig.model_validate(values | changed)


def annotations(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image", "width", "height"], dtype=str)


def test_there_is_one_row_per_image_with_the_columns_of_the_probe() -> None:
    metadata = annotated_metadata(annotations(("b", "100", "80"), ("a", "50", "40"), ("b", "100", "80")), config())
    assert list(metadata.columns) == list(ImageMetadata.__dataclass_fields__)
    assert list(metadata["image"]) == ["b", "a"]
    assert list(metadata.index) == [0, 1]


def test_sizes_are_as_annotated_first_and_all_else_is_empty() -> None:
    (metadata,) = annotated_metadata(annotations(("a", "100", "80"), ("a", "50", "40")), config()).to_dict("records")
    known = {"image": "a", "path": "a", "annotated": True, "width": 100, "height": 80}
    assert metadata == dict.fromkeys(metadata, "") | known


@pytest.mark.parametrize("text", ["", "wide", "nan", "inf", "-5", "0", "640.7", "1e9"])
@pytest.mark.parametrize(("units", "unknown"), [("pixel", 0), ("unit", 1)])
def test_an_invalid_size_is_unknown_but_a_unit_square_for_boxes_in_0_to_1(text: str, units: str, unknown: int) -> None:
    shares = config(format="yolo") if units == "unit" else config()
    metadata = annotated_metadata(annotations(("a", text, "80")), shares)
    assert metadata[["width", "height"]].to_numpy().tolist() == [[unknown, unknown]]


def test_the_size_is_that_of_the_first_row_with_a_valid_one() -> None:
    metadata = annotated_metadata(annotations(("a", "", ""), ("a", "640.7", "480"), ("a", "50", "40")), config())
    assert metadata[["width", "height"]].to_numpy().tolist() == [[50, 40]]
