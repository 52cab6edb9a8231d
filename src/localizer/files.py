"""BoxEncoding so that a kill, or a full disk, leaves the old file or folder or the new one, whole."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

PART = ".part"  # the ending of what is not yet whole


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as hex digits; OSError names the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_file(path: Path, content: bytes) -> None:
    """Put the content in the place of the file; OSError, which names the file, leaves the old one."""
    with replacing(path) as file:
        file.write(content)


def replace_text(path: Path, text: str) -> None:
    """Put the text, as UTF-8, in the place of the file."""
    replace_file(path, text.encode())


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file beside the path, which takes its place at the end; the folder is made."""
    beside = path.with_name(path.name + PART)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            yield file
        put(beside, path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink()
        if isinstance(error, OSError):
            raise _naming(path, error) from None
        raise


def put(beside: Path, path: Path) -> None:
    """Put a whole file in the place of another in its folder, so that power may fail at any time."""
    _sync(beside)
    beside.replace(path)
    _sync(path.parent)  # else the name itself may be lost


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder, which takes the place of the folder `path` at the end."""
    beside = path.with_name(path.name + PART)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        (beside / "new").mkdir(parents=True)
        yield beside / "new"
        if path.exists():
            path.rename(beside / "old")  # removed in place it might be half there
        (beside / "new").rename(path)
    except OSError as error:
        raise _naming(path, error) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_writable(folder: Path) -> None:
    """Make the folder and write into it for a moment; ValueError where that is refused."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        raise ValueError(
            f"{folder}: can't be written to: {error.strerror}; let the user {os.getuid()} write there, or make room"
        ) from None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _naming(path: Path, error: OSError) -> OSError:
    """Return the error as one of this path: that of a full disk names none."""
    return OSError(error.errno, error.strerror, str(path)) if error.errno else OSError(f"{path}: {error}")


def check_file(path: Path, *, option: str) -> None:
    """Raise ValueError where an option names what is a folder, or a file in a folder that isn't there."""
    if path.is_dir():
        raise ValueError(f"{option} {path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise ValueError(f"{option} {path}: {path.parent} is no folder; make it, or name a file in another")
