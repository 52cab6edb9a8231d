"""The command `localizer`."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from localizer.commands import compare, convert, demo, export, init, predict, promote, sync, trace, validate, verify

COMMANDS = {
    "init": init,
    "validate": validate,
    "compare": compare,
    "convert": convert,
    "demo": demo,
    "export": export,
    "predict": predict,
    "promote": promote,
    "sync": sync,
    "trace": trace,
    "verify": verify,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its status, 1 with a message where the input is wrong, or a shell's at Ctrl-C (130).

    So it does (141) where whoever reads the output leaves, as `head` does: without a word.
    """
    if sys.stderr is None:  # it was closed, and `print` would write to standard output instead
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 -- as long as the process
    options = parser().parse_args(arguments)
    # Pillow's tell of metadata, and name no image; set here, since a filter is the process's and threads read.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    try:
        status = int(options.run(options))
        if sys.stdout:  # it may be closed
            sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # which Python flushes at its end
        return 128 + signal.SIGPIPE
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except (ValueError, OSError) as error:
        print(f"localizer {options.command}: {error}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    whole = argparse.ArgumentParser(prog="localizer", description="Find the one object in a picture.")
    commands = whole.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        about = (module.run.__doc__ or "").split("\n\n")[0]
        command = commands.add_parser(name, help=about, description=about)
        module.add_options(command)
        command.set_defaults(run=module.run)
    return whole


if __name__ == "__main__":
    sys.exit(main())
