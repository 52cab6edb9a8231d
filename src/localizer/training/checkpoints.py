"""Checkpoints: the training state after an epoch, from which an equal training resumes.

They are stored in a folder named by the fingerprint of all inputs of the training, one file per epoch, with the SHA-256
of its content in its name. Only the newest is kept, and those of the last few other trainings.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file
from torch import Tensor

from localizer.files import PART, file_sha256, move_into_place
from localizer.training.loop import EpochRecord

log = logging.getLogger(__name__)
SUFFIX = ".safetensors"
OTHERS = 3  # unfinished trainings whose checkpoints, 400 MB each, are kept


@dataclass(frozen=True)
class Checkpoint:
    """The history, the state's tensors, and the file that holds both."""

    history: tuple[EpochRecord, ...]
    tensors: dict[str, Tensor]
    path: Path


class Checkpoints:
    """The checkpoints of one training, found by its inputs: digests or values by name, all as text."""

    def __init__(self, root: Path, inputs: Mapping[str, str]) -> None:
        self._root, self._inputs = root, dict(sorted(inputs.items()))
        fingerprint = hashlib.sha256(json.dumps(self._inputs).encode()).hexdigest()
        self.folder = root / fingerprint[:32]

    def save(self, history: Sequence[EpochRecord], tensors: Mapping[str, Tensor]) -> None:
        """Write a checkpoint, then remove the previous one."""
        metadata = {"history": json.dumps([asdict(epoch) for epoch in history]), "inputs": json.dumps(self._inputs)}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        if not self.folder.exists():
            self._make_room()
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f"{len(history):06d}{PART}"
        try:
            save_file(plain, temporary, metadata=metadata)
        except SafetensorError as error:
            temporary.unlink(missing_ok=True)
            raise OSError(f"{temporary}: {error}") from None
        path = self.folder / f"{len(history):06d}-{file_sha256(temporary)}{SUFFIX}"
        move_into_place(temporary, path)
        for other in self.folder.iterdir():
            if other != path:
                other.unlink()

    def latest(self) -> Checkpoint | None:
        """Return the newest intact checkpoint, or None; partly written files are removed."""
        for partial in self.folder.glob(f"*{PART}"):
            partial.unlink()
        for path in sorted(self.folder.glob(f"*{SUFFIX}"), reverse=True):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == path.stem.partition("-")[2]:
                records = json.loads(_metadata(path)["history"])
                return Checkpoint(tuple(EpochRecord(**record) for record in records), load_tensors(content), path)
            log.warning("%s: damaged (its SHA-256 differs); ignored", path)
        return None

    def why_no_match(self) -> str:
        """Return why no checkpoint fits: the inputs that differ from the newest other training's; empty without one."""
        others = sorted(self._root.glob(f"*/*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        if not others:
            return ""
        try:
            before = json.loads(_metadata(others[-1])["inputs"])
        except (SafetensorError, KeyError, ValueError):
            return f"{others[-1]} can't be read"
        changed = [name for name in sorted({*before, *self._inputs}) if before.get(name) != self._inputs.get(name)]
        return f"{others[-1].parent} belongs to another training, which differs in {', '.join(changed)}"

    def remove(self) -> None:
        """Remove the checkpoints of this training."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self) -> None:
        """Remove the oldest other trainings' checkpoints, down to OTHERS."""
        folders = sorted(self._root.glob("*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[OTHERS:]:
            shutil.rmtree(folder, ignore_errors=True)


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})
