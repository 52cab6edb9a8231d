"""The runs that a command may be asked for, in the stores of MLflow that are there."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localizer.tracking.tracing import History


def open_history() -> "tuple[History, str]":
    """Return the history in the stores that there are, and why it lacks others, which is told, too, if it has any."""
    from localizer.tracking.existing import open_existing
    from localizer.tracking.store import StoreError
    from localizer.tracking.tracing import History

    try:
        existing = open_existing()
    except StoreError as error:
        return History([]), str(error)
    if existing.problem:
        print(existing.problem, file=sys.stderr)
    return History(existing.stores), existing.problem
