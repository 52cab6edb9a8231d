"""Data sets that changed since a git commit, and their annotations at that commit."""

import io
import tarfile
from contextlib import suppress
from pathlib import Path

from localizer.dataset import Dataset, read_config_file
from localizer.datasets.annotations import read_boxes
from localizer.pipeline.git_state import git, git_bytes


def changed_datasets(since: str, *, root: Path = Path("data")) -> list[Path]:
    """Return the folders of the data sets with files that differ from the merge base of `since`, new ones included.

    ValueError where git does not know `since`.
    """
    changed = git("diff", "--name-only", "--relative", "-z", merge_base(since), "--", str(root))
    new = git("ls-files", "--others", "--exclude-standard", "-z", "--", str(root))
    paths = [Path(name).relative_to(root) for name in (changed + new).split("\0") if name]
    names = sorted({path.parts[0] for path in paths if len(path.parts) > 1})
    return [root / name for name in names if (root / name / "dataset.yaml").is_file()]


def dataset_at(since: str, folder: Path, *, into: Path) -> Dataset | None:
    """Return a data set at the merge base of `since`, without images, unpacked below `into`; None if it can't be read.

    What was broken then must not block its fix.
    """
    commit, config_path = merge_base(since), folder / "dataset.yaml"
    if not _unpack(commit, config_path, into):
        return None
    with suppress(ValueError):
        config = read_config_file(into / config_path)
        annotations = folder / "raw" / config.annotations
        if _unpack(commit, annotations, into):
            read_boxes(config, into / annotations, images=None)
            return Dataset(config, into / annotations, None, into / config_path)
    return None


def merge_base(since: str) -> str:
    """Return the best common ancestor of `since` and HEAD; ValueError where git does not know `since`."""
    return git("merge-base", since, "HEAD").strip()


def _unpack(commit: str, path: Path, into: Path) -> bool:
    """Unpack a file or folder of a commit below `into`; return whether the commit has it."""
    if not git("ls-tree", "--name-only", commit, "--", path.as_posix()):
        return False
    with tarfile.open(fileobj=io.BytesIO(git_bytes("archive", commit, "--", path.as_posix()))) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # not before Python 3.11.4
        archive.extractall(into)
    return True
