"""The command `localizer doctor`: what can stop the pipeline is a row with a fix, and no row has a secret."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import partial
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from localizer.cli import main
from localizer.commands import doctor
from localizer.commands.diagnosis import checkout, machine
from localizer.commands.diagnosis.check import Check

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("hunter2", "s3cr3t", "t0ken")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which the pipeline can run, with a commit; the working directory."""
    folder = tmp_path / "clone"
    for name in (".dvc/config", "dvc.yaml", "params.yaml", "data/demo/dataset.yaml", "data/demo/dvc.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for name in checkout.IDENTITY.values():
        monkeypatch.delenv(name, raising=False)
    git("init", "--quiet")
    git("config", "user.name", "A")
    git("config", "user.email", "a@example.org")
    git("commit", "--quiet", "--allow-empty", "--message", "first")
    return folder


def git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)


def replace(path: str, old: str, new: str) -> None:
    text = Path(path).read_text(encoding="utf-8")
    assert old in text
    Path(path).write_text(text.replace(old, new), encoding="utf-8")


def set_free_disk(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))


def remove_library(monkeypatch: pytest.MonkeyPatch, *missing: str) -> None:
    """Make libraries missing, for the metadata as for imports."""
    installed = metadata.version

    def version(name: str) -> str:
        if name in missing:
            raise metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(metadata, "version", version)
    for name in missing:
        monkeypatch.setitem(sys.modules, name, None)


def test_nothing_stops_the_pipeline_in_a_fresh_clone(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert main(["doctor"]) == 0
    lines = capsys.readouterr().out.splitlines()
    states = {line[9:20].strip(): line.split()[0] for line in lines[:-1] if line[0] != " "}
    assert [*states] == [*machine.CHECKS, *checkout.CHECKS]
    assert {name for name, state in states.items() if state != "ok"} == {"checkout"}  # the code is not that clone's
    assert lines[-1] == "nothing stops the pipeline: 0 problems, 1 warning"
    assert len(lines) <= 24


def test_the_rows_fit_in_100_columns(root: Path) -> None:
    checks = machine.CHECKS | {name: partial(check, root) for name, check in checkout.CHECKS.items()}
    for name in checks.keys() - {"checkout", "machine", "python"}:  # paths and names of processors have any length
        assert len(checks[name]().found) <= 80, name


def test_outside_of_a_checkout_the_machine_is_shown_and_the_pipeline_cannot_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = dict(doctor.diagnose(checkout.find_checkout(tmp_path)))
    assert [*rows] == [*machine.CHECKS, "checkout", "disk"]
    assert rows["checkout"] == Check(
        "problem", f"none with a pipeline around {tmp_path}", "cd to your clone of Localizer"
    )


def test_a_checkout_is_found_from_a_folder_in_it(root: Path) -> None:
    assert checkout.find_checkout(root / "data/demo") == root


def test_a_repository_without_a_pipeline_is_no_checkout(tmp_path: Path) -> None:
    git("init", "--quiet")
    assert checkout.find_checkout(tmp_path) is None


def test_the_exit_status_is_1_for_a_problem(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "CHECKS", {})
    monkeypatch.setattr(checkout, "CHECKS", {"disk": checkout.check_disk})
    set_free_disk(monkeypatch, 0)
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out.endswith("the pipeline can't run here: 1 problem, 0 warnings\n")


def test_a_check_that_fails_is_a_row_without_the_text_of_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_python() -> Check:
        raise KeyError("hunter2")

    monkeypatch.setattr(machine, "CHECKS", {"python": check_python})
    ((name, check), *_) = doctor.diagnose(None)
    assert (name, check.state) == ("python", "warning")
    assert re.fullmatch(r"unknown: KeyError at test_doctor\.py:\d+", check.found)


def test_the_version_has_the_commit_and_how_many_files_changed() -> None:
    assert re.fullmatch(r"[\d.]+, commit [0-9a-f]{7,}, \d+ changed files?", machine.check_version().found)


def test_a_package_outside_of_a_checkout_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SOURCE", tmp_path)
    assert machine.check_version().found.endswith(", not from a git checkout")


def test_a_missing_library_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    remove_library(monkeypatch, "mlflow")
    check = machine.check_libraries(("mlflow", "dvc"))
    assert check.state == "problem"
    assert check.found == f"mlflow is missing, dvc {metadata.version('dvc')}"
    assert "pip install '.[train,validate]'" in check.fix


def test_without_torch_every_row_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove_library(monkeypatch, "torch")
    rows = dict(doctor.diagnose(root))
    assert [*rows] == [*machine.CHECKS, *checkout.CHECKS]
    assert [rows[name].state for name in ("training", "device", "threads")] == ["problem", "problem", "warning"]
    assert rows["threads"].found == "unknown: import of torch halted; None in sys.modules"


def test_a_missing_extra_is_no_warning_and_comes_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "EXTRAS", {"here": ("dvc",), "heic": ("dvc", "none-such"), "s3": ("none-such",)})
    assert machine.check_extras() == Check("ok", "here (to add: pip install '.[heic,s3]')")


def test_the_extras_are_those_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = {extra: "".join(project["optional-dependencies"][extra]) for extra in machine.EXTRAS}
    for extra, libraries in machine.EXTRAS.items():
        assert all(library in lines[extra].replace("dvc[s3]", "dvc-s3") for library in libraries)


def test_a_gpu_is_named_with_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(total_memory=143_000_000_000)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H200")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert machine.check_device() == Check("ok", "NVIDIA H200, one of 8, 143.0 GB, with bfloat16; CUDA 13.0")


def test_a_gpu_that_torch_cannot_use_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(machine, "GPU", tmp_path / "none")
    assert machine.check_device().state == "ok"
    monkeypatch.setattr(machine, "GPU", tmp_path)
    assert machine.check_device().state == "warning"


def test_more_threads_than_cores_are_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.check_threads() == Check("ok", "2 threads of torch on 2 cores; OMP_NUM_THREADS is not set")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert machine.check_threads().fix == "export OMP_NUM_THREADS=2"


def test_code_of_another_checkout_is_a_warning(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout.check_place(root).state == "warning"
    monkeypatch.setattr(checkout, "SOURCE", root)
    assert checkout.check_place(root) == Check("ok", str(root))


def test_a_missing_identity_is_a_warning(root: Path) -> None:
    assert checkout.check_git(root).state == "ok"
    git("config", "--unset", "user.email")
    assert checkout.check_git(root) == Check(
        "warning", "user.email not set, which `git commit` needs", 'git config --global user.email "YOUR EMAIL"'
    )


def test_an_identity_may_be_in_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("config", "--unset", "user.email")
    monkeypatch.setenv("GIT_COMMITTER_EMAIL", "a@example.org")
    assert checkout.check_git(root).state == "ok"


def test_a_repository_without_a_commit_is_a_warning(root: Path) -> None:
    shutil.rmtree(".git")
    git("init", "--quiet")
    check = checkout.check_git(root)
    assert (check.state, check.fix) == ("warning", "git add . && git commit -m 'First commit'")


def test_no_repository_is_a_problem(root: Path) -> None:
    shutil.rmtree(".git")
    assert checkout.check_git(root).state == "problem"


def test_without_git_every_row_is_there(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rows = dict(doctor.diagnose(root))
    assert [*rows] == [*machine.CHECKS, *checkout.CHECKS]
    assert rows["git"] == Check("warning", "not installed, so runs don't record their commit", "install git")


def test_a_repository_that_git_refuses_is_a_warning_with_its_message(root: Path) -> None:
    Path(".git/config").write_text("[core]\n\trepositoryformatversion = 9\n")
    check = checkout.check_git(root)
    assert check.state == "warning"
    assert "fatal: " in check.found


def test_missing_parts_of_dvc_are_a_problem(root: Path) -> None:
    assert checkout.check_dvc(root) == Check("ok", "5 stages, not locked")
    shutil.rmtree(".dvc")
    Path("dvc.yaml").unlink()
    assert checkout.check_dvc(root) == Check("problem", ".dvc and dvc.yaml missing", "git restore .dvc dvc.yaml")


def test_a_damaged_dvc_yaml_is_a_problem_with_its_line(root: Path) -> None:
    Path("dvc.yaml").write_text("stages:\n  a: [\n")
    check = checkout.check_dvc(root)
    assert check.state == "problem"
    assert check.found.startswith("dvc.yaml:3: not valid YAML: ")


def test_settings_that_dvc_refuses_are_a_problem_without_their_text(root: Path) -> None:
    Path(".dvc/config.local").write_text("password hunter2\n")
    check = checkout.check_dvc(root)
    assert check == Check("problem", "DVC can't read its settings", "correct what `dvc config --list` reports")
    assert checkout.check_caches(root).state == "ok"


def test_a_running_stage_is_a_warning_and_one_that_was_killed_is_none(root: Path) -> None:
    Path(".dvc/tmp").mkdir()
    ended = subprocess.Popen(["true"])
    ended.wait()
    for process, state in ((os.getpid(), "warning"), (ended.pid, "ok")):
        owner = {"pid": process, "cmd": "dvc repro"}
        Path(".dvc/tmp/rwlock").write_text(json.dumps({"read": {"/a": [owner]}, "write": {"/b": owner}}))
        assert checkout.check_dvc(root).state == state


def test_a_dvc_command_that_holds_the_lock_is_a_warning(root: Path) -> None:
    from dvc.lock import Lock

    Path(".dvc/tmp").mkdir()
    with Lock(".dvc/tmp/lock"):
        assert checkout.check_dvc(root).found == f"locked by process {os.getpid()}"
    assert checkout.check_dvc(root).state == "ok"


def test_a_damaged_lock_is_a_problem(root: Path) -> None:
    Path(".dvc/tmp").mkdir()
    Path(".dvc/tmp/rwlock").write_text("{")
    assert checkout.check_dvc(root) == Check("problem", ".dvc/tmp/rwlock is damaged", "rm .dvc/tmp/rwlock")


@pytest.mark.parametrize("section", checkout.SECTIONS)
def test_an_unknown_parameter_of_any_section_is_a_problem(root: Path, section: str) -> None:
    replace("params.yaml", f"\n{section}:", f"\n{section}:\n  shade: 1\n#")
    check = checkout.check_params(root)
    assert check.state == "problem"
    assert f"params.yaml: {section}" in check.found


def test_valid_parameters_are_ok(root: Path) -> None:
    assert checkout.check_params(root) == Check("ok", "params.yaml is valid")


def test_of_several_wrong_parameters_the_first_is_shown(root: Path) -> None:
    replace("params.yaml", "batch_size: 32", "batch_size: none")
    replace("params.yaml", "epochs: 24", "epochs: -1")
    check = checkout.check_params(root)
    assert check.found.startswith("params.yaml: train.epochs: ")
    assert check.found.endswith(" (and 1 more)")


def test_missing_parameters_are_a_problem(root: Path) -> None:
    Path("params.yaml").unlink()
    assert checkout.check_params(root) == Check("problem", "params.yaml missing", "git restore params.yaml")
    assert checkout.check_dataset(root).state == "problem"


def test_a_missing_data_set_is_a_problem(root: Path) -> None:
    replace("params.yaml", "dataset: demo", "dataset: mine")
    check = checkout.check_dataset(root)
    assert check.state == "problem"
    assert check.found.startswith("data/mine/dataset.yaml: no such data set; known: demo")
    assert check.fix == "set prepare.dataset in params.yaml"


def test_a_wrong_dataset_yaml_is_a_problem(root: Path) -> None:
    Path("data/demo/dataset.yaml").write_text("title: t\n")
    check = checkout.check_dataset(root)
    assert check.state == "problem"
    assert check.fix == "correct data/demo/dataset.yaml"


def test_raw_that_a_stage_creates_may_be_missing_and_any_other_may_not(root: Path) -> None:
    assert checkout.check_dataset(root) == Check("ok", "demo; `dvc repro` creates its raw/")
    Path("data/demo/dvc.yaml").unlink()
    check = checkout.check_dataset(root)
    assert check.state == "problem"
    assert check.found == "data/demo/raw/annotations.csv and data/demo/raw/images missing"
    assert check.fix.startswith("dvc pull --recursive data/demo")
    Path("data/demo/raw/images").mkdir(parents=True)
    Path("data/demo/raw/annotations.csv").touch()
    assert checkout.check_dataset(root) == Check("ok", "demo")


@pytest.mark.parametrize(("free", "state"), [(2_000_000_000, "ok"), (1_900_000_000, "warning"), (0, "problem")])
def test_little_free_disk_is_a_warning_and_none_a_problem(
    root: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str
) -> None:
    set_free_disk(monkeypatch, free)
    assert checkout.check_disk(root).state == state


def test_sizes_of_caches_are_those_of_their_files(root: Path) -> None:
    Path(".localizer/decoded").mkdir(parents=True)
    for name in (".localizer/a", ".localizer/decoded/b"):
        with Path(name).open("wb") as file:
            file.truncate(750_000_000)
    Path("mlartifacts").mkdir()
    assert checkout.check_caches(root).found == "DVC none, .localizer 1.5 GB, mlartifacts 0 MB"


def test_a_cache_that_takes_long_to_count_is_more_than_what_was_counted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("mlartifacts").mkdir()
    Path("mlartifacts/a").touch()
    monkeypatch.setattr(checkout, "SIZES_S", -1)
    assert checkout.check_caches(root).found == "DVC none, .localizer none, mlartifacts more than 0 MB"


def test_the_size_of_dvcs_cache_is_that_of_the_folder_in_its_settings(root: Path, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    with (tmp_path / "shared/a").open("wb") as file:
        file.truncate(3_000_000)
    Path(".dvc/config.local").write_text("[cache]\ndir = ../../shared\n")
    assert checkout.check_caches(root).found.startswith("DVC 3 MB, ")


def test_runs_go_to_the_database_and_to_the_server(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout.check_runs(root) == Check("ok", "mlflow.db, which the first run creates")
    Path("mlflow.db").write_bytes(b"x" * 2_000_000)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow.example:5000")
    assert checkout.check_runs(root) == Check("ok", "mlflow.db, 2 MB; copies go to http://mlflow.example:5000")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://mlflow.example:5000", "http://mlflow.example:5000"),
        ("https://me:hunter2@mlflow.example/hunter2/?token=hunter2#hunter2", "https://mlflow.example"),
        ("https://hunter2@[::1]:5000", "https://[::1]:5000"),
        ("https://me:hunt/er2@mlflow.example", "the server in MLFLOW_TRACKING_URI"),
        ("https://me:hunt@er2@mlflow.example", "the server in MLFLOW_TRACKING_URI"),
        ("https://me:hunt?er2@mlflow.example", "the server in MLFLOW_TRACKING_URI"),
        ("me:hunter2@mlflow.example", "the server in MLFLOW_TRACKING_URI"),
        ("postgresql://me:hunter2@db.example/runs", "the server in MLFLOW_TRACKING_URI"),
    ],
)
def test_an_address_is_shown_without_what_could_be_a_secret(address: str, shown: str) -> None:
    assert checkout.host_of(address) == shown


def test_the_output_has_no_secret_of_any_address_or_of_the_environment(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:hunter2@mlflow.example:5000/s3cr3t?token=t0ken")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cr3t")
    git("remote", "add", "origin", "https://me:t0ken@git.example/s3cr3t.git")
    Path(".dvc/config.local").write_text("['remote \"r\"']\nurl = https://me:hunter2@dvc.example\npassword = s3cr3t\n")
    replace("data/demo/dataset.yaml", "title:", "source: https://me:hunter2@git.example/x?token=t0ken\ntitle:")
    main(["doctor"])
    output = "".join(capfd.readouterr())
    assert "https://mlflow.example:5000" in output
    assert "git.example" in output  # of dataset.yaml, which is wrong
    assert not [secret for secret in SECRETS if secret in output]


def show_one(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Print a report with one row."""
    monkeypatch.setattr(machine, "CHECKS", {"python": lambda: Check("ok", found)})
    monkeypatch.setattr(checkout, "OUTSIDE", {})
    main(["doctor"])


def test_the_home_folder_is_a_tilde(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    show_one(f"{tmp_path}/a {tmp_path} {tmp_path}2", monkeypatch)
    assert f"~/a ~ {tmp_path}2\n" in capsys.readouterr().out


def test_text_is_no_markup_and_its_line_breaks_and_escapes_are_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    show_one("[bold]a[/] :smile: \x1b[31m\nb", monkeypatch)
    assert "[bold]a[/] :smile: \\x1b[31m\\nb\n" in capsys.readouterr().out


def test_a_pipe_gets_no_colors_and_no_wrapping(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    show_one("a " * 100, monkeypatch)
    assert f"ok       python     {'a ' * 100}\n" in capsys.readouterr().out


@pytest.mark.parametrize(("variables", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colors_unless_NO_COLOR_is_set(variables: dict[str, str], colored: bool) -> None:  # noqa: N802
    code = "from localizer.commands import doctor; from localizer.commands.diagnosis.check import Check; "
    code += "doctor._show('git', Check('problem', 'a ' * 60, 'b'))"
    leader, follower = os.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": "40", **variables}
    subprocess.run([sys.executable, "-c", code], stdout=follower, env=environment, check=True)
    os.close(follower)
    shown = os.read(leader, 10_000).decode()
    os.close(leader)
    assert ("\x1b[1;31m" in shown) == colored
    assert "a " * 60 in shown  # on one line
    assert "fix: " in shown


def test_the_module_of_the_command_is_light() -> None:
    code = (
        "import sys, localizer.commands.doctor; print(*{'torch', 'numpy', 'pydantic', 'dvc', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
