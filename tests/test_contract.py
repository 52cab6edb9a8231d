"""Holds the house together: what the code does, what the YAML says and what the README's map shows agree."""

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest

import localizer
from localizer.config import read_yaml

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("prepare", "validate", "split", "train", "evaluate")
PIPELINE = read_yaml(ROOT / "dvc.yaml")["stages"]
PARAMS = read_yaml(ROOT / "params.yaml")
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CODE = [*SOURCES, *sorted((ROOT / "stages").glob("*.py"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DATA_SETS = {path.parent.name: read_yaml(path)["stages"] for path in sorted(ROOT.glob("data/*/dvc.yaml"))}

# The floors, from the ground up. A wing imports from below, never from another on its floor; ground modules may.
FLOORS = (
    ("boxes", "calibration", "config", "dataset", "device", "files", "findings", "former_names", "progress", "tables"),
    ("images", "pipeline"),
    ("drawing", "model", "probing", "tracking"),
    ("datasets", "predictor"),
    ("splitting", "validation"),
    ("evaluation", "training"),
    ("comparison", "cross_validation", "lineage", "serving", "verification"),
    ("commands",),
    ("cli",),
)
# Who alone may import what, by the module's path below src/localizer.
ONE_IMPORTER = {
    "mlflow": ("tracking/", "serving/pyfunc.py"),
    "great_expectations": ("validation/expectations.py",),
    "defusedxml": ("datasets/readers/xml_text.py",),
    "globox": ("datasets/writers.py",),
    "onnx": ("serving/onnx.py",),
    "onnxruntime": ("serving/onnx.py",),
    "fastapi": ("serving/web_app.py",),
    "uvicorn": ("serving/web_app.py",),
    "starlette": ("serving/web_app.py", "serving/http_security.py"),
    "ruamel": ("config.py", "datasets/create.py"),
}


def imported(path: Path) -> set[str]:
    """Return the dotted names that a file imports, at whatever depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def project_files(path: Path) -> set[Path]:
    """Return the files of the package that a file imports: each module, and the packages around it and the file."""
    files = {folder / "__init__.py" for folder in path.parents if folder.is_relative_to(ROOT / "src/localizer")}
    for name in imported(path):
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            place = (ROOT / "src").joinpath(*parts[:length])
            files |= {file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file()}
    return files


def closure(path: Path) -> set[str]:
    """Return a file and all of the project that it needs, but for what only writes to MLflow, which is no output."""
    todo, seen = [path], set()
    while todo:
        file = todo.pop()
        if file not in seen and "tracking" not in file.parts:
            seen.add(file)
            todo += project_files(file)
    return {file.relative_to(ROOT).as_posix() for file in seen}


def units(paths: set[str]) -> set[str]:
    """Return what a stage depends on so that these files are among it: a stage script, a ground module, a wing."""
    parts = (path.split("/") for path in paths)
    return {"/".join(part[:3] if part[0] == "src" else part) for part in parts}


def paths_of(stage: dict[str, Any], kind: str) -> set[str]:
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in stage.get(kind, [])}


def code_deps(stage: dict[str, Any]) -> set[str]:
    return {path for path in paths_of(stage, "deps") if path.startswith(("src/", "stages/"))}


def written(stage: dict[str, Any]) -> set[str]:
    return set().union(*(paths_of(stage, kind) for kind in ("outs", "metrics", "plots")))


def module_of(name: str) -> Any:
    return importlib.import_module(f"stages.{name}")


def wing_of(path: Path) -> str:
    return path.relative_to(ROOT / "src" / "localizer").parts[0].removesuffix(".py")


def floor_of(path: Path) -> int:
    return next(number for number, wings in enumerate(FLOORS) if wing_of(path) in wings)


def test_the_package_under_test_is_this_checkouts() -> None:
    assert Path(str(localizer.__file__)).is_relative_to(ROOT)


def test_the_pipeline_has_the_five_stages_in_order() -> None:
    assert tuple(PIPELINE) == STAGES


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_is_a_script_that_takes_the_package_from_its_own_checkout(name: str) -> None:
    assert PIPELINE[name]["cmd"] == f"PYTHONUTF8=1 PYTHONPATH=src python stages/{name}.py"


@pytest.mark.parametrize("name", STAGES)
def test_a_stages_code_deps_are_the_wings_and_ground_modules_that_it_imports_from(name: str) -> None:
    assert code_deps(PIPELINE[name]) == units(closure(ROOT / "stages" / f"{name}.py"))
    assert len(code_deps(PIPELINE[name])) <= 15


@pytest.mark.parametrize(
    "changed",
    [
        "src/localizer/datasets/readers/new.py",
        "src/localizer/validation/rules/box_rules.py",
        "src/localizer/probing/metadata.py",
        "src/localizer/drawing.py",
        "src/localizer/splitting/report.py",
        "src/localizer/evaluation/metrics.py",
        "src/localizer/tracking/run.py",
        "src/localizer/commands/predict.py",
        "src/localizer/cli.py",
        "stages/evaluate.py",
    ],
)
def test_a_change_elsewhere_retrains_nothing(changed: str) -> None:
    """As long as it leaves the split as it is: training depends on that, and on what turns images into weights."""
    inside = {folder.as_posix() for folder in (Path(changed), *Path(changed).parents)}
    assert not inside & paths_of(PIPELINE["train"], "deps")
    assert (ROOT / changed).exists() or Path(changed).name == "new.py"


def test_a_change_of_the_network_the_loop_or_the_reading_of_images_retrains() -> None:
    folders = {"src/localizer/images", "src/localizer/model", "src/localizer/training"}
    assert folders <= paths_of(PIPELINE["train"], "deps")


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_a_data_sets_code_deps_are_what_its_command_imports(name: str) -> None:
    (stage,) = DATA_SETS[name].values()
    module = re.search(r"python -m localizer\.([\w.]+)", stage["cmd"])
    assert module
    assert code_deps(stage) == closure(ROOT / "src/localizer" / (module[1].replace(".", "/") + ".py"))


@pytest.mark.parametrize("name", STAGES)
def test_every_path_that_a_stage_names_is_known_to_dvc(name: str) -> None:
    named = {value for value in vars(module_of(name)).values() if isinstance(value, Path)}
    named -= {path for path in named if path.parts[0] == ".localizer"}  # no outputs: what may be lost at any time
    known = {Path(path) for path in paths_of(PIPELINE[name], "deps") | written(PIPELINE[name])}
    folders = {folder for path in known for folder in path.parents}
    assert {path for path in named if path not in known and path not in folders} == {Path("params.yaml")} & named


@pytest.mark.parametrize("name", STAGES)
def test_every_output_and_table_in_dvc_yaml_is_named_in_the_stage(name: str) -> None:
    named = {value.as_posix() for value in vars(module_of(name)).values() if isinstance(value, Path)}
    tables = {path for path in paths_of(PIPELINE[name], "deps") if path.startswith(("tables/", "models/"))}
    beside = {str(Path(path).with_suffix(".json")) for path in named if path.endswith(".safetensors")}
    assert (written(PIPELINE[name]) | tables) <= named | beside


@pytest.mark.parametrize("name", STAGES)
def test_prepare_alone_depends_on_raw_and_who_else_reads_images_on_a_table_with_their_digests(name: str) -> None:
    readers = {"src/localizer/images/decoding.py", "src/localizer/probing/metadata.py"}
    reads = readers & closure(ROOT / f"stages/{name}.py")
    deps = paths_of(PIPELINE[name], "deps")
    assert ("data/${prepare.dataset}/raw" in deps) == (name == "prepare")
    assert not reads or deps & {
        "data/${prepare.dataset}/raw",
        "tables/images.csv",
        "tables/clean.csv",
        "tables/split.csv",
    }


@pytest.mark.parametrize("name", [*STAGES, "demo"])
def test_a_params_section_has_exactly_the_fields_of_its_record(name: str) -> None:
    module = importlib.import_module("localizer.datasets.synthetic") if name == "demo" else module_of(name)
    (record,) = [value for key, value in vars(module).items() if key == f"{name.capitalize()}Params"]
    assert set(PARAMS[name]) == set(record.model_fields)
    for key, values in PARAMS[name].items():
        if isinstance(values, dict):
            assert set(values) == set(record.model_fields[key].annotation.model_fields)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_its_own_params_alone(name: str) -> None:
    assert PIPELINE[name]["params"] == [name]


def test_no_params_section_is_read_by_nobody() -> None:
    assert set(PARAMS) == {*STAGES, "demo"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT / "src").as_posix())
def test_imports_point_down(path: Path) -> None:
    if path.parent == ROOT / "src/localizer" and path.name == "__init__.py":
        assert not imported(path)
        return
    here = path.relative_to(ROOT / "src" / "localizer").parts[0]
    above = {
        other
        for other in project_files(path)
        if other.parent != ROOT / "src/localizer" or other.name != "__init__.py"
        if other.relative_to(ROOT / "src" / "localizer").parts[0] != here
        if floor_of(other) > floor_of(path) or (floor_of(other) == floor_of(path) and floor_of(path) > 0)
    }
    assert not above


@pytest.mark.parametrize("library", sorted(ONE_IMPORTER))
def test_a_library_has_one_importer(library: str) -> None:
    users = [path for path in CODE if any(name.split(".")[0] == library for name in imported(path))]
    strangers = [
        path
        for path in users
        if not path.is_relative_to(ROOT / "src/localizer")
        or not path.relative_to(ROOT / "src/localizer").as_posix().startswith(ONE_IMPORTER[library])
    ]
    assert users
    assert not strangers


def test_what_makes_outputs_knows_nothing_of_tracking() -> None:
    free = {wing for floor in FLOORS[:6] for wing in floor} - {"tracking"}
    users = {path for path in SOURCES if wing_of(path) in free and "localizer.tracking" in imported(path)}
    assert not users


def test_only_config_names_params_yaml() -> None:
    named = set()
    for path in CODE:
        texts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
        named |= {path.name for text in texts if text == "params.yaml"}
    assert named == {"config.py"}


@pytest.mark.parametrize("path", CODE, ids=lambda path: path.name)
def test_no_file_grows_past_one_sitting_and_no_function_past_one_screen(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 30}
    assert text.count("\n") <= 250
    assert not long


def test_the_base_installs_neither_torch_nor_mlflow_nor_great_expectations() -> None:
    base = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split("[project.optional-dependencies]")[0]
    assert not re.search(r'"(torch|torchvision|mlflow|great-expectations)\b', base)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-validate.lock", "requirements-server.lock"])
def test_a_lock_has_hashes_and_no_address(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    assert "://" not in lock
    assert all("\\\n    --hash=sha256:" in entry for entry in re.findall(r"^\S+==[^\n]*\n[^\n]*", lock, re.MULTILINE))


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("requirements-validate.lock", ("torch", "torchvision", "mlflow")),
        ("requirements-server.lock", ("torch", "torchvision", "dvc")),
    ],
    ids=["validation", "the server"],
)
def test_a_part_installs_little_and_the_versions_of_the_whole(name: str, without: tuple[str, ...]) -> None:
    whole, part = ((ROOT / lock).read_text() for lock in ("requirements.lock", name))
    versions = re.findall(r"^\S+==\S+", part, re.MULTILINE)
    assert not [one for one in versions if one.split("==")[0] in without]
    assert versions
    assert set(versions) <= set(re.findall(r"^\S+==\S+", whole, re.MULTILINE))


@pytest.mark.parametrize("stage", ["prepare", "validate", "split"])
def test_no_torch_is_on_the_path_of_a_stage_before_training(stage: str) -> None:
    needed = {name.split(".")[0] for file in closure(ROOT / f"stages/{stage}.py") for name in imported(ROOT / file)}
    assert not needed & {"torch", "torchvision", "safetensors"}


def test_every_action_is_pinned_to_a_commit() -> None:
    used = [use for path in ROOT.glob(".github/workflows/*.yml") for use in re.findall(r"uses: (.*)", path.read_text())]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", use) for use in used)


def readme_map() -> list[str]:
    """Return the paths of the README's map, in order."""
    folders: list[str] = []
    paths = []
    for line in README.split("## Repository map\n", 1)[1].split("```", 2)[1].strip().splitlines()[1:]:
        indent, name = len(line) - len(line.lstrip()), line.split()[0]
        folders = [*folders[: indent // 2], name]
        paths.append("".join(folders))
    return paths


def test_every_path_in_the_readmes_map_exists() -> None:
    assert not [path for path in readme_map() if not list(ROOT.glob(path.replace("NAME", "*")))]


def test_the_readmes_map_has_the_wings_from_the_ground_up() -> None:
    wings = [path.split("/")[2].removesuffix(".py") for path in readme_map() if path.startswith("src/localizer/")]
    floors = [next((n for n, names in enumerate(FLOORS) if wing in names), 0) for wing in wings if wing]
    assert floors == sorted(floors)
    assert set(wings) == {"", "*", *(wing for floor in FLOORS[1:] for wing in floor if wing != "cli")}


def test_the_picture_of_the_layers_has_every_wing_on_its_floor() -> None:
    picture = (ROOT / "docs/img/layers.svg").read_text(encoding="utf-8")
    rows = re.findall(r'font-weight="600"[^>]*>([^<]+)</text>', picture)[::-1]
    shown = [set(row.split(", ")) - {"stages"} for row in rows]
    assert shown == [*(set(floor) for floor in FLOORS[:-2]), {*FLOORS[-2], *FLOORS[-1]}]
