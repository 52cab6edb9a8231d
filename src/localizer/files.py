"""Atomic writing: after a kill or a full disk the old file or folder, or the new one, is complete."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

PART = ".part"  # suffix of incomplete files


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as hex digits; OSError names the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Replace the file atomically; on OSError, which names the file, the old one stays."""
    with replacing(path) as file:
        file.write(content)


def replace_text(path: Path, text: str) -> None:
    """Replace the file by the text in UTF-8, atomically."""
    replace_file(path, text.encode())


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a temporary file that replaces `path` at the end; creates the folder."""
    temporary = path.with_name(path.name + PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
        move_into_place(temporary, path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise _with_path(path, error) from None
        raise


def move_into_place(temporary: Path, path: Path) -> None:
    """Replace `path` by a complete file of the same folder, safe against power failure."""
    _sync(temporary)
    temporary.replace(path)
    _sync(path.parent)  # the directory entry


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder that replaces the folder `path` at the end."""
    beside = path.with_name(path.name + PART)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        (beside / "new").mkdir(parents=True)
        yield beside / "new"
        if path.exists():
            path.rename(beside / "old")  # removing it in place could leave half of it
        (beside / "new").rename(path)
    except OSError as error:
        raise _with_path(path, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Create the folder and a temporary file in it; ValueError if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        raise ValueError(
            f"{folder}: not writable: {error.strerror}; give user {os.getuid()} write access, or free disk space"
        ) from None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _with_path(path: Path, error: OSError) -> OSError:
    """Return the error with the path; that of a full disk has none."""
    return OSError(error.errno, error.strerror, str(path)) if error.errno else OSError(f"{path}: {error}")


def check_file(path: Path, *, option: str) -> None:
    """Raise ValueError if an option's file is a folder, or lies in a missing folder."""
    if path.is_dir():
        raise ValueError(f"{option} {path}: expected a file, got a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: no such folder {path.parent}; create it, or name a file in another")
