"""Images by what a user writes: files, folders, globs, and a list on standard input."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from localizer.images.decoding import SUFFIXES

LISTED = "-"  # stands for the list
MAGIC = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Named:
    """An image that was asked for, or what was asked for in vain, and then why.

    name: as it was written, or as it was found. inside: where it lies below the folder that was written, or below the
    folder that a glob starts from; its mere name where the image itself was written.
    """

    name: str
    path: Path
    inside: PurePath
    error: str = ""


def expand(
    asked: Iterable[str], *, listed: Iterable[bytes], but: Callable[[Path], bool] = lambda path: False
) -> Iterator[Named]:
    """Yield the images that are meant, in the order of what was asked for.

    A file is taken whatever its suffix is. Folders, with those below them, and globs give the files that have an
    image's suffix, sorted, each once; what is hidden is left out, and links to folders aren't followed. listed: the
    lines that `-` stands for, each the path of a file. but: says which files of folders and globs are left out, too.
    """
    for text in asked:
        if text == LISTED:
            yield from _listed(listed)
        elif not text:
            yield _vain(text, "an empty name")
        elif _is(Path.is_dir, Path(text)):
            yield from _in_folder(Path(text), but)
        elif MAGIC & set(text) and not _is(Path.exists, Path(text)):
            yield from _matching(text, but)
        else:
            yield _file(text)


def _listed(lines: Iterable[bytes]) -> Iterator[Named]:
    names = [os.fsdecode(line.rstrip(b"\r\n")) for line in lines]
    yield from (_of_list(name) for name in names if name)
    if not any(names):
        yield _vain(LISTED, "no paths on standard input")


def _of_list(name: str) -> Named:
    return _vain(name, "a folder; a list has files") if _is(Path.is_dir, Path(name)) else _file(name)


def _in_folder(folder: Path, but: Callable[[Path], bool]) -> Iterator[Named]:
    closed: list[OSError] = []
    images = sorted(_walk(folder, closed.append))
    found = [path for path in images if not but(path)]
    yield from (Named(str(path), path, path.relative_to(folder)) for path in found)
    yield from (_vain(str(error.filename), f"can't be listed: {error.strerror}") for error in closed)
    if not found and not closed:
        others = f" but {len(images)} that are left out" if images else ""
        yield _vain(str(folder), f"a folder without images ({_suffixes()}){others}")


def _walk(folder: Path, on_closed: Callable[[OSError], None]) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=on_closed):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for path in map(Path(place).joinpath, files) if _is_image(path))


def _matching(pattern: str, but: Callable[[Path], bool]) -> Iterator[Named]:
    parts = PurePath(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if MAGIC & set(part))
    base, rest = Path(*parts[:fixed]), parts[fixed:]
    closed: list[OSError] = []
    try:
        matches = [path for path in base.glob(_files_of(rest)) if _is_shown(path.relative_to(base), rest)]
    except (ValueError, OSError) as error:
        yield _vain(pattern, f"not a glob that can be followed: {error}")
        return
    folders = [path for path in matches if path.is_dir() and not path.is_symlink()]
    found = {*matches, *(image for folder in folders for image in _walk(folder, closed.append))}
    images = sorted(path for path in found if _is_image(path) and not path.is_dir() and not but(path))
    yield from (Named(str(path), path, _below(path.relative_to(base))) for path in images)
    yield from (_vain(str(error.filename), f"can't be listed: {error.strerror}") for error in closed)
    if not images and not closed:
        others = f" but {len(matches)} others" if matches else ""
        yield _vain(pattern, f"a glob that matches no images ({_suffixes()}){others}")


def _files_of(parts: Sequence[str]) -> str:
    """Return the glob, which `**` at its end would give folders alone, or files too, by the version of Python."""
    return str(PurePath(*parts, "*") if parts[-1] == "**" else PurePath(*parts))


def _is_shown(inside: PurePath, pattern: Sequence[str]) -> bool:
    """Return whether nothing on the way is hidden, as a shell has it, unless the pattern asks for hidden names."""
    asked = any(part.startswith(".") for part in pattern)
    return asked or not any(part.startswith(".") for part in inside.parts)


def _below(inside: PurePath) -> PurePath:
    """Return the path without its `..`, so that it leads nowhere else."""
    return PurePath(*(part for part in inside.parts if part != ".."))


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _file(text: str) -> Named:
    return Named(text, Path(text), PurePath(Path(text).name))


def _vain(text: str, error: str) -> Named:
    return Named(text, Path(text), PurePath(), error)


def _is(question: Callable[[Path], bool], path: Path) -> bool:
    """Return the answer; no where it can't be had, as for a name that is too long."""
    try:
        return question(path)
    except OSError:
        return False


def _suffixes() -> str:
    return " ".join(sorted(SUFFIXES))
