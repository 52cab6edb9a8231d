"""A CSV that can't be read: `localizer validate` stops, and says in which line or column and what to do."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from bad_inputs import BOX, HEADER, add_pictures, boxes_in, key, run, strict, table, validate, validate_text

NAMES = ("0.png", "1.png", "2.png")
GOOD = boxes_in(NAMES)  # lines 1 to 4
A_CSV = "a CSV: a header, and one row per box"
CARD = """\
title: mine
format: csv
annotations: boxes.csv
images: images
columns: {image: filename, box: [xmin, ymin, xmax, ymax], label: kind}
"""

# The name of the test, the content, the line, the rule, and what the finding says.
FILES: list[tuple[str, str | bytes, int | None, str, str, str, str]] = [
    ("zero bytes", b"", None, "empty_file", "an empty file", A_CSV, "export it again"),
    ("blank lines only", "\n \n", None, "empty_file", "an empty file", A_CSV, "export it again"),
    ("header only", f"{HEADER}\n", None, "no_rows", "none", "one row per box", "is it the right file?"),
    ("UTF-16", GOOD.encode("utf-16"), None, "utf_16", "UTF-16", "UTF-8 text", "set `encoding: utf-16` in dataset.yaml"),
    (
        "UTF-16 without a mark", GOOD.encode("utf-16-le"), 1,
        "nul_byte", "a NUL byte", "text", "if the file is UTF-16, save it as UTF-8",
    ),
    (
        "Latin-1 byte", GOOD.encode() + f"é.png,{BOX}\n".encode("latin-1"), 5,
        "not_utf_8", "the byte 0xe9", "UTF-8 text", "save it as UTF-8",
    ),
    ("NUL in a field", f"{GOOD}a\0.png,{BOX}\n", 5, "nul_byte", "a NUL byte", "text", "remove it; or, if the file"),
    ("gzip", gzip.compress(GOOD.encode()), None, "gzip", "a file compressed with gzip", A_CSV, "unpack it"),
    (
        "unclosed quote", table([f'"0.png,{BOX}', f"1.png,{BOX}", f"2.png,{BOX}"]), 2,
        "csv_invalid", "a quote that is not closed", "valid CSV", "correct the quotes on this line",
    ),
    (
        "semicolons", GOOD.replace(",", ";"), 1,
        "semicolons", "semicolons", "commas between columns", "set `separator` in dataset.yaml",
    ),
    (
        "field over 64 KiB", f"{GOOD}{'x' * 65_537},{BOX}\n", 5,
        "csv_invalid", "a field of over 65536 characters; is a quote not closed?", "valid CSV", "correct the quotes",
    ),
    (
        "field over 128 KiB", f"{GOOD}{'x' * 131_073},{BOX}\n", 5,
        "csv_invalid", "a field of over 65536 characters", "valid CSV", "correct the quotes",
    ),
]  # fmt: skip

# The name of the test, the content, the line and column, the rule, and what the finding says.
SCHEMAS = [
    (
        "header twice", "filename,class,xmin,ymin,xmax,xmax,ymax\n0.png,cat,10,10,60,60,50\n", 1, "xmax",
        "column_twice", "2", "one column 'xmax'", "rename or remove one",
    ),
    (
        "space in the header", GOOD.replace("class", "class,weather ", 1).replace("cat", "cat,dry"), 1, "weather ",
        "column_spaces", "'weather ', with spaces around it", "'weather'", "remove them",
    ),
    (
        "extra field in one row", f"{GOOD}2.png,{BOX},7\n", 5, "",
        "field_count", "7", "6 fields, as in the header", "quote values that contain the separator",
    ),
    (
        "short row", f"{GOOD}2.png,cat,10,10,60\n", 5, "",
        "field_count", "5", "6 fields, as in the header", "give the missing ones",
    ),
    (
        "missing column", "filename,class,xmin,ymin,xmax\n0.png,cat,10,10,60\n", 1, "ymax",
        "column_missing", "the columns filename, class, xmin, ymin, xmax", "a column 'ymax'", "correct the header",
    ),
    (
        "missing image column", f"x{HEADER}\na,{BOX}\n", 1, "filename",
        "column_missing", "the columns xfilename, class, xmin, ymin, xmax, ymax",
        "a column 'filename'", "correct the header",
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "line", "rule", "got", "expected", "fix"),
    [case[1:] for case in FILES],
    ids=[case[0] for case in FILES],
)
def test_a_file_is_refused(
    content: str | bytes, line: int | None, rule: str, got: str, expected: str, fix: str
) -> None:
    add_pictures(*NAMES)
    outcome = strict(content)
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", line, "", rule, "critical")
    assert got in finding.got
    assert expected in finding.expected
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("content", "line", "column", "rule", "got", "expected", "fix"),
    [case[1:] for case in SCHEMAS],
    ids=[case[0] for case in SCHEMAS],
)
def test_a_schema_is_refused(
    content: str, line: int, column: str, rule: str, got: str, expected: str, fix: str
) -> None:
    add_pictures(*NAMES)
    outcome = strict(content)
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", line, column, rule, "critical")
    assert finding.got == got
    assert finding.expected == expected
    assert fix in finding.fix


def test_a_missing_file_is_wrong_use_that_names_it() -> None:
    add_pictures(*NAMES)
    outcome = validate()
    assert outcome.status == 2
    assert outcome.err == "localizer validate: boxes.csv: no such file or folder\n"
    assert outcome.out == ""


def test_a_folder_without_annotations_is_refused_with_what_is_there() -> None:
    add_pictures(*NAMES)
    Path("boxes.csv").mkdir()
    Path("boxes.csv/readme.md").touch()
    outcome = validate()
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", None, "", "format_unknown", "critical")
    assert finding.got == "a folder with 1 .md"
    assert finding.expected.startswith("annotations of one of the formats voc, coco, yolo, ")


def test_a_folder_where_the_config_has_csv_is_refused() -> None:
    add_pictures(*NAMES)
    Path("boxes.csv").mkdir()
    Path("card.yaml").write_text(CARD)
    outcome = validate("--config", "card.yaml")
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", None, "", "no_files", "critical")
    assert finding.fix == "is it the right folder?"


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["FIFO", "device"])
def test_what_has_no_end_is_refused_and_not_read(make: Callable[[Path], None]) -> None:
    add_pictures(*NAMES)
    make(Path("boxes.csv"))
    outcome = validate()
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", None, "", "not_a_file", "critical")
    assert finding.got == "no regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_file_that_may_not_be_read_is_refused() -> None:
    add_pictures(*NAMES)
    Path("boxes.csv").write_text(GOOD)
    Path("boxes.csv").chmod(0)
    outcome = validate()
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", None, "", "not_readable", "critical")
    assert finding.got == "an error from reading it: Permission denied"


VOC_BOX = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox>"


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("csv", GOOD),
        ("json", '{"shapes": [], "imagePath": "0.png"}'),
        ("xml", f"<annotation><object><name>cat</name>{VOC_BOX}</object></annotation>"),
        ("txt", "0 0.5 0.5 0.2 0.2\n"),
        ("txt", f"car 0 0 0 10 20 60 70{' 0' * 7}\n"),
    ],
    ids=["CSV", "LabelMe", "VOC", "YOLO", "KITTI"],
)
def test_a_file_of_a_folder_that_gives_an_error_is_refused_in_every_format(name: str, sound: str) -> None:
    Path("boxes.csv").mkdir()
    Path(f"boxes.csv/sound.{name}").write_text(sound)
    Path(f"boxes.csv/bad.{name}").symlink_to("/proc/self/mem")  # even root can't read it
    outcome = run("--json")
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == (f"boxes.csv/bad.{name}", None, "", "not_readable", "critical")
    assert finding.got == "an error from reading it: Input/output error"


def test_a_csv_that_gives_an_error_is_refused() -> None:
    Path("boxes.csv").symlink_to("/proc/self/mem")
    outcome = run("--json")
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", None, "", "not_readable", "critical")


@pytest.mark.parametrize(
    ("encoding", "line", "got"),
    [
        ("ascii", 5, "the byte 0xe9"),
        ("klingon", None, "an error from decoding it: unknown encoding: klingon"),
    ],
)
def test_a_text_in_another_encoding_than_given_is_refused(encoding: str, line: int | None, got: str) -> None:
    Path("boxes.csv").write_bytes(GOOD.encode() + f"é.png,{BOX}\n".encode("latin-1"))
    outcome = run("--json", "--encoding", encoding)
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", line, "", "not_decodable", "critical")
    assert (finding.got, finding.expected) == (got, f"text in {encoding}")


def test_a_missing_column_of_the_config_is_named_with_the_header() -> None:
    add_pictures(*NAMES)
    Path("card.yaml").write_text(CARD)
    outcome = validate_text(GOOD, "--config", "card.yaml")
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", 1, "kind", "column_missing", "critical")
    assert finding.got == "the columns filename, class, xmin, ymin, xmax, ymax"
    assert finding.expected == "a column 'kind'"
    assert finding.fix == "correct the header, or `columns` in dataset.yaml"


def test_semicolons_are_reported_also_where_the_config_names_the_columns() -> None:
    add_pictures(*NAMES)
    Path("card.yaml").write_text(CARD)
    outcome = validate_text(GOOD.replace(",", ";"), "--config", "card.yaml")
    assert outcome.status == 1
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", 1, "", "semicolons", "critical")


def test_an_extra_field_on_every_row_names_every_row() -> None:
    add_pictures(*NAMES)
    outcome = validate_text(table(f"{name},{BOX},7" for name in NAMES))
    assert outcome.status == 1
    assert [key(finding) for finding in outcome.findings] == [
        ("boxes.csv", line, "", "field_count", "critical") for line in (2, 3, 4)
    ]
    assert {finding.got for finding in outcome.findings} == {"7"}


def test_all_faults_of_a_header_are_reported_at_once() -> None:
    add_pictures(*NAMES)
    outcome = strict(f"filename,class ,class ,xmin,ymin,xmax,ymax\n0.png,cat,{BOX}\n")
    assert outcome.status == 1
    assert {finding.rule for finding in outcome.findings} == {"column_missing", "column_twice", "column_spaces"}


def test_an_unknown_column_is_a_warning() -> None:
    add_pictures(*NAMES)
    outcome = validate_text(table([f"{name},{BOX},sunny" for name in NAMES], header=f"{HEADER},weather"))
    assert outcome.status == 0
    (finding,) = outcome.findings
    assert key(finding) == ("boxes.csv", 1, "weather", "column_unknown", "warning")
    assert finding.got == "the column 'weather'"
    assert finding.fix.startswith("nothing, if it is not needed; else pass the option for it")


@pytest.mark.parametrize(
    "content",
    [GOOD.encode(), b"\xef\xbb\xbf" + GOOD.encode(), GOOD.replace("\n", "\r").encode(),
     GOOD.replace("\n", "\r\n").encode(), GOOD.rstrip("\n").encode(), GOOD.replace("\n", "\n\n").encode()],
    ids=["LF", "UTF-8 BOM", "CR", "CRLF", "no end of the last line", "blank lines"],
)  # fmt: skip
def test_a_file_is_accepted(content: bytes) -> None:
    add_pictures(*NAMES)
    outcome = validate_text(content)
    assert (outcome.status, outcome.findings) == (0, [])


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n\n"], ids=["CR", "CRLF", "blank lines"])
def test_lines_are_counted_as_an_editor_counts_them(end: str) -> None:
    add_pictures(*NAMES)
    outcome = validate_text((GOOD + "2.png,cat\n").replace("\n", end))
    assert [finding.line for finding in outcome.findings] == [9 if end == "\n\n" else 5]


def test_a_refused_file_is_a_verdict_and_a_block_on_the_terminal() -> None:
    Path("boxes.csv").write_text(f"{GOOD}2.png,cat\n")
    outcome = run()
    assert outcome.status == 1
    assert outcome.out.splitlines() == [
        "boxes.csv: failed: can't be read",
        "",
        "critical: field_count, 1 finding: expected 6 fields, as in the header",
        "  boxes.csv:5: got 2",
        "  fix: quote values that contain the separator, or give the missing ones",
    ]


def test_nothing_is_written_next_to_a_file_that_is_refused() -> None:
    add_pictures(*NAMES)
    content = f"{GOOD}2.png,cat\n".encode()
    assert validate_text(content).status == 1
    assert Path("boxes.csv").read_bytes() == content
    there = sorted(path.as_posix() for path in Path().rglob("*") if path.is_file())
    assert there == ["boxes.csv", *(f"images/{name}" for name in NAMES)]
