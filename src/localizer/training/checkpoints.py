"""Checkpoints: the state after an epoch, kept for the next start that is to do the same.

They lie in a folder named by the fingerprint of all that goes into a training, one file an epoch, whose name
has the digest of its content. Only the newest is kept, and of other trainings those of the last few.
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

from localizer.files import PART, file_sha256, put
from localizer.training.loop import EpochRecord

log = logging.getLogger(__name__)
SUFFIX = ".safetensors"
OTHERS = 3  # trainings that did not come to their end, of 400 MB each


@dataclass(frozen=True)
class Checkpoint:
    """The records of the epochs that are done, and the tensors to go on with; `path` is the file."""

    history: tuple[EpochRecord, ...]
    tensors: dict[str, Tensor]
    path: Path


class Checkpoints:
    """The checkpoints of one training, found by its inputs: names and digests or values, all as text."""

    def __init__(self, root: Path, inputs: Mapping[str, str]) -> None:
        self._root, self._inputs = root, dict(sorted(inputs.items()))
        fingerprint = hashlib.sha256(json.dumps(self._inputs).encode()).hexdigest()
        self.folder = root / fingerprint[:32]

    def save(self, history: Sequence[EpochRecord], tensors: Mapping[str, Tensor]) -> None:
        """Write what there is after the last epoch of the history, then remove the checkpoint before it."""
        told = {"history": json.dumps([asdict(epoch) for epoch in history]), "inputs": json.dumps(self._inputs)}
        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        if not self.folder.exists():
            self._make_room()
        self.folder.mkdir(parents=True, exist_ok=True)
        beside = self.folder / f"{len(history):06d}{PART}"
        try:
            save_file(plain, beside, metadata=told)
        except SafetensorError as error:
            beside.unlink(missing_ok=True)
            raise OSError(f"{beside}: {error}") from None
        path = self.folder / f"{len(history):06d}-{file_sha256(beside)}{SUFFIX}"
        put(beside, path)
        for other in self.folder.iterdir():
            if other != path:
                other.unlink()

    def latest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is whole, or None; what was left half written is removed."""
        for stray in self.folder.glob(f"*{PART}"):
            stray.unlink()
        for path in sorted(self.folder.glob(f"*{SUFFIX}"), reverse=True):
            content = path.read_bytes()
            if hashlib.sha256(content).hexdigest() == path.stem.partition("-")[2]:
                records = json.loads(_metadata(path)["history"])
                return Checkpoint(tuple(EpochRecord(**record) for record in records), load_tensors(content), path)
            log.warning("%s: not as it was written; it is left out", path)
        return None

    def why_none(self) -> str:
        """Return in what the newest checkpoint of another training differs; nothing if there is none."""
        others = sorted(self._root.glob(f"*/*{SUFFIX}"), key=lambda path: path.stat().st_mtime)
        if not others:
            return ""
        try:
            before = json.loads(_metadata(others[-1])["inputs"])
        except (SafetensorError, KeyError, ValueError):
            return f"{others[-1]} can't be read"
        changed = [name for name in sorted({*before, *self._inputs}) if before.get(name) != self._inputs.get(name)]
        return f"{others[-1].parent} is of another training; what differs: {', '.join(changed)}"

    def remove(self) -> None:
        """Remove the checkpoints of this training, which has come to its end."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_room(self) -> None:
        """Remove the oldest of other trainings, so that no more than OTHERS are left."""
        folders = sorted(self._root.glob("*"), key=lambda folder: folder.stat().st_mtime, reverse=True)
        for folder in folders[OTHERS:]:
            shutil.rmtree(folder, ignore_errors=True)


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})
