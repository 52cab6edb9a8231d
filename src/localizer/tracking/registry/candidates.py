"""The evaluations that may be promoted: those that the registry's store has, and those of this checkout, once sent."""

from contextlib import suppress

from localizer.tracking.existing_stores import open_own
from localizer.tracking.history.evaluations import Evaluated, evaluated
from localizer.tracking.history.runs import History
from localizer.tracking.registry.registry import Registry
from localizer.tracking.replication.background_sync import FilesGoneError, sync
from localizer.tracking.replication.copy import ORIGIN


def challengers(registry: Registry, asked: str) -> list[Evaluated]:
    """Return the evaluations that a run's id or name means, see `evaluated`, as the registry's store tells them.

    Where that is a server and the run is in this checkout, all that the server lacks is sent first. Of several in this
    checkout nothing is sent. ValueError where none that is meant has ended; StoreError where the server fails.
    """
    own = open_own() if registry.server else None
    ours = evaluated(History([own]), asked) if own else []
    if len(ours) > 1:
        return ours
    if ours:
        with suppress(FilesGoneError):  # of this run's own files `promote` tells itself
            sync()
    sent = [row.info.run_id for one in ours for row in registry.history.find(f"tags.{ORIGIN} = '{one.pipeline_id}'")]
    found = [one for name in (asked, *sent) for one in evaluated(registry.history, name)]
    return [*{one.run_id: one for one in found}.values()]
