"""The command `localizer`."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from localizer.commands import (
    compare,
    convert,
    cross_validate,
    demo,
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

COMMANDS = (
    init,
    validate,
    cross_validate,
    compare,
    convert,
    demo,
    export,
    predict,
    promote,
    sync,
    trace,
    verify,
    weights,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 1, with a message, for wrong input; 130 at Ctrl-C.

    It is 141, without a message, if the reader of the output closes it, as `head` does.
    """
    if sys.stderr is None:  # closed; `print(file=None)` would write to standard output
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 -- for the lifetime of the process
    options = parser().parse_args(arguments)
    # Pillow's warnings about metadata name no image. Set before threads start: filters are global to the process.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        status = int(options.run(options))
        if sys.stdout:  # else it is closed
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes it at exit
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (ValueError, OSError) as error:
        print(f"localizer {options.command}: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    root = argparse.ArgumentParser(prog="localizer", description="Find the one object in an image.")
    commands = root.add_subparsers(dest="command", required=True)
    for module in COMMANDS:
        about = (module.run.__doc__ or "").split("\n\n")[0]
        name = module.__name__.rpartition(".")[2].replace("_", "-")
        command = commands.add_parser(name, help=about, description=about)
        module.add_options(command)
        command.set_defaults(run=module.run)
    return root


if __name__ == "__main__":
    sys.exit(main())
