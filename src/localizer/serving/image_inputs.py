"""Image arguments of the command line: files, folders, globs, and paths on standard input."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from localizer.images.decoding import SUFFIXES
from localizer.serving.prediction_drawing import is_drawing

STDIN = "-"
GLOB_CHARACTERS = frozenset("*?[")
ACCEPTED = f"{' '.join(sorted(SUFFIXES))}; drawings of predict are not counted"


@dataclass(frozen=True, slots=True)
class ImageInput:
    """An image to predict, or an argument that yields none, with its `error`.

    name: the path as given or found. relative_path: below the given folder, or below the fixed part of the glob; for a
    file that was given itself, its name.
    """

    name: str
    path: Path
    relative_path: PurePath
    error: str = ""


def expand_inputs(arguments: Iterable[str], *, stdin_lines: Iterable[bytes]) -> Iterator[ImageInput]:
    """Yield the images that the arguments name, in the order of the arguments.

    A file may have any suffix. A folder, recursively, and a glob yield their files with an image suffix, sorted and
    without duplicates; hidden files and drawings of `predict` are skipped, and links to folders are not followed.
    stdin_lines: one path per line, which `-` stands for.
    """
    for argument in arguments:
        if argument == STDIN:
            yield from _from_stdin(stdin_lines)
        elif not argument:
            yield _input(argument, "an empty name")
        elif _is_folder(argument):
            yield from _from_folder(Path(argument))
        elif GLOB_CHARACTERS & set(argument) and not os.path.lexists(argument):
            yield from _from_glob(argument)
        else:
            yield _input(argument)


def _from_stdin(lines: Iterable[bytes]) -> Iterator[ImageInput]:
    names = [name for line in lines if (name := os.fsdecode(line.rstrip(b"\r\n")))]
    for name in names:
        yield _input(name, "a folder; expected a file") if _is_folder(name) else _input(name)
    if not names:
        yield _input(STDIN, "no paths on standard input")


def _from_folder(folder: Path) -> Iterator[ImageInput]:
    errors: list[OSError] = []
    images = sorted(_walk(folder, errors))
    yield from _inputs(images, folder, errors)
    if not images and not errors:
        yield _input(str(folder), f"a folder without images ({ACCEPTED})")


def _from_glob(pattern: str) -> Iterator[ImageInput]:
    parts = PurePath(pattern).parts
    fixed = next(index for index, part in enumerate(parts) if GLOB_CHARACTERS & set(part))
    base, errors = Path(*parts[:fixed]), list[OSError]()
    try:
        matches = _matches(base, parts[fixed:])
    except (ValueError, OSError) as error:
        yield _input(pattern, f"an invalid glob: {error}")
        return
    images = {path for path in matches if _is_image(path) and not path.is_dir()}
    for folder in matches:
        if folder.is_dir() and not folder.is_symlink():
            images |= {*_walk(folder, errors)}
    yield from _inputs(sorted(images), base, errors)
    if not images and not errors:
        others = f" but {len(matches)} others" if matches else ""
        yield _input(pattern, f"a glob that matches no images{others} ({ACCEPTED})")


def _matches(base: Path, pattern: Sequence[str]) -> list[Path]:
    """Return what the glob matches below `base`; as in a shell, hidden names only if the pattern has hidden parts."""
    # A final `**` matches only folders before Python 3.13.
    glob = PurePath(*pattern, "*") if pattern[-1] == "**" else PurePath(*pattern)
    hidden = any(part.startswith(".") for part in pattern)
    paths = base.glob(str(glob))
    return [path for path in paths if hidden or not any(p.startswith(".") for p in path.relative_to(base).parts)]


def _walk(folder: Path, errors: list[OSError]) -> Iterator[Path]:
    """Yield the images below a folder; append an error for each folder that can't be listed."""
    for parent, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (path for path in map(Path(parent).joinpath, files) if _is_image(path))


def _inputs(images: Iterable[Path], base: Path, errors: Iterable[OSError]) -> Iterator[ImageInput]:
    for path in images:
        # Without `..`, by which a drawing would leave its folder.
        parts = [part for part in path.relative_to(base).parts if part != ".."]
        yield ImageInput(str(path), path, PurePath(*parts))
    yield from (_input(str(error.filename), f"can't be listed: {error.strerror}") for error in errors)


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and not is_drawing(path)


def _is_folder(name: str) -> bool:
    return os.path.isdir(name)  # noqa: PTH112 -- False for a name that is too long, for which Path.is_dir raises


def _input(name: str, error: str = "") -> ImageInput:
    return ImageInput(name, Path(name), PurePath(Path(name).name), error)
