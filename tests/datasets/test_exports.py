"""Annotation files as people have them: each is converted to the right boxes, or refused where that is right."""

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType

import pytest

from localizer.cli import main

EXPORTS = Path(os.environ.get("LOCALIZER_EXPORTS", ""))
CASES = sorted(path.parent.name for path in EXPORTS.glob("*/case.json")) if EXPORTS.name else []
needs_exports = pytest.mark.skipif(not CASES, reason="LOCALIZER_EXPORTS names no cases")


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check", EXPORTS / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs_exports
@pytest.mark.parametrize("name", CASES)
def test_an_export_gives_its_boxes(
    name: str, check: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case, out = EXPORTS / name, tmp_path / "out.csv"
    told = json.loads((case / "case.json").read_text())
    monkeypatch.chdir(case)
    status = main(["convert", told["annotations"], "--images", told["images"], "--to", "csv", "--output", str(out)])
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("read as ")]
    if status:
        assert told["expect"] == "refuse" or "trap" in told, error
        return
    assert told["expect"] == "boxes"
    expected, optional = (check.rows(case / f"{kind}.csv") for kind in ("expected", "optional"))
    assert check.compare(check.rows(out), expected, optional, told["label"]) == ""
    images = {line.split(",")[0].strip('"') for line in out.read_text().splitlines()[1:]}
    assert [image for image in images if not (case / told["images"] / image).is_file()] == []


@needs_exports
def test_no_case_is_missing() -> None:
    assert len(CASES) >= 39
