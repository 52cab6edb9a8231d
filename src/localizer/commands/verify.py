"""`localizer verify`: the committed pipeline, run again in a clean clone, gives what is here to the last bit.

It exits 0 if all is the same, 1 if something differs or can't be done, 2 when it was asked wrongly.
"""

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from localizer.verification.certificate import made_with
from localizer.verification.reproduce import Proof

CERTIFICATE = Path("reports/verify/certificate.json")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--commit", default="HEAD", metavar="REVISION", help="to run again (default: HEAD)")
    help_text = f"write the certificate there (default: {CERTIFICATE})"
    parser.add_argument("--certificate", type=Path, default=CERTIFICATE, metavar="FILE", help=help_text)
    parser.add_argument("--keep", type=Path, metavar="DIR", help="clone into a new folder, and leave it there")


def run(options: argparse.Namespace) -> int:
    """Rerun the committed pipeline in a clean clone, compare its outputs with those here, and certify the result."""
    from localizer.commands.verify import advice
    from localizer.verification import certificate, clone
    from localizer.verification.reproduce import prove

    with _ended_by_sigterm(), clone.folder(options.keep) as place:
        proof = prove(options.commit, place, tell=_tell)
    for text in proof.differences:
        _tell(f"differs: {text}")
    for line in advice(proof, earlier=options.certificate):
        _tell(line)
    certificate.write(options.certificate, proof)
    _tell(f"{'same' if proof.same else 'differs'}: {options.certificate}")
    return 0 if proof.same else 1


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: the rerun is stopped, and its folder removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _tell(line: str) -> None:
    print(line, flush=True)


WEIGHTS = ".safetensors"


def advice(proof: Proof, *, earlier: Path) -> Iterator[str]:
    """Yield lines for people on what differs; earlier: where a certificate may be that tells of the same weights."""
    outputs = [one for rerun in proof.reruns for one in rerun.outputs if not one.same]
    altered = [one.path for one in outputs if one.rerun == one.locked]
    weights = [one for one in outputs if one.path.endswith(WEIGHTS) and one.rerun != one.locked]
    if not proof.same and not proof.reruns:
        yield "Nothing was rerun: outputs that are made from other inputs prove nothing. Restore what isn't meant"
        yield "(`git restore FILE`, `dvc checkout`), or run `dvc repro` and commit what changed, dvc.lock too."
    if altered:
        yield f"dvc.lock names what the rerun made: {', '.join(altered)} changed after `dvc repro`."
        yield "`dvc checkout --force`, or `git restore` for what git keeps, brings back what it made."
    if weights:
        yield "The same weights aren't promised on another CPU or GPU, with another number of threads, or with"
        yield "other versions (docs/reproducibility.md). The workspace's were made with: " + (
            made_with(earlier, weights[0]) or "(not recorded)"
        )
