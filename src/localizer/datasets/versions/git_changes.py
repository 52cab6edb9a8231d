"""Data sets that changed since a commit of git, and the annotations that the commit had."""

import io
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

from localizer.dataset import Dataset, read_config_file
from localizer.datasets.annotations import read_boxes


def changed_datasets(since: str, *, root: Path = Path("data")) -> list[Path]:
    """Return the folders of the data sets with files that differ from `since`, new ones included.

    `since` stands for the commit that it and HEAD both come from. ValueError where git does not know it.
    """
    base = common_commit(since)
    changed = _git("diff", "--name-only", "--relative", "-z", base, "--", str(root))
    new = _git("ls-files", "--others", "--exclude-standard", "-z", "--", str(root))
    paths = [Path(name).relative_to(root) for name in (changed + new).decode().split("\0") if name]
    names = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
    return [root / name for name in names if (root / name / "dataset.yaml").is_file()]


def accepted(folder: Path, *, since: str, into: Path) -> Dataset | None:
    """Return the data set as it was at `since`, unpacked below `into`; None where git had none that can be read."""
    base = common_commit(since)
    card = folder / "dataset.yaml"
    if not _unpack(base, card, into):
        return None
    # What was broken before must not stop what mends it.
    with suppress(ValueError):
        old = read_config_file(into / card)
        annotations = folder / "raw" / old.annotations
        if _unpack(base, annotations, into):
            read_boxes(old, into / annotations, images=None)
            return Dataset(old, into / annotations, None, into / card)
    return None


def common_commit(since: str) -> str:
    """Return the commit that `since` and HEAD both come from; ValueError where git does not know it."""
    return _git("merge-base", since, "HEAD").decode().strip()


def _unpack(commit: str, path: Path, into: Path) -> bool:
    """Unpack a file or folder of a commit below `into`; return whether the commit has it."""
    if not _git("ls-tree", "--name-only", commit, "--", path.as_posix()):
        return False
    with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, "--", path.as_posix()))) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not before Python 3.11.4
        archive.extractall(into)
    return True


def _git(*arguments: str) -> bytes:
    try:
        return subprocess.run(["git", *arguments], check=True, capture_output=True).stdout
    except FileNotFoundError:
        raise ValueError("git was not found; it is needed to tell what changed") from None
    except subprocess.CalledProcessError as error:
        raise ValueError(f"git {' '.join(arguments)}: {error.stderr.decode(errors='replace').strip()}") from None
