"""From a data set's files to the result: with images and without, and against an accepted version."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from localizer.dataset import Dataset, DatasetConfig, open_dataset
from localizer.datasets.prepare import read_tables
from localizer.findings import BadFileError
from localizer.tables import EDGES
from localizer.validation.validate import validate_dataset

CONFIG = "title: mine\nformat: csv\nannotations: boxes.csv\nimages: photos\n"
CONFIG += "columns: {image: image, box: [a, b, c, d], width: w, height: h}\nbox_units: unit\n"
ROWS = "image,a,b,c,d,w,h,note\na.png,0.1,0.25,0.6,0.5,100,80,x\nb.png,0.2,0.25,0.6,0.5,50,40,x\n"
SIZES = {"a.png": (200, 80), "b.png": (50, 40)}  # of a, the annotated width is wrong


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a data set of two images with a box each, in shares."""
    made = tmp_path / "data" / "mine"
    (made / "raw" / "photos").mkdir(parents=True)
    (made / "dataset.yaml").write_text(CONFIG)
    (made / "raw" / "boxes.csv").write_text(ROWS)
    for number, (name, size) in enumerate(SIZES.items()):
        Image.new("RGB", size, (200 * number, 0, 0)).save(made / "raw" / "photos" / name)
    return made


def without_images(folder: Path) -> Dataset:
    return replace(open_dataset(folder), images=None)


def test_a_data_sets_folder_is_opened(folder: Path) -> None:
    dataset = open_dataset(folder)
    assert (dataset.config.title, dataset.config_path) == ("mine", folder / "dataset.yaml")
    assert (dataset.annotations, dataset.images) == (folder / "raw" / "boxes.csv", folder / "raw" / "photos")


def test_a_folder_without_fetched_images_has_none(folder: Path) -> None:
    (folder / "raw" / "photos").rename(folder / "elsewhere")
    assert open_dataset(folder).images is None


def test_a_wrong_config_is_reported_with_its_path(folder: Path) -> None:
    (folder / "dataset.yaml").write_text(CONFIG + "labell: cat\n")
    with pytest.raises(ValueError, match=r"mine/dataset\.yaml\.labell: unknown key"):
        open_dataset(folder)


def test_edges_are_of_the_images_that_are_there(folder: Path) -> None:
    tables = read_tables(open_dataset(folder))
    assert tables.boxes[EDGES].to_numpy().tolist() == [[20, 20, 120, 40], [10, 10, 30, 20]]
    assert list(tables.images["exists"]) == [True, True]
    assert list(tables.columns.loc[tables.columns["used_as"] == "", "column"]) == ["note"]


def test_edges_are_of_the_annotated_size_where_images_are_not_there(folder: Path) -> None:
    tables = read_tables(without_images(folder))
    assert tables.boxes[EDGES].to_numpy().tolist() == [[10, 20, 60, 40], [10, 10, 30, 20]]
    assert list(tables.images["exists"]) == ["", ""]


def test_annotations_that_can_not_be_read_stop_it_before_any_image_is(folder: Path) -> None:
    (folder / "raw" / "boxes.csv").write_text("image,a\na.png,1\n")
    with pytest.raises(BadFileError) as error:
        read_tables(open_dataset(folder))
    assert {finding.rule for finding in error.value.findings} == {"column_missing"}


def rules(folder: Path, dataset: Dataset) -> dict[str, str]:
    result, _ = validate_dataset(dataset, image_size=64)
    return {finding.rule: finding.severity for finding in result.findings}


def test_images_that_are_there_are_checked(folder: Path) -> None:
    assert rules(folder, open_dataset(folder)) == {"size_disagrees": "critical", "column_unknown": "warning"}


def test_missing_images_are_reported_as_not_checked(folder: Path) -> None:
    assert rules(folder, without_images(folder)) == {"images_not_checked": "warning", "column_unknown": "warning"}


def test_colliding_names_are_reported_without_images_too(folder: Path) -> None:
    boxes = folder / "raw" / "boxes.csv"
    boxes.write_text(ROWS + "A.png,0.1,0.25,0.6,0.5,100,80,x\n")
    result, _ = validate_dataset(without_images(folder), image_size=64)
    found = [finding for finding in result.findings if finding.rule == "path_collision"]
    assert [(finding.file, finding.image) for finding in found] == [("A.png", "A.png"), ("a.png", "a.png")]


def test_nothing_is_compared_without_accepted_annotations(folder: Path) -> None:
    assert validate_dataset(open_dataset(folder), image_size=64)[1] is None


def accepted(folder: Path, text: str, **changed: object) -> Dataset:
    path = folder / "accepted.csv"
    path.write_text(text)
    dataset = open_dataset(folder)
    card = DatasetConfig.model_validate(dataset.config.model_dump() | changed)
    return Dataset(card, path, None)


def test_equal_annotations_have_not_drifted_though_the_accepted_ones_have_no_images(folder: Path) -> None:
    (folder / "raw" / "boxes.csv").write_text(ROWS.replace("100,80", "200,80"))
    result, drift = validate_dataset(open_dataset(folder), image_size=64, against=accepted(folder, ROWS))
    assert drift
    assert (len(drift.rows), drift.labels, drift.sizes) == (0, 0, 0)
    assert result.passed


def test_drift_beyond_the_limits_of_the_newer_config_fails(folder: Path) -> None:
    (folder / "raw" / "boxes.csv").write_text(ROWS.replace("100,80", "200,80"))
    more = ROWS + "c.png,0.1,0.25,0.6,0.5,100,80,x\n"
    result, drift = validate_dataset(open_dataset(folder), image_size=64, against=accepted(folder, more))
    assert drift
    assert drift.count("removed") == 1
    assert not result.passed
    assert [finding.file for finding in result.findings if finding.rule == "drift_removed"] == [
        f"{folder}/raw/boxes.csv"
    ]
    (folder / "dataset.yaml").write_text(CONFIG + "drift: {removed: 0.5, sizes: 0.5}\n")
    result, _ = validate_dataset(
        open_dataset(folder), image_size=64, against=accepted(folder, more, drift={"removed": 0})
    )
    assert result.passed


def test_accepted_yolo_files_are_of_the_images_that_are_here(tmp_path: Path) -> None:
    labels, images = tmp_path / "labels", tmp_path / "images"
    for made in (labels, images):
        made.mkdir()
    (labels / "classes.txt").write_text("cat\n")
    (labels / "a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    Image.new("RGB", (100, 80)).save(images / "a.png")
    card = DatasetConfig(title="mine", format="yolo", annotations="labels", images="images")
    result, drift = validate_dataset(Dataset(card, labels, images), image_size=64, against=Dataset(card, labels, None))
    assert drift
    assert drift.rows.empty
    assert result.passed
