"""Creating a data set's folder, data/NAME, from a person's own annotations and images."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from ruamel.yaml import YAML

from localizer.dataset import DATASET_NAME, DatasetConfig
from localizer.datasets.annotations import BELOW, READERS, annotation_files, read_boxes, read_columns
from localizer.datasets.readers.yolo import names_file

HEADING = "# What each key means: docs/reference/dataset-yaml.md\n"
MAX_IN_GIT = 20_000_000  # bytes of annotations; DVC tracks more, as it does the images


def unused_columns(config: DatasetConfig, annotations: Path) -> list[str]:
    """Return the columns of a CSV that the config does not use."""
    columns = read_columns(config, annotations)
    return columns.loc[columns["used_as"] == "", "column"].tolist()


def check_name(name: str, root: Path = Path("data")) -> None:
    """Raise ValueError if a data set's name is invalid or taken."""
    if not re.fullmatch(DATASET_NAME, name):
        raise ValueError(
            f"{name!r}: the name of a data set has letters, digits, dots, _ and -, a letter or digit first"
        )
    if (root / name).exists():
        raise ValueError(f"{root / name}: exists already; choose another name, or remove it")


def create_dataset(
    name: str,
    config: DatasetConfig,
    *,
    annotations: Path,
    images: Path,
    root: Path = Path("data"),
    finish: Callable[[Path], None] = lambda part: None,
) -> Path:
    """Create data/NAME with dataset.yaml and raw/, all or nothing; return the folder.

    Annotations are copied, as they will be edited; images are hard links, or else copies. finish: is called with the
    folder before it gets its name. ValueError if the name is taken or invalid, or a path is missing; BadFileError if
    the annotations can't be read.
    """
    check_name(name, root)
    if missing := [path for path in (annotations, images) if not path.exists()]:
        raise ValueError(f"{missing[0]}: no such file or folder")
    part = root / f".{name}.part"
    raw = part / "raw"
    shutil.rmtree(part, ignore_errors=True)
    try:
        _copy_annotations(config, annotations, raw / config.annotations)
        _link(images, raw / config.images)
        _write_config(config, part / "dataset.yaml")
        read_boxes(config, raw / config.annotations, images=raw / config.images)
        finish(part)
        return part.rename(root / name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def track(folder: Path, config: DatasetConfig) -> list[Path]:
    """Add the images of data/NAME to DVC, and annotations over MAX_IN_GIT; return what was added."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    raw = folder / "raw"
    paths = [raw / config.images]
    if sum(path.stat().st_size for path, _ in _pairs(raw / config.annotations, raw, "**/*")) > MAX_IN_GIT:
        paths.append(raw / config.annotations)
    try:
        with Repo() as repo:
            repo.scm_context.autostage, repo.scm_context.quiet = False, True  # the folder has no name yet
            repo.add([str(path) for path in paths])
    except DvcException as error:
        command = f"dvc add {' '.join(map(str, paths))}"
        raise ValueError(f"{raw}: not added to DVC ({error}); run `{command}` in the project's folder") from None
    return paths


def _copy_annotations(config: DatasetConfig, source: Path, target: Path) -> None:
    """Copy a file, or the files of the format in a folder, and the file that names YOLO's classes."""
    if source.is_file() or (pattern := READERS[config.format].PATTERN).startswith(BELOW):
        pairs = list(_pairs(source, target, "" if source.is_file() else pattern))
    else:
        files = annotation_files(config.format, source)
        pairs = [(file, target / file.relative_to(source)) for file in files]
    if config.format == "yolo" and (names := names_file(source)):
        pairs.append((names, target / names.name))
    for path, copy in pairs:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _link(images: Path, target: Path) -> None:
    """Create hard links, or else copies, of the files in a folder."""
    for path, link in _pairs(images, target, "**/*"):
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path.resolve(), link)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, link)


def _pairs(source: Path, target: Path, pattern: str) -> Iterator[tuple[Path, Path]]:
    """Yield a file, or the files in a folder that match the pattern, each with its path in the target."""
    if source.is_file():
        yield source, target
    for path in sorted(source.glob(pattern)) if source.is_dir() else []:
        if path.is_file():
            yield path, target / path.relative_to(source)


def _write_config(config: DatasetConfig, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADING)
        YAML(typ="safe", pure=True).dump(config.model_dump(exclude_none=True), file)
