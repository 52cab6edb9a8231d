"""Lines on a terminal and elsewhere."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from localizer.commands.terminal import show
from localizer.findings import Finding, Line, blocks

SOURCES = Path(__file__).parents[2] / "src"
ODD = "photos/[bold]a[/bold] [link=x]:smile:.jpg"  # markup and emoji, if it were read as rich's
LONG = Finding("boxes.csv", 2, "xmax", "corner_order", "critical", f"a value in {ODD} " * 9, "more", "correct it")


def on_terminal(code: str, **environment: str) -> str:
    """Return what a process writes on a terminal 80 columns wide."""
    master, terminal = pty.openpty()
    around = os.environ | {"PYTHONPATH": str(SOURCES), "TERM": "xterm-256color", "COLUMNS": "80"} | environment
    around = {name: value for name, value in around.items() if value}
    subprocess.run([sys.executable, "-c", code], stdout=terminal, env=around, check=True)
    os.close(terminal)
    written = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux: the other end is closed
            part = b""
        if not part:
            break
        written += part
    os.close(master)
    return written.decode()


SHOWN = f"from localizer.findings import *; from localizer.commands.terminal import show; show(blocks([{LONG!r}]))"


def test_piped_lines_are_plain_and_never_wrapped(capsys: pytest.CaptureFixture[str]) -> None:
    show(blocks([LONG]))
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == ""
    assert lines == [
        "critical: corner_order, 1 finding: expected more",
        f"  boxes.csv:2:xmax: got {LONG.got}",
        "  fix: correct it",
    ]


def test_text_of_a_data_set_is_no_markup_on_a_terminal() -> None:
    assert ODD in on_terminal(SHOWN, NO_COLOR="").replace("\r\n", "").replace("  ", " ").replace("\n", "")


def test_a_block_is_wrapped_with_its_indent_and_styled_on_a_terminal() -> None:
    text = on_terminal(SHOWN, NO_COLOR="")
    assert "\x1b[1;31mcritical\x1b[0m" in text
    lines = text.replace("\r", "").splitlines()
    assert all(line.startswith("  ") for line in lines[2:])
    assert len(lines) > 6


def test_without_color_nothing_is_colored() -> None:
    assert "[1;31m" not in on_terminal(SHOWN, NO_COLOR="1")


def test_a_command_to_copy_is_not_broken_on_a_terminal() -> None:
    command = "  localizer init mine --annotations " + "a" * 90
    assert command in on_terminal(f"from localizer.commands.terminal import show; show([{command!r}])")


def test_an_empty_line_comes_before_each_rule(capsys: pytest.CaptureFixture[str]) -> None:
    show(["verdict", Line("critical", "a", ""), Line("fix", "", "b"), Line("warning", "c", "")])
    assert capsys.readouterr().out == "verdict\n\ncritical: a\n  fix: b\n\nwarning: c\n"
