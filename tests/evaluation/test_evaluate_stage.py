"""Inputs that the stage evaluate refuses: a model or tables that don't belong together."""

import pytest

from localizer.calibration import Calibration
from localizer.evaluation.inputs import check_split, read_findings, read_split
from localizer.files import file_sha256, replace_text
from localizer.model.localizer import Architecture
from localizer.model.saving import ModelCard
from stages.evaluate import SPLIT, VALIDATION, WEIGHTS

HEADER = "image,path,sha256,label,file,line,cluster,split,width,height,xmin_px,ymin_px,xmax_px,ymax_px"
SPLIT_OF_IMAGES = ("train", "validation", "calibration", "calibration", "test", "test")


def write_split(*splits: str, names: str = "abcdefgh") -> None:
    """Write a table of images in these splits; the calibration images belong together."""
    rows = [
        f"{name}.png,{name}.png,{name},cat,boxes.csv,{line},{name if split != 'calibration' else 'video'},{split},"
        "100,50,0,0,50,50"
        for line, (name, split) in enumerate(zip(names, splits, strict=False), 2)
    ]
    replace_text(SPLIT, "\n".join([HEADER, *rows, ""]))


def card(split_sha256: str) -> ModelCard:
    return ModelCard(Architecture(18), 32, "cat", 1, 0.5, {}, Calibration(0, None, None), "", split_sha256=split_sha256)


def test_the_split_is_read_with_the_counts_of_its_parts_and_the_training_boxes() -> None:
    write_split(*SPLIT_OF_IMAGES)
    found = read_split(SPLIT)
    assert found.counts == {"train": 1, "validation": 1, "calibration": 2, "test": 2}
    assert found.train.tolist() == [[0, 0, 0.5, 1]]
    assert found.test["image"].tolist() == ["e.png", "f.png"]
    assert found.calibration_clusters == 1


@pytest.mark.parametrize(
    ("splits", "names", "problem"),
    [
        (("train", "tset"), "ab", r"b\.png is in none of the splits train, validation, calibration, test"),
        (("train", "test"), "aa", r"a\.png is listed twice"),
    ],
)
def test_an_image_in_two_splits_or_in_none_is_refused(splits: tuple[str, ...], names: str, problem: str) -> None:
    write_split(*splits, names=names)
    with pytest.raises(ValueError, match=rf"tables/split\.csv: {problem}; `dvc repro` rebuilds it"):
        read_split(SPLIT)


def test_a_model_that_was_fitted_to_another_split_is_refused() -> None:
    write_split(*SPLIT_OF_IMAGES)
    made = card(file_sha256(SPLIT))
    check_split(made, SPLIT, weights=WEIGHTS)
    write_split(*SPLIT_OF_IMAGES[::-1])
    with pytest.raises(
        ValueError, match=r"trained with another tables/split\.csv than the present one.* run `dvc repro`"
    ):
        check_split(made, SPLIT, weights=WEIGHTS)


def test_a_model_of_an_older_version_without_the_splits_digest_is_accepted() -> None:
    write_split(*SPLIT_OF_IMAGES)
    check_split(card(""), SPLIT, weights=WEIGHTS)


@pytest.mark.parametrize("text", ["[]", '{"images": "many"}', "{", '{"images": 1.5}'])
def test_counts_that_validate_did_not_write_are_refused_by_file(text: str) -> None:
    replace_text(VALIDATION, text)
    with pytest.raises(ValueError, match=r"reports/validate/metrics\.json: not validate's counts: .*`dvc repro`"):
        read_findings(VALIDATION)


def test_counts_are_read() -> None:
    replace_text(VALIDATION, '{"images": 5, "of a later version": 2}')
    assert read_findings(VALIDATION) == {"images": 5, "of a later version": 2}
