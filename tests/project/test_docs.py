"""The README and docs/: commands, parameters, paths and links are real, and the site loads nothing from elsewhere."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.main import get_command

from docs import findings, generate
from localizer.boxes import FORMATS
from localizer.cli import app, main
from localizer.config import flatten, read_yaml
from localizer.dataset import CsvColumns, DatasetConfig, Drift, GitSource
from localizer.evaluation.evaluate import EvaluationResult
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.report import summary
from localizer.validation.rules.box_rules import BOX_RULES, several_boxes, small_box, value_rules
from localizer.validation.rules.image_rules import COLUMN_RULES, IMAGE_RULES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "bench/README.md", *PAGES]
PARAMS = flatten(read_yaml(ROOT / "params.yaml"))
FINDINGS = ROOT / "docs/reference/findings.md"
SITE = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
FINDING_MAKERS = {"critical", "warning", "bad_file", "add_fault", "_fault"}  # functions that make a finding
OUTPUTS = ("tables/", "models/", "reports/")


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def scripts(path: Path) -> list[str]:
    """Return the blocks of shell commands of a page."""
    blocks = re.findall(r"```bash\n(.*?)```", text_of(path), re.DOTALL)
    return [re.sub("^ {4}", "", block, flags=re.MULTILINE) for block in blocks]


def commands(path: Path, program: str) -> list[str]:
    """Return the arguments of each call of a program in a page, comments and what follows a pipe cut off."""
    lines = "\n".join(scripts(path)).replace("\\\n", " ")
    lines = re.sub(r"\$\([^)]*\)", "one other", lines)
    calls = re.findall(rf"(?:^|&& |; |=\S+ ){program} ([^|&\n]*)", lines, re.MULTILINE)
    return [call.partition(" #")[0].strip() for call in calls]


def named(path: Path, pattern: str) -> list[str]:
    """Return what matches in the inline code of a page."""
    code = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text_of(path), flags=re.DOTALL))
    return [span for span in code if re.fullmatch(pattern, span)]


def made_by_dvc() -> Iterator[str]:
    """Yield what the pipeline's stages write."""
    for stage in read_yaml(ROOT / "dvc.yaml")["stages"].values():
        for kind in ("outs", "metrics", "plots"):
            yield from (next(iter(entry)) if isinstance(entry, dict) else entry for entry in stage.get(kind, []))


def pages_of(nav: object) -> Iterator[str]:
    """Yield the pages of a navigation."""
    for entry in nav if isinstance(nav, list) else [nav]:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from [value] if isinstance(value, str) else pages_of(value)


def test_the_readme_has_at_most_120_lines() -> None:
    assert len(text_of(README).splitlines()) <= 120


def test_the_readme_and_the_tutorial_show_the_committed_results() -> None:
    folder = ROOT / "reports/evaluate"
    rows = pd.read_csv(folder / "measures.csv").set_index("measure").astype(float)
    metrics = {str(name): Estimate(*row) for name, row in zip(rows.index, rows.to_numpy(), strict=True)}
    images = pd.read_csv(folder / "predictions.csv")
    shown = summary(EvaluationResult(images, metrics, images[:0], images[:0], (0, 1)))
    assert shown in text_of(README)
    assert shown in text_of(ROOT / "docs/tutorial.md")
    iou = metrics["mean_iou"]
    assert f"**{iou.value:.3f}** [{iou.low:.3f} to {iou.high:.3f}]" in text_of(README)


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_shell_block_is_valid(path: Path) -> None:
    for script in scripts(path):
        done = subprocess.run(["bash", "-n"], input=script.replace("…", "x"), text=True, capture_output=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_command_of_localizer_is_understood(path: Path) -> None:
    for command in commands(path, "localizer"):
        name, *words = shlex.split(command)
        understood = get_command(app()).commands[name]  # type: ignore[attr-defined]
        assert "--help" in words or understood.make_context(name, words)


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_make_target_is_real(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), re.MULTILINE))
    used = [word for command in commands(path, "make") for word in command.split() if "=" not in word]
    used += [span.split()[1] for span in named(path, r"make [a-z-]+.*")]
    assert set(used) <= targets


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_parameter_is_real(path: Path) -> None:
    keys = re.findall(r"-S '?([\w.]+)=", text_of(path))
    keys += [
        span.split(":")[0] for span in named(path, r"(prepare|validate|split|train|evaluate|demo)\.\w+(\.\w+)?(: .*)?")
    ]
    known = {*PARAMS, *(key.rpartition(".")[0] for key in PARAMS)}
    assert not [key for key in keys if key not in known and not key.endswith((".py", ".csv", ".yaml"))]


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_named_file_exists_or_is_made(path: Path) -> None:
    made = [
        *made_by_dvc(),
        "reports/validate/data_docs",
        "reports/folds",
        "reports/promote/verdict.json",
        "reports/verify/certificate.json",
    ]
    made += ["models/localizer.onnx", "bench/results/cuda.json", "reports/gpu"]
    for place in named(path, r"(src|stages|tests|bench|docs|examples|server|\.github|tables|models|reports)/[\w./*-]+"):
        exists = bool(list(ROOT.glob(place.rstrip("/").replace("NAME", "*"))))
        assert exists or any(output.startswith(place) or place.startswith(f"{output}/") for output in made), place
    tests = {file.name for file in (ROOT / "tests").rglob("test_*.py")}
    assert set(named(path, r"test_\w+\.py")) <= tests


@pytest.mark.parametrize("path", sorted((ROOT / "docs/how-to").glob("add-*.md")), ids=name_of)
def test_every_name_on_a_page_about_the_code_is_in_the_code(path: Path) -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py"), ROOT / "params.yaml"]
    source = "".join(text_of(file) for file in files)
    names = {span.partition("(")[0] for span in named(path, r"[A-Za-z_]\w+(\([^`]*\))?")}
    assert names
    assert not [name for name in names if name not in source]


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_module_and_script_that_is_run_exists(path: Path) -> None:
    text = text_of(path)
    modules = re.findall(r"python -m ((?:bench|docs|localizer)[\w.]*)", text)
    places = [(f"**/{name.replace('.', '/')}.py", f"{name.replace('.', '/')}/__main__.py") for name in modules]
    assert not [one for one in places if not any(list(ROOT.glob(place)) for place in one)]
    files = re.findall(r"python ((?:stages|examples|tests)/[\w/.]+\.py)", text)
    assert not [name for name in files if not (ROOT / name).is_file()]


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_every_link_to_a_file_is_right(path: Path) -> None:
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text_of(path))
    assert not [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize(
    ("page", "section"), [("troubleshooting", "Troubleshooting"), ("share", "When the server is unreachable")]
)
def test_every_message_that_is_explained_is_one_of_the_code(page: str, section: str) -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "stages").glob("*.py")]
    source = re.sub(
        r"[\"']\s*\n\s*f?[\"']", "", "".join(text_of(file) for file in files)
    )  # one text of several literals
    text = re.split(rf"^#+ {section}.*$", text_of(ROOT / f"docs/how-to/{page}.md"), flags=re.MULTILINE)[1]
    rows = re.findall(r"^\| (.*?) \|", text if page == "troubleshooting" else text.partition("\n## ")[0], re.MULTILINE)
    messages = [code for row in rows for code in re.findall(r"`([^`]+)`", row) if not code.startswith("dvc ")]
    pieces = [piece.strip() for message in messages for piece in re.split(r"…|\(", message)]
    assert len(pieces) > 5
    assert not [piece for piece in pieces if len(piece) > 3 and piece not in source]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = list(pages_of(SITE["nav"]))
    assert sorted(listed) == sorted(path.relative_to(ROOT / "docs").as_posix() for path in PAGES)


@pytest.mark.parametrize("path", sorted((ROOT / "docs/reference").glob("*.md")), ids=lambda path: str(path.name))
def test_a_reference_page_is_what_the_code_gives(path: Path) -> None:
    assert text_of(path) == generate.page(path), "`make docs` updates it"


def test_every_parameter_has_a_comment_and_every_key_of_dataset_yaml_a_docstring() -> None:
    words = generate.comments(text_of(ROOT / "params.yaml"))
    assert not [key for key in PARAMS if not words[key]]
    for record in (DatasetConfig, CsvColumns, Drift, GitSource):
        assert set(generate.docstrings(record)) == set(record.model_fields)


def test_every_option_of_a_command_has_a_help_text() -> None:
    assert "|  |" not in text_of(ROOT / "docs/reference/cli.md")


def test_the_page_on_metrics_names_every_key_of_the_committed_results() -> None:
    page = text_of(ROOT / "docs/reference/metrics.md")
    for stage in ("validate", "split", "train", "evaluate"):
        keys = flatten(read_yaml(ROOT / f"reports/{stage}/metrics.json"))
        assert not [key for key in keys if f"`{key.rpartition('.')[2]}`" not in page]


def literal_rules() -> set[str]:
    """Return the rules whose findings are made by a call that names them, as in `critical(file, "no_rows", ...)`."""
    trees = [ast.parse(text_of(path)) for path in (ROOT / "src/localizer").rglob("*.py")]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = [call for call in calls if ast.unparse(call.func).split(".")[-1] in FINDING_MAKERS]
    literals = [argument for call in made for argument in call.args[:2] if isinstance(argument, ast.Constant)]
    return {text for text in (str(literal.value) for literal in literals) if re.fullmatch(r"[a-z_0-9]+", text)}


def test_the_page_on_rules_names_every_rule() -> None:
    page = text_of(ROOT / "docs/reference/rules.md")
    config = DatasetConfig(title="any", format="voc", annotations="xml", images="images")
    boxes = [*BOX_RULES, *value_rules(config), several_boxes(config), small_box(64)]
    found = {rule.name for rule in (*boxes, *IMAGE_RULES, *COLUMN_RULES)} | literal_rules()
    found |= {f"read_as_{name}" for name in FORMATS} | {f"drift_{name}" for name in Drift.model_fields}
    assert len(found) > 60
    assert not [name for name in found if f"`{name}`" not in page]


def test_the_page_on_findings_has_a_block_of_every_rule_that_the_page_on_rules_names() -> None:
    rows = re.findall(r"^\| (.*?) \|", text_of(ROOT / "docs/reference/rules.md"), re.MULTILINE)
    named = {rule for row in rows for rule in re.findall(r"`([a-z_0-9]+)`", row)}
    shown = re.findall(r"^## `(\w+)`\n\n(?:.+\n\n)?```text\n(.+\n)+```$", text_of(FINDINGS), re.MULTILINE)
    assert len(named) > 90
    assert [rule for rule, _ in shown] == sorted(named)
    assert set(findings.NOTES) <= named


@pytest.mark.slow
def test_the_example_of_findings_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = text_of(ROOT / "docs/how-to/own-data.md")
    (table,) = re.findall(r"```csv\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "boxes.csv").write_text(table, encoding="utf-8")
    (tmp_path / "photos").mkdir()
    for number, name in enumerate("abcd"):
        pixels = np.random.default_rng(number).integers(0, 255, (100, 120, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{name}.jpg")
    assert main(["validate", "boxes.csv", "--images", "photos/"]) == 1
    assert f"```text\n{capsys.readouterr().out}```" in page


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a copy of the site in a folder, as `make docs` does."""
    shutil.copy(ROOT / "zensical.toml", folder)
    shutil.copytree(ROOT / "docs", folder / "docs", dirs_exist_ok=True)
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_a_link_to_no_page_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/other.md").write_text("# Other\n\n[nowhere](nowhere.md)\n", encoding="utf-8")
    assert build(tmp_path).returncode != 0


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    built = list((tmp_path / "site").rglob("*.html"))
    assert len(built) >= len(PAGES)
    assert not list((tmp_path / "site").rglob("*.py"))
    assert not {address for path in built for address in loaded(text_of(path)) if is_outside(address)}
    styles = [text_of(path) for path in (tmp_path / "site").rglob("*.css")]
    imported = [address for style in styles for address in re.findall(r"(?:url\(|@import )[\"']?([^\"')\s;]+)", style)]
    assert not [address for address in imported if is_outside(address)]


def is_outside(address: str) -> bool:
    return re.match(r"(?:[a-z]+:)?//", address) is not None


class _Loads(HTMLParser):
    """Collects the addresses that a page loads; links that a reader follows are none."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.addresses += [value for name in ("src", "srcset", "data", "poster") if (value := values.get(name))]
        if tag == "link" and values.get("rel") not in ("canonical", "next", "prev"):
            self.addresses.append(values.get("href") or "")
        self.addresses += re.findall(r"url\([\"']?([^\"')]+)", values.get("style") or "")


def loaded(html: str) -> list[str]:
    """Return the addresses that a page loads, also from its own styles."""
    page = _Loads()
    page.feed(html)
    styles = "\n".join(re.findall(r"<style[^>]*>(.*?)</style>", html, re.DOTALL))
    return page.addresses + re.findall(r"(?:url\(|@import )[\"']?([^\"')\s;]+)", styles)


def test_links_to_follow_are_not_loads() -> None:
    html = (
        '<a href="https://a.org">a</a><script src="//b.org/x.js"></script><style>@import "https://c.org/d.css";</style>'
    )
    assert [address for address in loaded(html) if is_outside(address)] == ["//b.org/x.js", "https://c.org/d.css"]
