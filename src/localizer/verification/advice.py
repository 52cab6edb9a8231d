"""What to do about a difference."""

from collections.abc import Iterator
from pathlib import Path

from localizer.verification.certificate import made_with
from localizer.verification.proof import Proof

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
