"""`localizer trace`: where a model, an image or a run comes from, and what became of it.

With --json it prints one object of these keys; the records' keys are described where they are defined:

asked: what was asked for, as given
kind: `output` (a file that a stage made), `export` (an ONNX file of its weights), `image` or `run`
path, digest: the file that the walk starts from, as dvc.yaml names it, and its md5; null for a run
image: `localizer.lineage.image_record.Whereabouts`; null but for an image
tables: for an image the tables that tell of it: path, digest, and stage and run that made them, null if unknown
step: `localizer.tracking.history.records.StageRecord`, with the steps before and after it in made_from and used_by
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from localizer.commands.export import check_installed


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "asked",
        metavar="MODEL|IMAGE|RUN",
        help="a file that the pipeline made, wherever it lies now, or an ONNX file of `localizer export`; the address "
        "of a model, models:/m-… or runs:/RUN/model, or of the champion, models:/localizer@champion; an image's file "
        "or name; a run's id, six characters of it or more, or its name",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all digests and ids")


def run(options: argparse.Namespace) -> int:
    """Tell what a model, an image or a run was made from, and what used it; nothing is written."""
    from localizer.lineage.text import lines
    from localizer.lineage.trace import address_of, trace
    from localizer.tracking.history.records import read_dvc_lock
    from localizer.tracking.history.runs import History
    from localizer.tracking.store import open_existing

    address = address_of(options.asked)  # before the stores are opened, so that a server that hangs is waited for once
    stores, problem = open_existing()
    if problem:
        print(f"localizer trace: {problem}", file=sys.stderr)
    found = trace(options.asked, address, History(stores, read_dvc_lock()), weights_of=_weights_of)
    print(json.dumps(asdict(found), indent=2) if options.json else "\n".join(lines(found)))
    return 0


def _weights_of(exported: Path) -> str:
    check_installed()
    from localizer.serving.onnx import weights_md5

    return weights_md5(exported)
