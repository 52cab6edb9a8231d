"""Downloading known data sets: files of a public git repository at a pinned commit, to data/NAME/raw."""

import hashlib
import os
import re
import shutil
import sys
from pathlib import Path

from localizer.dataset import GitSource, read_config

MIRROR = "LOCALIZER_MIRROR"  # a folder that contains OWNER/REPO/ with the upstream layout


def main() -> None:
    name = sys.argv[1]
    source = read_config(name).source
    if not isinstance(source, GitSource):
        raise SystemExit(f"data/{name}/dataset.yaml: `source` names no git repository to download from")
    try:
        download(source, Path("data") / name / "raw", mirror=os.environ.get(MIRROR))
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None


def download(source: GitSource, folder: Path, *, mirror: str | None) -> None:
    """Write the source's files below the folder, which is emptied first.

    Raises ValueError where the download fails, or the files' digest is not the source's.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for path in source.paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
    if mirror:
        _copy(Path(mirror) / repository_name(source), folder, source)
    else:
        _clone(folder, source)
    got = list_digest(folder)
    if got != source.digest:
        shutil.rmtree(folder)
        raise ValueError(f"{folder}: expected files with the pinned digest {source.digest}, got {got}")


def repository_name(source: GitSource) -> str:
    """Return OWNER/REPO of the repository's address."""
    return "/".join(re.split("[:/]", source.repository.rstrip("/").removesuffix(".git"))[-2:])


def list_digest(folder: Path) -> str:
    """Return the SHA-256 of the sorted lines "SHA-256  path", one per file, as sha256sum prints them."""
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    lines = [f"{hashlib.sha256((folder / path).read_bytes()).hexdigest()}  {path}\n" for path in paths]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _copy(upstream: Path, folder: Path, source: GitSource) -> None:
    for path in source.paths:
        origin = upstream / path
        if origin.is_dir():
            shutil.copytree(origin, folder / path)
        elif origin.is_file():
            shutil.copyfile(origin, folder / path)
        else:
            raise ValueError(f"{origin}: no such file or folder; {MIRROR} must contain OWNER/REPO/ as upstream has it")


def _clone(folder: Path, source: GitSource) -> None:
    from dvc.api import DVCFileSystem  # slow to import, and not needed with a mirror

    try:
        upstream = DVCFileSystem(source.repository, rev=source.commit)
        for path in source.paths:
            upstream.get(path, str(folder / path), recursive=True)
    except Exception as error:  # DVC, dulwich and the network each raise their own
        raise ValueError(
            f"{source.repository} at {source.commit[:7]}: {error or type(error).__name__}; without a network, "
            f"let {MIRROR} name a folder that contains {repository_name(source)}"
        ) from error


if __name__ == "__main__":
    main()
