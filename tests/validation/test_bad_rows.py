"""Rows with bad values: one CSV with a fault a line, checked once; and files whose rows are wrong together."""

from collections.abc import Iterable
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import pytest
from bad_inputs import BOX, HEADER, Outcome, add_pictures, key, run, table, validate, validate_text

DECIMAL = "a plain decimal number such as 12 or 12.5"
NUMBER_FIX = "write it with the digits 0 to 9 and a decimal point"
XYWH_FIX = "are the columns xywh? pass --box-format xywh"
WHOLE_FIX = "correct the box; or are the boxes in another format? pass --box-format"
SIDES = "sides of 1.56% of the image's or more: 1 pixel when resized to 64"
LABEL = "a label that no spreadsheet evaluates as a formula"


class Fault(NamedTuple):
    """A row behind its image's name, in which one thing is wrong, and what the finding says."""

    name: str
    row: str
    column: str
    rule: str
    got: str
    expected: str
    fix: str


def not_a_number(name: str, text: str) -> Fault:
    row = f'cat,10,10,"{text}",50,100,80'
    return Fault(name, row, "xmax", "value_not_a_number", repr(text), DECIMAL, NUMBER_FIX)


def formula(label: str) -> Fault:
    name = f"label that begins with {label[0]!r}"
    return Fault(
        name, f'"{label}",10,10,60,50,100,80', "class", "label_formula", repr(label), LABEL, "rename the label"
    )


FAULTS = [
    Fault("no value", "cat,10,10,,50,100,80", "xmax", "value_missing", "nothing", "a number", "fill in the value"),
    Fault("no label", ",10,10,60,50,100,80", "class", "label_missing", "nothing", "a label", "fill in the label"),
    not_a_number("nan", "nan"),
    not_a_number("inf", "inf"),
    not_a_number("minus inf", "-inf"),
    not_a_number("1e400", "1e400"),
    not_a_number("10^23", "1" + "0" * 23),
    not_a_number("comma for the point", "1,5"),
    not_a_number("underscore", "1_000"),
    not_a_number("hexadecimal", "0x10"),
    not_a_number("full-width digits", "\uff11\uff12"),
    not_a_number("Arabic digits", "\u0661\u0662"),
    not_a_number("True", "True"),
    not_a_number("space before", " 12"),
    Fault(
        "1e23", "cat,10,10,1e23,50,100,80",
        "xmax", "outside_image", "the right edge at 1e+23 px", "at most 100, the image's width", WHOLE_FIX,
    ),
    Fault("xmax below xmin", "cat,10,10,5,50,100,80", "xmax", "corner_order", "xmax 5", "more than xmin 10", XYWH_FIX),
    Fault("ymax below ymin", "cat,10,10,60,5,100,80", "ymax", "corner_order", "ymax 5", "more than ymin 10", XYWH_FIX),
    Fault("no width", "cat,10,10,10,50,100,80", "xmax", "corner_order", "xmax 10", "more than xmin 10", XYWH_FIX),
    Fault("no height", "cat,10,10,60,10,100,80", "ymax", "corner_order", "ymax 10", "more than ymin 10", XYWH_FIX),
    Fault("negative xmin", "cat,-5,10,60,50,100,80", "xmin", "value_negative", "-5", "0 or more", "correct the box"),
    Fault("negative ymin", "cat,10,-.5,60,50,100,80", "ymin", "value_negative", "-.5", "0 or more", "correct the box"),
    Fault(
        "beyond the right edge", "cat,10,10,100.5,50,100,80",
        "xmax", "outside_image", "the right edge at 100.5 px", "at most 100, the image's width", WHOLE_FIX,
    ),
    Fault(
        "beyond the bottom edge", "cat,10,10,60,81,100,80",
        "ymax", "outside_image", "the bottom edge at 81 px", "at most 80, the image's height", WHOLE_FIX,
    ),
    Fault(
        "under 1 px after resizing", "cat,10,10,11.5,50,100,80",  # 1.5 of 100 px become 0.96 of 64
        "", "small_box", "a side of 1.50%", SIDES, "larger images",
    ),
    formula("=1+1"),
    formula("+cat"),
    formula("-cat"),
    formula("@cat"),
    formula("\tcat"),
    Fault(
        "width that disagrees with the pixels", "cat,10,10,60,50,90,80",
        "width", "size_disagrees", "90", "100, the width of the image as displayed", "is the box of this image?",
    ),
    Fault(
        "height that disagrees with the pixels", "cat,10,10,60,50,100,79",
        "height", "size_disagrees", "79", "80, the height of the image as displayed", "is the box of this image?",
    ),
    Fault("width that is no number", "cat,10,10,60,50,x,80", "width", "value_not_a_number", "'x'", DECIMAL, NUMBER_FIX),
]  # fmt: skip
SWAPPED = len(FAULTS) + 2  # the line of a row with two findings
SOUND = (SWAPPED + 1, SWAPPED + 2, SWAPPED + 3)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    names = [f"{number}.png" for number in range(len(FAULTS) + 1)]
    rows = [f"{name},{fault.row}" for name, fault in zip(names, FAULTS, strict=False)]
    rows += [f"{names[-1]},{BOX},80,100", f"NA,{BOX},100,80", f"007,{BOX},100,80", f"null,{BOX},100,80"]
    with chdir(tmp_path_factory.mktemp("rows")):
        add_pictures(*names, "NA", "007", "null")
        return validate_text(table(rows, header=f"{HEADER},width,height"))


def test_faults_of_rows_fail_the_command(outcome: Outcome) -> None:
    assert outcome.status == 1


@pytest.mark.parametrize(("position", "fault"), list(enumerate(FAULTS)), ids=[fault.name for fault in FAULTS])
def test_a_bad_value_is_reported_with_its_line_and_column(outcome: Outcome, position: int, fault: Fault) -> None:
    (finding,) = outcome.at(position + 2)
    assert key(finding) == ("boxes.csv", position + 2, fault.column, fault.rule, "critical")
    assert finding.got == fault.got
    assert finding.expected == fault.expected
    assert fault.fix in finding.fix


def test_width_and_height_that_are_swapped_are_reported_as_such(outcome: Outcome) -> None:
    findings = outcome.at(SWAPPED)
    assert {key(finding) for finding in findings} == {
        ("boxes.csv", SWAPPED, side, "size_disagrees", "critical") for side in ("width", "height")
    }
    assert {finding.fix for finding in findings} == {"swap width and height; are the box's values swapped, too?"}


@pytest.mark.parametrize(("line", "name"), [*zip(SOUND, ("NA", "007", "null"), strict=True)])
def test_a_name_that_looks_like_no_text_is_kept_as_text(outcome: Outcome, line: int, name: str) -> None:
    assert outcome.at(line) == []
    assert outcome.about(f"images/{name}") == []


@pytest.mark.parametrize("size", ["0,0", "0,80", "0.0,0"])
def test_an_annotated_size_of_0_is_unknown_and_not_compared(size: str) -> None:
    add_pictures("0.png")
    outcome = validate_text(table([f"0.png,{BOX},{size}"], header=f"{HEADER},width,height"))
    assert (outcome.status, outcome.findings) == (0, [])


def test_a_bad_value_is_a_block_on_the_terminal() -> None:
    add_pictures("0.png", "1.png")
    Path("boxes.csv").write_text(table([f"0.png,{BOX}", "1.png,cat,10,10,nan,50"]))
    assert run("--images", "images").out.splitlines()[2:5] == [
        "critical: value_not_a_number, 1 finding: expected a plain decimal number such as 12 or 12.5",
        "  boxes.csv:3:xmax: got 'nan'",
        "  fix: write it with the digits 0 to 9 and a decimal point",
    ]


def test_a_label_can_not_break_the_line_on_the_terminal() -> None:
    add_pictures("0.png", "1.png")
    Path("boxes.csv").write_text(table([f"0.png,{BOX}", '1.png,"@a\n\x1b[2J",10,10,60,50']))
    lines = run("--images", "images").out.splitlines()
    assert lines[0].startswith("boxes.csv: failed: ")
    assert lines[3] == r"  boxes.csv:3:class: got '@a\n\x1b[2J'"


def test_nothing_is_written_next_to_a_file_with_bad_rows() -> None:
    add_pictures("0.png")
    content = table(["0.png,cat,10,10,nan,50"]).encode()
    before = Path("images/0.png").read_bytes()
    assert validate_text(content).status == 1
    assert Path("boxes.csv").read_bytes() == content
    assert Path("images/0.png").read_bytes() == before
    assert sorted(path.as_posix() for path in Path().rglob("*")) == ["boxes.csv", "images", "images/0.png"]


def test_a_file_of_shares_where_pixels_were_expected_is_reported_with_the_fix() -> None:
    outcome = validate_all(["cat,.1,.1,.5,.5", "cat,.2,.2,.7,1", "cat,.2,.2,.7,.9"], "--box-units", "pixel")
    assert outcome.status == 1
    (finding,) = outcome.of("unit_coordinates")
    assert key(finding) == ("boxes.csv", None, "", "unit_coordinates", "critical")
    assert finding.got == "no value above 1 in most boxes"
    assert finding.expected == "pixels"
    assert finding.fix.startswith("are the boxes fractions of the image? pass --box-units unit")
    assert validate("--box-units", "unit").status == 0


def test_a_file_of_pixels_where_shares_were_expected_is_reported_with_the_fix() -> None:
    outcome = validate_all([BOX, "cat,20,20,70,60", "cat,5,5,30,30"], "--box-units", "unit")
    assert outcome.status == 1
    (finding,) = outcome.of("pixel_coordinates")
    assert finding.got == "3 of 3 boxes with a value above 1"
    assert finding.fix.startswith("are the boxes in pixels? pass --box-units pixel")


def test_corners_that_read_as_xywh_are_reported_with_the_evidence_and_the_fix() -> None:
    outcome = validate_all(["cat,60,50,30,25", *(f"cat,{left},10,60,50" for left in range(5, 13))])
    assert outcome.status == 1  # of the one box without an area
    (finding,) = outcome.of("read_as_xywh")
    assert key(finding) == ("boxes.csv", None, "", "read_as_xywh", "warning")
    assert finding.got == "1 of 9 boxes wrong; as xywh, 1 of these would fit, and 9 of all"
    assert finding.fix.startswith("are the columns xywh (x, y, width, height)? pass --box-format xywh")
    assert validate("--box-format", "xywh").status == 0


def test_height_and_width_that_are_swapped_are_reported_with_the_evidence_and_the_fix() -> None:
    rows = ["cat,5,5,20,90", *(f"cat,{left},5,70,20" for left in range(3, 8))]
    outcome = validate_all(rows, header="filename,class,x,y,w,h")
    assert outcome.status == 1  # of the one box that is higher than its image
    (finding,) = outcome.of("read_as_xyhw")
    assert key(finding) == ("boxes.csv", None, "", "read_as_xyhw", "warning")
    assert finding.got == "1 of 6 boxes wrong; as xyhw, 1 of these would fit, and 6 of all"
    assert finding.fix.startswith("are the columns xyhw (x, y, height, width)? pass --box-format xyhw")


def test_most_boxes_wrong_that_would_fit_as_xywh_are_critical_for_the_file() -> None:
    outcome = validate_all(["cat,60,50,30,25", "cat,60,40,20,30", BOX])
    (finding,) = outcome.of("read_as_xywh")
    assert finding.severity == "critical"
    assert finding.got == "2 of 3 boxes wrong; as xywh, 2 of these would fit, and 3 of all"


def test_a_row_with_another_label_than_the_task_s_is_a_warning() -> None:
    outcome = validate_all([BOX, "dog,10,10,60,abc"], "--label", "cat")
    assert outcome.status == 0
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", 3, "ymax", "value_not_a_number", "warning")


def test_a_label_that_no_row_has_is_refused_with_those_that_are_there() -> None:
    outcome = validate_all([BOX, "dog,10,10,60,50"], "--label", "bird")
    assert outcome.status == 1
    (finding,) = outcome.of("no_rows")
    assert finding.got == "only cat, dog"


@pytest.mark.parametrize(
    ("rows", "bad", "status"), [(200, 2, 0), (199, 2, 1), (9, 1, 0)], ids=["1% of 200", "over 1% of 199", "one of 9"]
)
def test_bad_rows_are_set_aside_up_to_one_in_a_hundred_and_always_one(rows: int, bad: int, status: int) -> None:
    boxes = ["cat,10,10,nan,50"] * bad + [BOX] * (rows - bad)
    text = table(f"{number}.png,{box}" for number, box in enumerate(boxes))
    Path("boxes.csv").write_text(text)
    outcome = run("--json", "--on-bad-row", "quarantine")  # the images are not needed to count rows
    assert outcome.status == status
    assert [key(finding) for finding in outcome.at(2)] == [("boxes.csv", 2, "xmax", "value_not_a_number", "critical")]
    tally = [finding.got for finding in outcome.of("too_many_bad_rows")]
    assert tally == ([] if status == 0 else ["2 of 199"])


def test_a_box_that_sticks_out_by_no_more_than_allowed_is_clipped_with_a_warning() -> None:
    outcome = validate_all([BOX, "cat,10,10,101,50", "cat,-1,10,60,50"], "--clip-px", "1")
    assert outcome.status == 0
    assert [key(finding) for finding in outcome.findings] == [
        ("boxes.csv", line, "", "clipped", "warning") for line in (3, 4)
    ]
    assert {finding.got for finding in outcome.findings} == {"a box that protrudes by 1 px"}


def test_a_box_that_sticks_out_by_more_than_allowed_is_not_clipped() -> None:
    outcome = validate_all([BOX, "cat,10,10,102,50", "cat,-2,10,60,50"], "--clip-px", "1")
    assert outcome.status == 1
    assert [key(finding) for finding in outcome.findings] == [
        ("boxes.csv", 3, "xmax", "outside_image", "critical"),
        ("boxes.csv", 4, "xmin", "outside_image", "critical"),
    ]


def validate_all(rows: Iterable[str], *options: str, header: str = HEADER) -> Outcome:
    """Return what the command says of rows, each in an image of its own."""
    named = {f"{number}.png": row for number, row in enumerate(rows)}
    add_pictures(*named)
    return validate_text(table((f"{name},{row}" for name, row in named.items()), header=header), *options)
