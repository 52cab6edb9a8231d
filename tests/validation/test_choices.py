"""What would stop the pipeline, which choices settle it, and what each keeps."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from bad_inputs import HEADER, add_pictures, table

from localizer.dataset import CsvColumns, Dataset, DatasetConfig
from localizer.validation.choices import Question, bad_rows, protruding_boxes, several_boxes
from localizer.validation.result import ValidationResult
from localizer.validation.validate import validate_dataset

_, *BOX_COLUMNS = HEADER.replace(",class", "").split(",")
COLUMNS = CsvColumns(image="filename", label="class", box=BOX_COLUMNS)


def config(**changed: object) -> DatasetConfig:
    values = {"title": "t", "format": "csv", "annotations": "boxes.csv", "images": "images", "columns": COLUMNS}
    return DatasetConfig.model_validate(values | changed)


def check(rows: Sequence[str], **changed: object) -> ValidationResult:
    """Return the result for these rows, with pictures of 100 x 80 for all that they name."""
    add_pictures(*dict.fromkeys(row.split(",")[0] for row in rows))
    Path("boxes.csv").write_text(table(rows), encoding="utf-8")
    return validate_dataset(Dataset(config(**changed), Path("boxes.csv"), Path("images")), image_size=64)[0]


def effects(question: Question | None) -> dict[str, str]:
    assert question is not None
    return {str(choice.values): choice.effect for choice in question.choices}


SOUND = [f"{number}.png,cat,10,10,60,50" for number in range(30)]
SEVERAL = [*SOUND, "0.png,dog,1,1,20,20", "1.png,cat,1,1,20,20", "1.png,cat,5,5,40,40"]  # 2 of 30 images


@pytest.mark.parametrize("ask", [protruding_boxes, several_boxes, bad_rows])
def test_a_sound_set_leaves_no_question(ask: object) -> None:
    assert callable(ask)
    assert ask(check(SOUND), config()) is None


def test_of_images_with_several_boxes_the_largest_keeps_all_and_drop_the_others() -> None:
    question = several_boxes(check(SEVERAL), config())
    assert effects(question) == {
        "{'multiple': 'largest'}": "keeps all 30",
        "{'multiple': 'drop'}": "keeps 28",
        # cat has one box in 29 images, three in 1.png; dog has one in 0.png.
        "{'label': 'cat'}": "keeps 29 with one, and finds several in 1",
        "{'label': 'dog'}": "keeps 1 with one",
    }
    assert question is not None
    assert question.problem == "2 of 30 images have several boxes"
    assert question.recommended == question.choices[0]


def test_the_effects_are_what_the_choices_do() -> None:
    for choice, images in (({"multiple": "largest"}, 30), ({"multiple": "drop"}, 28)):
        result = check(SEVERAL, **choice)
        assert (result.passed, len(result.clean)) == (True, images)


def test_a_choice_that_was_made_is_no_question() -> None:
    assert several_boxes(check(SEVERAL, multiple="drop"), config(multiple="drop")) is None


def test_boxes_that_protrude_by_a_rounding_are_clipped_by_the_next_whole_number_of_pixels() -> None:
    rows = [*SOUND, "30.png,cat,-0.4,10,60,50", "31.png,cat,10,10,101.3,50"]
    question = protruding_boxes(check(rows), config())
    assert question is not None
    assert question.problem == "2 boxes protruding from their image by 1.3 px or less"
    assert [choice.values for choice in question.choices] == [{"clip_px": 2}]
    assert check(rows, clip_px=2).passed


def test_boxes_far_outside_are_not_clipped() -> None:
    assert protruding_boxes(check([*SOUND, "30.png,cat,10,10,160,50"]), config()) is None


def test_a_bad_row_is_set_aside_with_what_remains() -> None:
    question = bad_rows(check([*SOUND, "30.png,cat,10,10,nan,50"]), config())
    assert effects(question) == {"{'on_bad_row': 'quarantine'}": "sets them aside, and keeps 30 of 31 images"}
    assert question is not None
    assert question.recommended is not None


def test_more_bad_rows_need_a_larger_fraction_and_are_recommended_up_to_a_twentieth() -> None:
    few, many = ([f"b{number}.png,cat,10,10,nan,50" for number in range(count)] for count in (2, 6))
    sound = [f"{number}.png,cat,10,10,60,50" for number in range(38)]
    (question,) = [bad_rows(check([*sound, *few]), config())]
    assert question is not None
    assert question.choices[0].values == {"on_bad_row": "quarantine", "max_bad_fraction": 0.05}  # 2 of 40
    assert question.recommended is not None
    question = bad_rows(check([*SOUND, *many]), config())
    assert question is not None
    assert question.choices[0].values["max_bad_fraction"] == 0.17  # 6 of 36
    assert question.recommended is None


def test_if_most_rows_are_bad_their_encoding_is_to_be_found_and_not_the_rows_set_aside() -> None:
    rows = ["a.png,cat,10,10,60,50", "b.png,cat,10,10,nan,50", "c.png,cat,10,10,nan,50"]
    assert bad_rows(check(rows), config()) is None
