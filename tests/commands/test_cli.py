"""The command `localizer`, called as a function."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from typer.main import get_command

from localizer.cli import COMMANDS, app, main
from localizer.commands import init
from localizer.commands.options import command_name

SOURCES = Path(__file__).parents[2] / "src"


def test_init_names_the_columns_that_it_cannot_detect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "boxes.csv").write_text("photo,a,b,c\nx,1,2,3\n")
    assert main(["init", "mine", "--annotations", str(tmp_path / "boxes.csv"), "--images", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "boxes.csv:1: columns_unknown: " in error
    assert "expected columns with the image's name and the four numbers of a box, got the columns photo" in error
    assert "; pass --image-column and --box-columns, in the order of --box-format" in error


def test_a_missing_csv_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "mine", "--annotations", "none.csv", "--images", str(tmp_path)]) == 1
    assert "none.csv: no" in capsys.readouterr().err


def test_ctrl_c_ends_any_command_without_a_message(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(options: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(init, "run", interrupted)
    try:
        status = main(["init", "mine", "--annotations", "a.csv", "--images", "."])
    except KeyboardInterrupt:  # it would end the tests
        pytest.fail("not caught")
    assert status == 130
    assert capsys.readouterr() == ("", "")


def test_a_closed_pipe_ends_any_command_without_a_message() -> None:
    code = (
        "from localizer import cli; from localizer.commands import init; init.run = lambda options: print('a' * 9) or 0"
    )
    script = f"{code}; raise SystemExit(cli.main(['init', 'mine', '--annotations', 'a.csv', '--images', '.']))"
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", script], stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_messages_for_a_closed_standard_error_do_not_go_to_standard_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    assert main(["init", "mine", "--annotations", "none.csv", "--images", "."]) == 1
    sys.stderr.close()
    assert capsys.readouterr().out == ""


def test_a_usage_error_exits_with_2() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict"])


@pytest.mark.parametrize("command", COMMANDS, ids=command_name)
def test_each_command_has_an_example_that_it_understands(command: ModuleType) -> None:
    example = (command.run.__doc__ or "").partition("Example: ")[2].strip()
    words = shlex.split(example)
    name, *arguments = words[words.index("localizer") + 1 :]
    assert name == command_name(command)
    group = get_command(app())
    assert group.commands[name].make_context(name, arguments)  # type: ignore[attr-defined]


def test_an_option_that_is_none_is_named_with_the_help_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["validate", "boxes.csv", "--imagse", "x"])
    error = capsys.readouterr().err
    assert error.startswith("localizer validate: No such option: --imagse")
    assert error.endswith("(`localizer validate --help` has all options)\n")
    assert error.count("\n") == 1


def test_a_shell_completes_commands_and_options() -> None:
    around = os.environ | {"PYTHONPATH": str(SOURCES), "_LOCALIZER_COMPLETE": "complete_bash"}
    for words, expected in (("localizer val", "validate"), ("localizer validate --imag", "--images")):
        typed = {"COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        code = "import sys; from localizer.cli import main; sys.exit(main([]))"
        done = subprocess.run([sys.executable, "-c", code], env=around | typed, capture_output=True, text=True)
        assert expected in done.stdout.split()


def test_help_imports_no_library_that_takes_long() -> None:
    code = "import sys; from localizer.cli import main; main(['validate', '--help']); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(SOURCES)}, capture_output=True, text=True
    )
    imported = done.stdout.splitlines()[-1].split()
    assert "typer" in imported  # a control
    assert not {"numpy", "pandas", "torch", "mlflow", "dvc", "PIL"} & set(imported)
