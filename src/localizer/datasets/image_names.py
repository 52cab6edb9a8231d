"""Names of images as annotated, and the files that they stand for: one mapping for all of them."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import product
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

from localizer.dataset import ImageNames
from localizer.images.decoding import SUFFIXES
from localizer.probing.file_names import as_utf8, folded, names_below

ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://[^/]*/?")
LOCAL_FILES = re.compile(r"^.*/local-files/\?d=")  # Label Studio's address of a local file
QUERY = re.compile(r"^([A-Za-z]+://[^?]*)\?.*$")
DRIVE = re.compile(r"^[A-Za-z]:")
UPLOAD_PREFIX = re.compile(r"^[0-9a-f]{8}-")
SAMPLE = 2000  # names that the candidates are compared on


def image_files(images: Path | None) -> list[str]:
    """Return the names of the image files below a folder."""
    if images is None or not images.is_dir():
        return []
    return [as_utf8(name) for name in names_below(images) if PurePosixPath(name).suffix.lower() in SUFFIXES]


def renamed(names: Iterable[str], images: Path | None, rules: ImageNames) -> dict[str, str]:
    """Return for each name that of its file by the rules; the name itself where no file, or several, have it.

    Names of files stay as they are. Two names never become one: then none of the two is changed.
    """
    unique, files = list(dict.fromkeys(names)), image_files(images)
    return _mapping(unique, files, rules)


def detect_image_names(names: Iterable[str], images: Path | None) -> tuple[ImageNames | None, str]:
    """Return the rules by which most names are those of files, and why; None where they are so as they stand.

    Of rules that fit equally well, those that change the least.
    """
    unique, files = list(dict.fromkeys(names)), image_files(images)
    known = set(files)
    missing = [name for name in unique if name not in known]
    if not missing or not files:
        return None, ""
    sample = missing[:: max(1, len(missing) // SAMPLE)]
    best = max(_candidates(sample), key=lambda rules: _found(sample, files, rules))
    before, found = len(unique) - len(missing), _found(unique, files, best)
    if found <= before:
        return None, ""
    written = f", not {before} as written" if before else ""
    reason = f"image_names: {describe(best)}, since so {found} of {len(unique)} names are files below {images}{written}"
    return best, reason


def last_names(names: Iterable[str]) -> set[str]:
    """Return the last parts of names, in lower case and without the suffixes of images."""
    return {last_name(name)[0] for name in names}


def last_name(name: str) -> tuple[str, bool]:
    """Return a name's last part, in lower case and without the suffix of an image, and whether it has one."""
    path = PurePosixPath(_plain(name).lower())
    is_image = path.suffix in SUFFIXES
    return path.name.removesuffix(path.suffix) if is_image else path.name, is_image


def describe(rules: ImageNames) -> str:
    """Return rules in words."""
    words = ["the whole path"] if not rules.parts else [f"the last {rules.parts} parts of paths"]
    words = ["the last part of paths"] if rules.parts == 1 else words
    words += ["without the suffix"] if rules.suffix == "ignore" else []
    words += ["in any case"] if rules.case == "ignore" else []
    words += ["with %20 as a blank"] if rules.escapes == "decode" else []
    words += ["without the upload's prefix"] if rules.upload_prefix == "drop" else []
    return ", ".join(words)


def _candidates(names: Sequence[str]) -> list[ImageNames]:
    """Return the rules to try, those first that change the least."""
    deepest = max((len(_plain(name).split("/")) for name in names), default=1)
    options = {"suffix": ("same", "ignore"), "case": ("same", "ignore"), "escapes": ("same", "decode")}
    options |= {"upload_prefix": ("keep", "drop"), "parts": (0, *range(min(deepest, 8), 0, -1))}
    rules = [dict(zip(options, values, strict=True)) for values in product(*options.values())]
    changes = [sum(value not in ("same", "keep") for key, value in rule.items() if key != "parts") for rule in rules]
    return [ImageNames.model_validate(rules[index]) for index in np.argsort(changes, kind="stable")]


def _found(names: Sequence[str], files: Sequence[str], rules: ImageNames) -> int:
    known = set(files)
    return sum(name in known for name in _mapping(names, files, rules).values())


def _mapping(names: Sequence[str], files: Sequence[str], rules: ImageNames) -> dict[str, str]:
    known = set(files)
    keys = Counter(_key(file, rules) for file in files)
    by_key = {key: file for file in files if keys[key := _key(file, rules)] == 1}
    mapping = {name: name if name in known else by_key.get(_annotated_key(name, rules), name) for name in names}
    targets = Counter(mapping.values())
    return {name: file if targets[file] == 1 else name for name, file in mapping.items()}


def _annotated_key(name: str, rules: ImageNames) -> str:
    plain = _plain(name)
    plain = unquote(plain) if rules.escapes == "decode" else plain
    folder, _, last = plain.rpartition("/")
    if rules.upload_prefix == "drop":
        plain = posixpath.join(folder, UPLOAD_PREFIX.sub("", last))
    return _key(plain, rules)


def _key(name: str, rules: ImageNames) -> str:
    """Return what two names share that are the same by the rules."""
    parts = name.split("/")[-rules.parts :]
    if rules.suffix == "ignore" and PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES:
        parts[-1] = parts[-1].rpartition(".")[0]
    path = "/".join(parts)
    return folded(path) if rules.case == "ignore" else path


@cache
def _plain(name: str) -> str:
    """Return a name as a path below some root: without an address, a drive and `..`."""
    path = LOCAL_FILES.sub("", QUERY.sub(r"\1", name))
    path = DRIVE.sub("", ADDRESS.sub("", path).replace("\\", "/"))
    return re.sub(r"^(\.\./|/)+", "", posixpath.normpath(path))
