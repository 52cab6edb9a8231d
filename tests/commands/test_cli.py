"""The command `localizer`, called as a function."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from localizer.cli import main
from localizer.commands import init


def test_init_names_the_columns_that_it_cannot_detect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "boxes.csv").write_text("photo,a,b,c\nx,1,2,3\n")
    assert main(["init", "mine", "--annotations", str(tmp_path / "boxes.csv"), "--images", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "boxes.csv:1: columns_unknown: " in error
    assert "expected recognizable columns of the image and of a box's four numbers, got the columns photo" in error
    assert "; give --image-column and --box-columns, in the order of --box-format" in error


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
