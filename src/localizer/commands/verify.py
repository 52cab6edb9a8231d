"""`localizer verify`: rerun the committed pipeline in a clean clone, and compare its outputs with the workspace's.

It exits 0 if all are the same, 1 if something differs or the commit can't be rerun, 2 on a usage error.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

if TYPE_CHECKING:
    from localizer.verification.reproduce import Reproduction

CERTIFICATE = Path("reports/verify/certificate.json")
WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class Options:
    commit: Annotated[str, Option(metavar="REVISION", help="commit to rerun")] = "HEAD"
    certificate: Annotated[Path, Option(metavar="FILE", help="where to write the certificate")] = CERTIFICATE
    keep: Annotated[Path | None, Option(metavar="DIR", help="clone into a new folder, and keep it")] = None


def run(options: Options) -> int:
    """Rerun the committed pipeline in a clean clone, compare its outputs with those here, and write a certificate.

    Example: localizer verify --commit HEAD~1
    """
    from localizer.verification.certificate import write_certificate
    from localizer.verification.clone import clone_folder
    from localizer.verification.reproduce import reproduce

    log = partial(print, flush=True)
    with _exit_on_sigterm(), clone_folder(options.keep) as folder:
        result = reproduce(options.commit, folder, log=log)
    for text in result.differences:
        log(f"differs: {text}")
    for hint in hints(result, earlier=options.certificate):
        log(hint)
    write_certificate(options.certificate, result)
    log(f"{'same' if result.same else 'differs'}: {options.certificate}")
    return 0 if result.same else 1


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command as Ctrl-C does: the rerun is stopped, and its folder removed."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def hints(result: "Reproduction", *, earlier: Path) -> Iterator[str]:
    """Yield how to explain or undo the differences; earlier: a certificate that may be about the same weights."""
    from localizer.verification.certificate import recorded_environment

    outputs = [output for rerun in result.reruns for output in rerun.outputs if not output.same]
    modified = [output.path for output in outputs if output.rerun == output.locked]
    weights = [output for output in outputs if output.path.endswith(WEIGHTS) and output.rerun != output.locked]
    if not result.same and not result.reruns:
        yield "Nothing was rerun: outputs of other inputs can't be compared. Undo what isn't meant to be changed"
        yield "(`git restore FILE`, `dvc checkout`), or run `dvc repro` and commit its changes, dvc.lock too."
    if modified:
        yield f"The rerun agrees with dvc.lock: {', '.join(modified)} changed after `dvc repro`."
        yield "`dvc checkout --force`, or `git restore` for files under git, restores it."
    if weights:
        yield "Equal weights are not promised on another CPU or GPU, with another number of threads or other versions"
        environment = recorded_environment(earlier, weights[0]) or "(not recorded)"
        yield f"(docs/explanation/reproducibility.md). Environment of the workspace's weights: {environment}"
