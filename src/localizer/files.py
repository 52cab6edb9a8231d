"""Writing a file so that a kill, or a full disk, leaves the old one or the new one, whole."""

import os
from pathlib import Path

PART = ".part"  # the ending of what is not yet whole


def replace_file(path: Path, content: bytes) -> None:
    """Write the content beside the path, make sure that it is on the disk, and put it in its place."""
    beside = path.with_name(path.name + PART)
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # else the name itself may be lost with the power
    finally:
        os.close(folder)
