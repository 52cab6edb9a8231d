"""Findings as JSON and as GitHub's workflow commands: what is printed, and that no name or text breaks out of it."""

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localizer.cli import main
from localizer.commands.finding_formats import as_github, as_json, no_commands, path_below, repository_root
from localizer.findings import COLUMNS, Finding, critical, warning

ORDER = Finding("boxes.csv", 3, "xmax", "corner_order", "critical", "xmax 10", "more than xmin 95", "correct the box")
MODE = warning("photos", "image_mode", got="1 of the images in another mode", expected="RGB", fix="nothing")
COMMAND = re.compile(r"::(error|warning) ([^\r\n]*?)::([^\r\n]*)")


def commands(findings: list[Finding]) -> list[str]:
    return as_github(findings, root=Path.cwd()).splitlines()


def unescaped(text: str, *, also: bool) -> str:
    """Return a value as GitHub's runner reads it; also: the escapes of properties."""
    for escape, char in [*([("%3A", ":"), ("%2C", ",")] if also else []), ("%0D", "\r"), ("%0A", "\n"), ("%25", "%")]:
        text = text.replace(escape, char)
    return text


def test_a_finding_is_a_command_with_file_line_rule_and_the_sentence() -> None:
    assert commands([ORDER]) == [
        "::error file=boxes.csv,line=3,title=corner_order::"
        "boxes.csv:3:xmax: corner_order: expected more than xmin 95, got xmax 10; correct the box"
    ]


def test_a_warning_about_a_folder_has_no_line() -> None:
    assert commands([MODE]) == [
        "::warning file=photos,title=image_mode::"
        "photos: image_mode: expected RGB, got 1 of the images in another mode; nothing"
    ]


def test_no_finding_is_no_command() -> None:
    assert commands([]) == []


def test_the_third_of_159_places_says_that_156_more_are_of_the_rule() -> None:
    found = commands([replace(ORDER, line=line) for line in range(1, 160)])
    assert [re.findall(r"line=(\d+)", command) for command in found] == [["1"], ["2"], ["3"]]
    assert [command.endswith("; correct the box") for command in found[:2]] == [True, True]
    assert found[2].endswith("; correct the box (and 156 more of this rule)")


def test_three_places_are_all_of_a_rule_that_has_three() -> None:
    found = commands([replace(ORDER, line=line) for line in (1, 2, 3)])
    assert len(found) == 3
    assert not any("more of this rule" in command for command in found)


@pytest.mark.parametrize(("rules", "places"), [(3, 3), (4, 2), (5, 2), (6, 1), (10, 1), (12, 1)])
def test_the_more_rules_the_fewer_places_so_that_10_annotations_have_all_rules(rules: int, places: int) -> None:
    findings = [replace(ORDER, rule=f"rule{rule}", line=line) for rule in range(rules) for line in range(1, 6)]
    found = [command.split("title=")[1].split("::")[0] for command in commands(findings)]
    assert sorted(found) == sorted(f"rule{rule}" for rule in range(rules) for _ in range(places))


def test_rules_that_warn_take_no_place_from_critical_ones() -> None:
    errors = [replace(ORDER, line=line) for line in (1, 2, 3)]
    warnings = [replace(MODE, rule=f"rule{rule}") for rule in range(10)]
    found = commands([*warnings, *errors])
    assert [command.split(" ")[0] for command in found] == ["::error"] * 3 + ["::warning"] * 10


def test_a_file_in_json_gets_the_line_of_the_element() -> None:
    Path("coco.json").write_text('{"annotations": [\n {"id": 9,\n  "bbox": []}]}')
    finding = replace(ORDER, file="coco.json", line=None, column="annotations[0] (id 9).bbox")
    (command,) = commands([finding])
    assert command.startswith(
        "::error file=coco.json,line=3,title=corner_order::coco.json:3:annotations[0] (id 9).bbox: "
    )


def test_percent_comma_and_colon_are_escaped_in_a_file_and_only_percent_in_the_message() -> None:
    (command,) = commands([replace(ORDER, file="100%,a:b.csv")])
    assert command.startswith("::error file=100%25%2Ca%3Ab.csv,line=3,title=corner_order::100%25,a:b.csv:3:xmax: ")


def test_what_looks_like_an_escape_is_not_one() -> None:
    (command,) = commands([replace(ORDER, got="%0A::error::x")])
    assert "got %250A::error::x; " in command


def test_line_breaks_in_a_text_neither_end_the_command_nor_begin_one() -> None:
    found = commands([replace(ORDER, got="1\n::error::x\r\n2", file="a\n::set-output name=x::b.csv")])
    assert len(found) == 1
    assert r"got 1\n::error::x\r\n2; " in found[0]
    assert "file=a%0A%3A%3Aset-output name=x%3A%3Ab.csv," in found[0]


def test_a_name_that_is_no_utf_8_is_printed_with_an_escape() -> None:
    (command,) = commands([replace(ORDER, file=os.fsdecode(b"\xff.csv"))])
    assert command.encode().startswith(rb"::error file=\udcff.csv,line=3,")


@given(file=st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1), got=st.text())
def test_any_texts_are_one_command_that_the_runner_reads_back(file: str, got: str) -> None:
    finding = replace(ORDER, file=f"data/{file}", got=got)
    text = as_github([finding], root=Path.cwd())
    found = COMMAND.fullmatch(text.removesuffix("\n"))
    assert found
    properties = dict(part.split("=", 1) for part in found[2].split(","))
    assert unescaped(properties["file"], also=True) == f"data/{file}" or file in (".", "..")
    assert unescaped(found[3], also=False) == str(finding)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("boxes.csv: passed", "boxes.csv: passed"),
        ("::error::x.csv: failed", "%3A:error::x.csv: failed"),
        ("  ::error::x", "  %3A:error::x"),
        ("a::b", "a::b"),
        ("a ##[error]x", "a ##%5Berror]x"),
        ("a\n::error::x", r"a\n::error::x"),
    ],
)
def test_no_line_of_the_log_is_a_command(line: str, expected: str) -> None:
    assert list(no_commands([line])) == [expected]


def test_paths_are_relative_to_the_repository_around_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "repository" / "deep" / "er"
    folder.mkdir(parents=True)
    (tmp_path / "repository" / ".git").mkdir()
    monkeypatch.chdir(folder)
    root = repository_root()
    assert root == tmp_path / "repository"
    assert path_below(root, "boxes.csv") == "deep/er/boxes.csv"
    assert path_below(root, "../../boxes.csv") == "boxes.csv"
    assert path_below(root, str(folder / "..name.csv")) == "deep/er/..name.csv"


def test_a_path_outside_of_the_repository_is_absolute(tmp_path: Path) -> None:
    assert path_below(tmp_path / "repository", str(tmp_path / "boxes.csv")) == str(tmp_path / "boxes.csv")
    assert path_below(tmp_path / "repository", str(tmp_path / "repository2")) == str(tmp_path / "repository2")


def test_the_working_directory_is_the_root_where_there_is_no_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda self: False)
    assert repository_root() == tmp_path


def test_json_keeps_lines_unknown_and_names_that_are_no_utf_8() -> None:
    finding = critical(os.fsdecode(b"\xff.json"), "x", column="a[0]", got='é "1"', expected="\n", fix="z")
    text = as_json([finding, ORDER])
    first, second = json.loads(text.encode())
    assert list(first) == list(COLUMNS)
    assert first["file"] == "\udcff.json"
    assert (first["line"], first["got"], first["expected"]) == (None, 'é "1"', "\n")
    assert second["line"] == 3


def boxes_csv(rows: str) -> Path:
    path = Path("boxes.csv")
    path.write_text(f"filename,xmin,ymin,xmax,ymax,class\n{rows}")
    return path


def test_the_command_prints_annotations_and_then_the_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    path = boxes_csv("a.png,10,20,60,50,cat\nb.png,95,20,10,75,cat\n")
    assert main(["validate", str(path), "--format", "github"]) == 1
    *annotations, verdict = capsys.readouterr().out.splitlines()
    commands = [COMMAND.fullmatch(line) for line in annotations]
    assert [command[2] for command in commands if command] == [
        "file=boxes.csv,line=3,title=corner_order",
        "file=boxes.csv,title=images_not_checked",
        "file=boxes.csv,title=read_as_xywh",
    ]
    assert verdict.startswith("boxes.csv: failed: 1 critical finding, ")


def test_annotations_that_can_not_be_read_are_annotated(capsys: pytest.CaptureFixture[str]) -> None:
    path = boxes_csv("a.png,1\n")
    assert main(["validate", str(path), "--format", "github"]) == 1
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("::error file=boxes.csv,line=2,title=field_count::")
    assert last == "boxes.csv: failed: can't be read"


@pytest.mark.parametrize("kind", ["github", "sarif"])
def test_json_and_another_format_exclude_each_other(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(boxes_csv("")), "--json", "--format", kind]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == f"localizer validate: --json and --format {kind} exclude each other; omit one\n"
