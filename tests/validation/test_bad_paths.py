"""Paths that name no image, and images that are named twice: one CSV with a fault a line, and small ones."""

import os
import unicodedata
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from threading import Timer

import pytest
from bad_inputs import BOX, Outcome, add_pictures, boxes_in, key, run, strict, table, validate, validate_text

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))
NOT_PLAIN = "not a plain path relative to the images folder"
OUTSIDE = "outside the images folder"
NOT_REGULAR = "not a regular file"
# Line 2 of the CSV names a sound image; the next ones these, and this is what is wrong with them.
LIKE_0, LIKE_1 = (f"; there is '{name}', which has the same last part" for name in ("0.png", "sub/1.png"))
PATHS = {
    "../outside.png": OUTSIDE,
    "sub/../../outside.png": OUTSIDE,
    "/etc/hostname": NOT_PLAIN,
    "C:\\data\\0.png": NOT_PLAIN + LIKE_0,
    "C:/data/0.png": NOT_PLAIN + LIKE_0,
    "\\\\server\\share\\0.png": NOT_PLAIN + LIKE_0,
    "//server/share/0.png": NOT_PLAIN + LIKE_0,
    "file:///etc/hostname": NOT_PLAIN,
    "http://example.org/0.png": NOT_PLAIN + LIKE_0,
    "https://example.org/0.png": NOT_PLAIN + LIKE_0,
    "sub\\1.png": NOT_PLAIN + LIKE_1,
    "./0.png": NOT_PLAIN + LIKE_0,
    "": NOT_PLAIN,
    "link_out.png": OUTSIDE,
    "link_up/outside.png": OUTSIDE,
    "loop.png": "a loop of links",
    "device.png": OUTSIDE,  # a link to /dev/zero
    "fifo.png": NOT_REGULAR,
    "sub": NOT_REGULAR,
    "gone.png": "no such file",
    "0.png/1.png": "no such file" + LIKE_1,
    "dangling.png": "no such file",
    "x" * 300: "File name too long",
    "upper.png": "no such file; there is 'Upper.PNG', which differs in case",
    COMPOSED: f"no such file; there is {DECOMPOSED!r}, which differs in Unicode normalization",
}
BROKEN = "line\nbreak.png"
LAST = len(PATHS) + 3  # the line on which the path with a line break begins; it ends on the next
LINKED = LAST + 2


@contextmanager
def released(fifo: Path) -> Iterator[None]:
    """Let go, after a minute, of whoever waits for the FIFO: its test then fails, and does not hang."""
    timer = Timer(60, lambda: os.close(os.open(fifo, os.O_RDWR | os.O_NONBLOCK)))
    timer.start()
    yield
    timer.cancel()
    timer.join()


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    with chdir(tmp_path_factory.mktemp("paths")):
        add_pictures("0.png", "sub/1.png", "../outside.png", "Upper.PNG", DECOMPOSED, BROKEN)
        images = Path("images").absolute()
        os.mkfifo(images / "fifo.png")
        links = {"link_out.png": "../outside.png", "link_up": "..", "loop.png": "pool.png", "pool.png": "loop.png"}
        links |= {"device.png": "/dev/zero", "dangling.png": "nothing.png", "link_in.png": "sub/1.png"}
        for name, target in links.items():
            (images / name).symlink_to(target)
        with released(images / "fifo.png"):
            yield strict(boxes_in(["0.png", *PATHS, BROKEN, "link_in.png"]))


def test_bad_paths_fail_the_command(outcome: Outcome) -> None:
    assert outcome.status == 1


@pytest.mark.parametrize(
    ("line", "path"),
    [*enumerate(PATHS, start=3)],
    ids=[ascii(path)[1:-1][:30] or "empty" for path in PATHS],
)
def test_a_path_that_names_no_image_is_reported_with_its_line(outcome: Outcome, line: int, path: str) -> None:
    (finding,) = outcome.at(line)
    assert key(finding) == ("boxes.csv", line, "filename", "image_missing", "critical")
    assert finding.got == f"{path!r}: {PATHS[path]}"
    assert finding.expected == "an image file below the images folder"
    assert finding.fix.startswith("add the file, or correct the path, which is relative to the images folder")


def test_a_path_with_a_line_break_is_reported_with_the_line_on_which_it_begins(outcome: Outcome) -> None:
    (finding,) = outcome.at(LAST)
    assert key(finding) == ("boxes.csv", LAST, "filename", "image_missing", "critical")
    assert finding.got == f"'line\\nbreak.png': {NOT_PLAIN}"


def test_a_link_within_the_images_folder_is_followed(outcome: Outcome) -> None:
    assert outcome.at(LINKED) == []


def test_a_missing_file_that_another_is_like_is_no_collision(outcome: Outcome) -> None:
    assert outcome.of("path_collision") == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_image_that_may_not_be_read_is_reported_with_its_line() -> None:
    add_pictures("0.png", "closed.png")
    Path("images/closed.png").chmod(0)
    outcome = validate_text(boxes_in(["0.png", "closed.png"]))
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", 3, "filename", "image_missing", "critical")
    assert finding.got == "'closed.png': Permission denied"


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [("A.png", "a.png", "A.png, a.png"), (COMPOSED, DECOMPOSED, f"{COMPOSED}, e\\u0301.png")],
    ids=["case", "Unicode normalization"],
)
def test_paths_that_are_equal_on_other_systems_are_both_named(first: str, second: str, named: str) -> None:
    add_pictures(first, second)
    if len(list(Path("images").iterdir())) == 1:
        pytest.skip("this file system takes them for one")
    outcome = validate_text(boxes_in([first, second]))
    assert outcome.status == 1
    findings = outcome.of("path_collision")
    assert [key(finding) for finding in findings] == [
        (f"images/{name}", None, "", "path_collision", "critical") for name in sorted([first, second])
    ]
    assert {finding.got for finding in findings} == {f"paths that are one file on some systems: {named}"}
    assert {finding.fix for finding in findings} == {"rename one of them"}


def test_the_same_row_twice_names_both_lines() -> None:
    add_pictures("0.png", "1.png")
    outcome = validate_text(boxes_in(["0.png", "1.png", "0.png"]))
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", 4, "filename", "duplicate_row", "critical")
    assert finding.got == "the row of line 2 again"
    assert finding.expected == "each row once"
    assert finding.fix == "remove one of them"


def two_boxes(*options: str) -> Outcome:
    """Return what the command says of an image with a box of 50 x 40 on line 2 and one of 50 x 41 on line 4."""
    add_pictures("0.png", "1.png")
    return validate_text(table([f"0.png,{BOX}", f"1.png,{BOX}", "0.png,cat,10,10,60,51"]), *options)


def test_two_boxes_in_an_image_are_an_error_that_names_both_lines() -> None:
    outcome = two_boxes()
    assert outcome.status == 1
    assert [key(finding) for finding in outcome.findings] == [
        ("boxes.csv", line, "filename", "several_boxes", "critical") for line in (2, 4)
    ]
    assert {finding.got for finding in outcome.findings} == {"2 boxes in '0.png': line 2, line 4"}
    assert outcome.findings[0].fix.startswith("remove all but one, or pass --multiple largest (or drop)")


def test_of_two_boxes_the_smaller_is_set_aside_where_the_policy_is_largest() -> None:
    outcome = two_boxes("--multiple", "largest")
    assert outcome.status == 0
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", 2, "filename", "several_boxes", "warning")
    assert finding.got == "2 boxes in '0.png': line 2, line 4"
    assert finding.fix.endswith("this box is set aside")


def test_both_boxes_are_set_aside_where_the_policy_is_drop() -> None:
    outcome = two_boxes("--multiple", "drop")
    assert outcome.status == 0
    assert [key(finding) for finding in outcome.findings] == [
        ("boxes.csv", line, "filename", "several_boxes", "warning") for line in (2, 4)
    ]


def test_an_image_without_a_box_is_a_warning() -> None:
    add_pictures("0.png", "1.png")
    outcome = validate_text(boxes_in(["0.png"]))
    assert outcome.status == 0
    (finding,) = outcome.findings
    assert key(finding) == ("images", None, "", "image_not_annotated", "warning")
    assert finding.got == "1 image without one: 1.png"


def test_images_that_are_not_checked_are_a_warning() -> None:
    Path("boxes.csv").write_text(boxes_in(["0.png", "1.png"]))
    outcome = run("--json")
    assert outcome.status == 0
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", None, "", "images_not_checked", "warning")


def test_a_folder_of_images_that_is_missing_is_wrong_use_that_names_it() -> None:
    Path("boxes.csv").write_text(boxes_in(["0.png"]))
    outcome = validate()
    assert outcome.status == 2
    assert outcome.err == "localizer validate: images: no such file or folder\n"


def test_a_bad_path_cannot_break_its_line_on_the_terminal() -> None:
    add_pictures("0.png")
    Path("boxes.csv").write_text(boxes_in(["0.png", "a\nb\x1b.png"]))
    assert run("--images", "images").out.splitlines()[2:5] == [
        "critical: image_missing, 1 finding: expected an image file below the images folder",
        r"  boxes.csv:3:filename: got 'a\nb\x1b.png': not a plain path relative to the images folder",
        "  fix: add the file, or correct the path, which is relative to the images folder",
    ]
