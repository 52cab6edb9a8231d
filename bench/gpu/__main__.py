"""All that waits for a GPU, within nine minutes: `make gpu`; `PLAN=1 make gpu` prints the plan anywhere.

Tests come first, then how fast training is beside its peers, and how good at 224 px. Each part runs in a process of its
own, so that none takes another down, and its rows are on disk as soon as they are measured: rows.json, as the files of
bench/results/ are, parts.json, page.md and log.txt in the folder that OUT names, or reports/gpu. A part whose estimate
no longer fits is skipped. It runs without dvc, mlflow and great_expectations. bccd is trained on if `--pack` has made
its file, where the pipeline is, and it was carried along.
"""

import argparse
import os
import sys
from pathlib import Path

from bench.gpu import plan
from bench.kept import ROOT


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--plan", action="store_true", help="print the plan, and what is missing here")
    parser.add_argument("--pack", action="store_true", help="make the file of decoded images to carry along")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes on the CPU: nothing to be learned of speed")
    parser.add_argument("--only", nargs="+", choices=[part.name for part in plan.PARTS], help="these parts alone")
    parser.add_argument("--seconds", type=float, default=plan.BUDGET_S, help="for all parts together")
    parser.add_argument("--part", choices=[part.name for part in plan.PARTS], help="one part, in this process")
    options = parser.parse_args()
    folder = Path(os.environ.get("OUT") or ROOT / "reports/gpu")
    if options.plan:
        print(plan.text())
    elif lacking := plan.missing(plan.needed_by_all()):
        sys.exit(f"bench.gpu: {plan.wheels(lacking)}")
    elif options.pack:
        from bench.gpu import bccd  # what only this needs is not there on a GPU's machine

        print(bccd.make(ROOT / plan.PACK))
    elif options.part:
        from bench.gpu import parts

        parts.run(options.part, folder, rehearse=options.rehearse)
    else:
        from bench.gpu import run

        parts_asked = [part for part in plan.PARTS if not options.only or part.name in options.only]
        sys.exit(run.run(parts_asked, folder, seconds=options.seconds, rehearse=options.rehearse))


if __name__ == "__main__":
    main()
