"""The command `localizer`."""

import argparse
import sys
from collections.abc import Sequence

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
    """Run one command; return its status, or 1 with a message where the input is wrong."""
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
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
