"""The files that a command is asked to write."""

from pathlib import Path


def check_file(path: Path, *, option: str) -> None:
    """Raise ValueError where an option names what is a folder, or a file in a folder that isn't there."""
    if path.is_dir():
        raise ValueError(f"{option} {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: {path.parent} is no folder; make it, or name a file in another")
