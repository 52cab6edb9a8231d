"""The command `localizer`."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typer import Abort, Typer, TyperException
from typer.core import TyperGroup
from typer.main import get_command

from localizer.commands import (
    compare,
    convert,
    cross_validate,
    demo,
    doctor,
    export,
    init,
    predict,
    promote,
    sync,
    trace,
    validate,
    verify,
    weights,
)
from localizer.commands.options import as_function, command_name

COMMANDS = (
    init,
    validate,
    cross_validate,
    compare,
    convert,
    demo,
    doctor,
    export,
    predict,
    promote,
    sync,
    trace,
    verify,
    weights,
)


class Commands(TyperGroup):
    """The commands, whose errors are messages on standard error: one status and one style for all."""

    def invoke(self, ctx: Any) -> int:
        """Run one command and return its exit status: 1, with a message, for wrong input.

        It is 141, without a message, if the reader of the output closes it, as `head` does.
        """
        try:
            status = int(super().invoke(ctx))
            if sys.stdout:  # else it is closed
                sys.stdout.flush()
            return status
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes it at exit
            return 128 + signal.SIGPIPE
        except (ValueError, OSError) as error:
            print(f"localizer {ctx.invoked_subcommand}: {error}", file=sys.stderr)
            return 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: see `Commands.invoke`; 130 at Ctrl-C; SystemExit for wrong usage."""
    if sys.stderr is None:  # closed; `print(file=None)` would write to standard output
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 -- for the lifetime of the process
    # Pillow's warnings about metadata name no image. Set before threads start: filters are global to the process.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        return int(get_command(app()).main(arguments, prog_name="localizer", standalone_mode=False) or 0)
    except Abort:  # Ctrl-C at a question
        return 128 + signal.SIGINT
    except TyperException as error:
        command = getattr(error, "ctx", None)
        name = command.command_path if command else "localizer"
        print(f"{name}: {error.format_message()} (`{name} --help` has all options)", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def app() -> Typer:
    """Return all commands, each from its module: options, example and what it does."""
    settings = {"help_option_names": ["-h", "--help"]}
    commands = Typer(
        cls=Commands,
        help="Find the one object in an image.",
        no_args_is_help=True,
        context_settings=settings,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
    )
    for module in COMMANDS:
        commands.command(command_name(module), context_settings=settings)(as_function(module))
    return commands


if __name__ == "__main__":
    sys.exit(main())
