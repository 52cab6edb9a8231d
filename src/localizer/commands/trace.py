"""`localizer trace`: where a model, an image or a run comes from, and what used it.

With --json it prints one object with these keys; the keys of nested records are described where they are defined:

asked: the argument, as given
kind: `output` (a file that a stage wrote), `export` (an ONNX file of its weights), `image` or `run`
path, digest: the file that the walk starts from, as dvc.yaml names it, and its md5; null for a run
image: `localizer.lineage.image_record.ImageRecord`; null for all but an image
tables: for an image `localizer.lineage.trace.TableOrigin` of each table that may contain it
step: `localizer.tracking.history.records.StageRecord`, with the steps before and after it in made_from and used_by
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from localizer.commands.export import check_installed

ASKED = (
    "a file that the pipeline wrote, also a copy elsewhere, or an ONNX file of `localizer export`; a model's URI, "
    "models:/m-… or runs:/RUN/model, or the champion's, models:/localizer@champion; an image's file or name; a run's "
    "name or id, of which six characters are enough"
)


@dataclass(frozen=True)
class Options:
    asked: Annotated[str, Argument(metavar="MODEL|IMAGE|RUN", help=ASKED)]
    json: Annotated[bool, Option("--json", help="print one JSON object, with full digests and ids")] = False


def run(options: Options) -> int:
    """Print what a model, an image or a run was made from, and what used it; nothing is written.

    Example: localizer trace models/localizer.safetensors
    """
    from localizer.lineage.text import format_trace
    from localizer.lineage.trace import resolve_uri, trace
    from localizer.tracking.history.records import read_dvc_lock
    from localizer.tracking.history.runs import History
    from localizer.tracking.store import open_existing

    uri = resolve_uri(options.asked)  # before the stores are opened: a server that hangs is waited for once
    stores, problem = open_existing()
    if problem:
        print(f"localizer trace: {problem}", file=sys.stderr)
    result = trace(options.asked, uri, History(stores, read_dvc_lock()), weights_of=_weights_md5)
    print(json.dumps(asdict(result), indent=2) if options.json else "\n".join(format_trace(result)))
    return 0


def _weights_md5(exported: Path) -> str:
    check_installed()
    from localizer.serving.onnx import weights_md5

    return weights_md5(exported)
