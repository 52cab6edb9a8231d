"""The command `localizer validate`, called as a function: what it exits with, prints and writes.

Where LOCALIZER_MIRROR names a mirror, the two real sets are validated too, and what is known of them is found.
"""

import contextlib
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image

from localizer.cli import main
from localizer.findings import COLUMNS
from localizer.tables import read_table
from localizer.validation import validate as validation

DATA = Path(__file__).parents[2] / "data"
HEADER = "filename,xmin,ymin,xmax,ymax,class\n"
CLEAN = HEADER + "a.png,10,20,60,50,cat\nb.png,20,20,60,50,cat\n"
TURNED = HEADER + "a.png,10,20,60,50,cat\nb.png,95,20,10,75,cat\n"  # which fits in no other format
SIDES = HEADER + "a.png,10,20,60,50,cat\nb.png,60,20,10,50,cat\n"
CONFIG = """\
title: mine
format: csv
annotations: boxes.csv
images: images
columns: {image: filename, box: [xmin, ymin, xmax, ymax], label: class}
"""


def photos(folder: Path) -> Path:
    """Make two images of 100 x 80 pixels, each of another color."""
    folder.mkdir(parents=True)
    for name, color in {"a.png": "red", "b.png": "blue"}.items():
        Image.new("RGB", (100, 80), color).save(folder / name)
    return folder


@pytest.fixture
def images(tmp_path: Path) -> str:
    return str(photos(tmp_path / "photos"))


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    path = tmp_path / "boxes.csv"
    path.write_text(CLEAN)
    return path


def data_set(name: str, *, text: str = CLEAN, config: str = CONFIG, with_images: bool = True) -> Path:
    """Make data/NAME."""
    folder = Path("data") / name
    (folder / "raw").mkdir(parents=True)
    (folder / "dataset.yaml").write_text(config)
    (folder / "raw" / "boxes.csv").write_text(text)
    if with_images:
        photos(folder / "raw" / "images")
    return folder


READ = "read as csv: boxes of every label, xyxy in pixels counted from 0"


def validate(*arguments: object) -> int:
    return main(["validate", *map(str, arguments)])


def rules_in(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the rules of the findings that were printed as JSON."""
    return [one["rule"] for one in json.loads(capsys.readouterr().out)]


def test_clean_annotations_exit_with_0_and_a_line_of_counts(
    boxes: Path, images: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate(boxes, "--images", images) == 0
    out = capsys.readouterr().out.splitlines()
    counts = "0 critical findings, 0 warnings; 2 of 2 images clean, 0 of 2 rows set aside"
    command = f"localizer init boxes --annotations {boxes} --images {images}"
    assert out == [f"boxes.csv: passed: {counts}; {READ}", "", "To make it a data set for training:", f"  {command}"]


def test_a_critical_finding_exits_with_1_and_has_a_block(
    boxes: Path, images: str, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes.write_text(TURNED)
    assert validate(boxes, "--images", images) == 1
    counts = "1 critical finding, 0 warnings; 1 of 2 images clean, 1 of 2 rows set aside"
    assert capsys.readouterr().out.splitlines()[:5] == [
        f"boxes.csv: failed: {counts}; {READ}",
        "",
        "critical: corner_order, 1 finding: expected more than xmin 95",
        f"  {boxes}:3:xmax: got xmax 10",
        "  fix: correct the box, or remove it; or are the columns xywh? pass --box-format xywh",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "expected ANNOTATIONS"),
        (["boxes.csv", "--since", "HEAD"], "exclude each other"),
        (["nowhere.csv"], "nowhere.csv: no such file or folder"),
        (["boxes.csv", "--images", "nowhere"], "nowhere: no such file or folder"),
        (["boxes.csv", "--images", "boxes.csv"], "boxes.csv: not a folder"),
        (["boxes.csv", "--against", "nowhere"], "nowhere: no such file or folder"),
        (["boxes.csv", "--config", "nowhere"], "nowhere: no such file or folder"),
        (["--since", "HEAD"], "not a git repository"),
        (["--since", ""], "not a git repository"),
    ],
)
def test_wrong_usage_exits_with_2_and_names_the_mistake(
    boxes: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(boxes.parent.parent))
    assert validate(*arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("localizer validate: ")
    assert message in printed.err


def test_an_option_that_is_none_exits_with_2(boxes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        validate(boxes, "--box-format", "yxyx")
    assert error.value.code == 2
    assert "--box-format" in capsys.readouterr().err


def test_a_failure_of_its_own_exits_with_3_and_prints_no_finding(
    boxes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("Great Expectations could not evaluate")

    monkeypatch.setattr(validation, "validate_dataset", fail)
    assert validate(boxes) == 3
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "RuntimeError: Great Expectations could not evaluate" in printed.err
    assert printed.err.endswith("localizer validate: internal error\n")


def test_a_summary_in_no_folder_is_wrong_use(boxes: Path, images: str) -> None:
    assert validate(boxes, "--images", images, "--summary", "nowhere/summary.md") == 2


def test_reports_are_not_written_into_a_folder_that_holds_something_else(boxes: Path, images: str) -> None:
    kept = Path(images) / "thumbnails" / "mine.txt"
    kept.parent.mkdir()
    kept.write_text("mine")
    assert validate(boxes, "--images", images, "--reports", images) == 2
    assert validate(boxes, "--images", images, "--reports", str(boxes)) == 2
    assert kept.read_text() == "mine"


def test_reports_replace_those_of_the_run_before(boxes: Path, images: str) -> None:
    for _ in range(2):
        validate(boxes, "--images", images, "--reports", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "data_docs",
        "findings.csv",
        "summary.md",
        "thumbnails",
    ]


def test_json_is_an_array_of_objects_with_the_columns_of_findings_csv(
    boxes: Path, images: str, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes.write_text(TURNED.replace("cat\n", "caté\n"))
    Image.new("L", (100, 80)).save(Path(images) / "a.png")
    assert validate(boxes, "--images", images, "--json", "--reports", "out") == 1
    out = capsys.readouterr().out
    found = json.loads(out)
    assert [list(one) for one in found] == [list(COLUMNS)] * 2
    assert [(one["rule"], one["line"], one["severity"]) for one in found] == [
        ("corner_order", 3, "critical"),
        ("image_mode", None, "warning"),
    ]
    table = read_table(Path("out/findings.csv"))
    assert list(table.columns) == list(COLUMNS)
    assert table.to_dict("records") == [one | {"line": str(one["line"] or "")} for one in found]


def test_json_without_a_finding_is_an_empty_array(boxes: Path, images: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(boxes, "--images", images, "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_reports_have_findings_summary_data_docs_and_thumbnails(boxes: Path, images: str) -> None:
    boxes.write_text(TURNED)
    assert validate(boxes, "--images", images, "--reports", "out/deep") == 1
    out = Path("out/deep")
    assert list(read_table(out / "findings.csv")["rule"]) == ["corner_order"]
    text = (out / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("# boxes.csv: stopped, 1 critical finding, 0 warnings\n")
    assert "](thumbnails/01.jpg)" in text
    assert sorted(path.name for path in (out / "thumbnails").iterdir()) == ["01.jpg", "index.csv"]
    assert "Results for boxes" in (out / "data_docs" / "index.html").read_text(encoding="utf-8")


def test_annotations_that_can_not_be_read_are_reported_too(boxes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes.write_text(CLEAN + "c.png,1,1\nd.png,1\n")
    assert validate(boxes, "--reports", "out") == 1
    assert capsys.readouterr().out.splitlines()[0] == "boxes.csv: failed: can't be read"
    table = read_table(Path("out/findings.csv"))
    assert table[["line", "rule"]].to_numpy().tolist() == [["4", "field_count"], ["5", "field_count"]]
    assert Path("out/summary.md").read_text(encoding="utf-8").startswith("# boxes.csv: can't be read\n")


def test_the_summary_is_appended_to_a_file(boxes: Path, images: str) -> None:
    Path("page.md").write_text("before\n")
    assert validate(boxes, "--images", images, "--summary", "page.md") == 0
    assert Path("page.md").read_text().startswith("before\n# boxes.csv: passed, 0 critical findings, 0 warnings\n")


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_nothing_is_written_by_default(boxes: Path, images: str, tmp_path: Path) -> None:
    before, text = files(tmp_path), boxes.read_text()
    assert validate(boxes, "--images", images) == 0
    assert files(tmp_path) == before
    assert boxes.read_text() == text


def test_reports_change_neither_the_inputs_nor_their_folder(
    boxes: Path, images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "work"
    elsewhere.mkdir()
    before = files(tmp_path)
    monkeypatch.chdir(elsewhere)
    assert validate(boxes, "--images", images, "--reports", "out") == 0
    assert {name for name in files(tmp_path) - before if not name.startswith("work/out")} == set()


def test_what_is_known_of_images_is_kept_in_a_project_of_dvc_only(boxes: Path, images: str) -> None:
    Path("dvc.yaml").write_text("stages: {}\n")
    assert validate(boxes, "--images", images) == 0
    assert Path(".localizer").is_dir()


def test_without_images_they_are_reported_as_not_checked(boxes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(boxes, "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["file"], one["line"], one["rule"], one["severity"]) == (
        str(boxes),
        None,
        "images_not_checked",
        "warning",
    )


def test_options_say_how_to_read_the_annotations(boxes: Path, images: str, capsys: pytest.CaptureFixture[str]) -> None:
    boxes.write_text("photo,p,q,r,s,kind\na.png,60,20,10,30,cat\nb.png,60,20,42,30,cat\nb.png,1,1,9,9,dog\n")
    reading = ["--image-column", "photo", "--box-columns", "p,q,r,s", "--label-column", "kind", "--label", "cat"]
    assert validate(boxes, "--images", images, *reading, "--box-format", "xywh", "--clip-px", "2", "--json") == 0
    assert rules_in(capsys) == ["clipped"]  # the second ends at 102


def test_unknown_columns_are_critical_and_name_the_header(boxes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes.write_text("photo,p,q\na.png,1,2\n")
    assert validate(boxes, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["severity"], one["line"]) for one in found] == [("critical", 1)] * len(found)
    assert found
    assert all("photo, p, q" in one["got"] for one in found)


def test_a_config_declares_how_to_read_the_annotations(
    boxes: Path, images: str, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes.write_text(SIDES)
    Path("card.yaml").write_text(CONFIG + "box_format: xywh\n")
    assert validate(boxes, "--images", images, "--config", "card.yaml", "--json") == 0
    assert rules_in(capsys) == []


@pytest.mark.parametrize("given", ["own", "option"])
def test_a_broken_config_is_critical_and_names_the_key(
    boxes: Path, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = CONFIG + "box_fromat: xywh\n"
    card = data_set("mine", config=broken) / "dataset.yaml"
    arguments: list[object] = [card.parent] if given == "own" else [boxes, "--config", card]
    assert validate(*arguments, "--json") == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["file"], one["rule"], one["severity"]) == ("data/mine/dataset.yaml", "card_invalid", "critical")
    assert (one["column"], one["expected"]) == ("box_fromat", "a known key")
    assert one["got"] == "an unknown one; is it `box_format`?"


@pytest.mark.parametrize(
    ("wrong", "line", "column", "expected", "got"),
    [
        ("clip_px: -1", None, "clip_px", "a value greater than or equal to 0", "-1"),
        ("multiple: many", None, "multiple", "'error', 'largest' or 'drop'", "'many'"),
        ("drift: {zzz: 1}", None, "drift.zzz", "a known key", "an unknown one"),
        ("label: [", 7, "", "a valid dataset.yaml", "a problem: not valid YAML: expected the node content"),
        ("box_origin: 1\nbox_units: unit", None, "", "a valid dataset.yaml", "a problem: box_origin 1 counts"),
    ],
    ids=["range", "choice", "nested key", "YAML", "contradiction"],
)
def test_what_is_wrong_in_a_config_is_told_in_its_place(
    wrong: str, line: int | None, column: str, expected: str, got: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data_set("mine", config=f"{CONFIG}{wrong}\n")
    assert validate(folder, "--json") == 1
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["file"], one["line"], one["column"]) == ("data/mine/dataset.yaml", line, column)
    assert one["expected"] == expected
    assert one["got"].startswith(got)


def test_a_config_with_two_faults_and_one_that_lacks_a_key_has_a_finding_for_each(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = data_set("mine", config=CONFIG.replace("title: ", "titel: "))
    assert validate(folder, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["column"], one["expected"], one["got"]) for one in found] == [
        ("title", "the key", "none"),
        ("titel", "a known key", "an unknown one; is it `title`?"),
    ]


def test_a_data_sets_folder_is_validated_by_its_config(capsys: pytest.CaptureFixture[str]) -> None:
    folder = data_set("mine", text=TURNED, config=CONFIG + "on_bad_row: quarantine\nmax_bad_fraction: 0.5\n")
    assert validate(folder) == 0
    out = capsys.readouterr().out
    counts = "1 critical finding, 0 warnings; 1 of 2 images clean, 1 of 2 rows set aside"
    assert out.startswith(f"mine: passed: {counts}; {READ}\n")
    assert "set box_format: xywh in data/mine/dataset.yaml" in out


def test_a_config_of_another_name_may_be_among_the_annotations(tmp_path: Path) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    (labels / "a.txt").write_text("0 0.5 0.5 0.4 0.4\n")
    (labels / "mine.yaml").write_text("title: mine\nformat: yolo\nannotations: labels\nimages: images\n")
    assert validate(labels, "--config", labels / "mine.yaml") == 0


def test_against_a_file_drift_is_reported(boxes: Path, images: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("accepted.csv").write_text(CLEAN.replace("20,20,60,50", "30,20,60,50"))  # 30 x 30 of now 40 x 30
    assert validate(boxes, "--images", images, "--against", "accepted.csv", "--json", "--summary", "s.md") == 1
    assert rules_in(capsys) == ["drift_moved", "drift_sizes"]
    assert "| moved | b.png | cat | 3 | 3 | 0.7500 |" in Path("s.md").read_text()


def test_against_itself_nothing_drifted(boxes: Path, images: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate(boxes, "--images", images, "--against", boxes) == 0


def test_against_a_data_sets_folder_each_is_read_by_its_own_config(boxes: Path, images: str) -> None:
    from_one = CLEAN.replace("10,20,", "11,21,").replace("20,20,", "21,21,")
    reference = data_set("accepted", text=from_one, config=CONFIG + "box_origin: 1\n")
    assert validate(boxes, "--images", images, "--against", reference) == 0
    (reference / "dataset.yaml").write_text(CONFIG)
    assert validate(boxes, "--images", images, "--against", reference) == 1


def test_a_file_to_compare_a_data_set_with_is_read_by_the_sets_config(boxes: Path) -> None:
    folder = data_set("mine", config=CONFIG + "box_origin: 1\n")
    assert validate(folder, "--against", boxes) == 0


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def commit() -> None:
    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", "all")


def test_since_a_commit_without_a_change_there_is_nothing_to_validate(capsys: pytest.CaptureFixture[str]) -> None:
    data_set("mine")
    commit()
    assert validate("--since", "HEAD") == 0
    assert capsys.readouterr().out == "no data set changed since HEAD\n"
    assert validate("--since", "HEAD", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_since_a_commit_the_sets_that_changed_are_compared_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    data_set("same")
    folder = data_set("changed")
    commit()
    (folder / "raw" / "boxes.csv").write_text(CLEAN.replace("20,20,60,50", "30,20,60,50"))
    data_set("new", text=TURNED)
    assert validate("--since", "HEAD", "--reports", "out", "--json") == 1
    found = [(one["file"], one["rule"]) for one in json.loads(capsys.readouterr().out)]
    assert found == [
        ("data/changed/raw/boxes.csv", "drift_moved"),
        ("data/changed/raw/boxes.csv", "drift_sizes"),
        ("data/new/raw/boxes.csv", "corner_order"),
        ("data/new/raw/boxes.csv", "not_compared"),
    ]
    assert sorted(path.name for path in Path("out").iterdir()) == ["changed", "new"]
    summaries = [Path("out", name, "summary.md").read_text(encoding="utf-8") for name in ("changed", "new")]
    assert ["## Against the accepted file" in text for text in summaries] == [True, False]


def test_since_a_commit_a_set_without_its_images_is_reported_as_not_checked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data_set("mine")
    commit()
    data_set("bare", with_images=False)
    assert validate("--since", "HEAD", "--json") == 0
    found = [(one["file"], one["rule"]) for one in json.loads(capsys.readouterr().out)]
    assert found == [("data/bare/raw/boxes.csv", rule) for rule in ("images_not_checked", "not_compared")]


def test_since_a_commit_a_broken_config_is_critical_and_correcting_it_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = data_set("mine")
    commit()
    (folder / "dataset.yaml").write_text("title: [\n")
    assert validate("--since", "HEAD", "--json") == 1
    assert rules_in(capsys) == ["card_invalid"]
    git("commit", "--quiet", "--all", "--message", "broken")
    (folder / "dataset.yaml").write_text(CONFIG)
    assert validate("--since", "HEAD") == 0


def test_fetch_brings_what_a_sets_own_pipeline_makes_and_reports_what_it_could_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(folder: Path) -> str:
        if folder.name == "lost":
            return "ERROR: no remote"
        photos(folder / "raw" / "images")
        return ""

    monkeypatch.setattr("localizer.datasets.versions.fetch.fetch", fetch)
    Path("README.md").write_text("x")
    commit()
    for name in ("lost", "there"):
        data_set(name, with_images=False)
    assert validate("--since", "HEAD", "--fetch", "--json") == 0
    printed = capsys.readouterr()
    assert "data/lost: not fetched, ERROR: no remote\n" in printed.err
    unchecked = [one["file"] for one in json.loads(printed.out) if one["rule"] == "images_not_checked"]
    assert unchecked == ["data/lost/raw/boxes.csv"]


MIRROR = os.environ.get("LOCALIZER_MIRROR", "")
RACCOON = Path(MIRROR, "datitran", "raccoon_dataset").absolute()
BCCD = Path(MIRROR, "Shenggan", "BCCD_Dataset", "BCCD").absolute()
real = pytest.mark.skipif(not MIRROR, reason="LOCALIZER_MIRROR names no mirror")
# All copies, by number: see the mirror's README.
GROUPS = [{11, 116}, {83, 120}, {65, 98}, {50, 52, 74}, {21, 45}, {51, 85}]


def real_findings(folder: Path, *arguments: object) -> pd.DataFrame:
    """Return the findings on a real set, with an exit status of 0 or 1, working in a folder."""
    with contextlib.chdir(folder):
        assert validate(*arguments, "--reports", "out") in (0, 1)
    return read_table(folder / "out" / "findings.csv")


@pytest.fixture(scope="module")
def raccoon(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    source = RACCOON / "data" / "raccoon_labels.csv"
    return real_findings(tmp_path_factory.mktemp("raccoon"), source, "--images", RACCOON / "images")


@real
def test_raccoons_are_detected_and_read_as_counted_from_1(raccoon: pd.DataFrame) -> None:
    assert "counted_from_one" not in set(raccoon["rule"])


@real
def test_three_raccoons_are_grey(raccoon: pd.DataFrame) -> None:
    (got,) = raccoon.loc[raccoon["rule"] == "image_mode", "got"]
    assert got.startswith("3 images in another mode: ")


@real
def test_eight_raccoons_are_equal_files(raccoon: pd.DataFrame) -> None:
    equal = raccoon.loc[raccoon["rule"] == "duplicate_content", "file"]
    assert {int(name) for name in equal.str.extract(r"raccoon-(\d+)\.jpg", expand=False)} == {
        *(11, 116, 83, 120, 65, 98, 52, 74)
    }


@real
def test_the_copies_of_raccoons_are_found_in_their_six_groups(raccoon: pd.DataFrame) -> None:
    groups: list[set[int]] = []
    copies = raccoon[raccoon["rule"].isin(["duplicate_content", "near_duplicate"])]
    for text in copies["file"] + " " + copies["got"]:
        names = {int(number) for number in re.findall(r"raccoon-(\d+)\.jpg", text)}
        joined = [group for group in groups if group & names]
        groups = [group for group in groups if not group & names] + [names.union(*joined)]
    assert sorted(map(sorted, groups)) == sorted(map(sorted, GROUPS))


@real
def test_the_boxes_of_copied_raccoons_agree_at_an_iou_of_80_to_97_hundredths(raccoon: pd.DataFrame) -> None:
    copies = raccoon[raccoon["rule"].isin(["duplicate_content", "near_duplicate"])]
    agreed = copies["got"].str.extract(r"; their boxes agree at an IoU of (\d\.\d\d)$", expand=False).astype(float)
    assert len(agreed) == 14
    assert (agreed.min(), agreed.max()) == (0.8, 0.97)


@real
def test_by_their_config_raccoons_are_counted_from_1_and_pass(tmp_path: Path) -> None:
    source, card = RACCOON / "data" / "raccoon_labels.csv", DATA / "raccoon" / "dataset.yaml"
    found = real_findings(tmp_path, source, "--images", RACCOON / "images", "--config", card)
    assert found["rule"].value_counts().to_dict() == {
        "duplicate_content": 8,
        "near_duplicate": 6,
        "image_mode": 1,
        "several_boxes": 33,
    }
    assert set(found["severity"]) == {"warning"}


@real
def test_two_cells_of_bccd_have_a_box_of_no_area(tmp_path: Path) -> None:
    found = real_findings(tmp_path, BCCD / "Annotations", "--images", BCCD / "JPEGImages")
    flat = found[found["rule"] == "corner_order"]
    assert len(flat.drop_duplicates(["file", "line"])) == 2
    assert set(flat["severity"]) == {"critical"}
