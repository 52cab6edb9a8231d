"""Two versions of a file, told so that a person sees what differs."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from localizer.config import flatten, read_yaml

WIDTH = 100  # characters of a line or a value that are shown
LINES = (".csv", ".md", ".py", ".txt", ".xml", ".html")
NOTHING = "(nothing)"


def explain(path: str, sides: Mapping[str, Path]) -> str:
    """Return what differs between two versions of a file; sides: its places by what they are called."""
    suffix = Path(path).suffix
    try:
        if suffix in LINES:
            return _first_line(path, sides)
        if suffix in (".json", ".yaml"):
            changes = values_changed(*map(_read, sides.values()))
            return "\n".join(f"{path}: {change} ({' -> '.join(sides)})" for change in changes) or _sizes(path, sides)
        if suffix == ".safetensors":
            return _tensors(path, sides)
    except (ValueError, TypeError, OSError):
        pass  # it isn't what its suffix says, as a damaged file may be
    return _sizes(path, sides)


def values_changed(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[str]:
    """Yield "key: value -> value" for each dotted key that differs; of lists, the items that the other has not."""
    flat = [flatten(dict(values)) for values in (one, two)]
    for key in sorted(flat[0].keys() | flat[1].keys()):
        old, new = (values.get(key, NOTHING) for values in flat)
        if old == new and type(old) is type(new):
            continue
        if isinstance(old, list) and isinstance(new, list):
            old, new = [item for item in old if item not in new], [item for item in new if item not in old]
        yield f"{key}: {_cut(str(old))} -> {_cut(str(new))}"


def _first_line(path: str, sides: Mapping[str, Path]) -> str:
    texts = [side.read_bytes().decode().split("\n") for side in sides.values()]
    pairs = enumerate(zip_longest(*texts, fillvalue=NOTHING), start=1)
    number, lines = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    apart = next(place for place, pair in enumerate(zip_longest(*lines)) if pair[0] != pair[1])
    start = max(0, apart - WIDTH // 2)  # so that what differs is seen in a long line, too
    width = max(map(len, sides)) + 1
    shown = [f"    {f'{name}:':<{width}} {_cut(line, start)}" for name, line in zip(sides, lines, strict=True)]
    return "\n".join([f"{path}:{number}:", *shown])


def _tensors(path: str, sides: Mapping[str, Path]) -> str:
    """Return how many tensors differ in their bits, and by how much; ValueError where a file can't be read."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        one, two = (load_file(side) for side in sides.values())
    except SafetensorError as error:
        raise ValueError(f"{path}: {error}") from None
    shapes = [{name: (tensor.shape, tensor.dtype) for name, tensor in side.items()} for side in (one, two)]
    if shapes[0] != shapes[1]:
        names = sorted(name for name in one.keys() | two.keys() if shapes[0].get(name) != shapes[1].get(name))
        return f"{path}: {len(names)} tensors of other shapes or names: {_cut(', '.join(names))}"
    raw = [{name: tensor.flatten().view(torch.uint8) for name, tensor in side.items()} for side in (one, two)]
    names = [name for name in one if not torch.equal(raw[0][name], raw[1][name])]
    apart = {name: float((one[name].double() - two[name].double()).abs().max()) for name in names}
    if not names:
        return _sizes(path, sides)
    most = max(names, key=lambda name: (apart[name] != apart[name], apart[name]))  # a NaN first of all
    return f"{path}: {len(names)} of {len(one)} tensors differ, {most} the most: by {apart[most]:.3g}"


def _sizes(path: str, sides: Mapping[str, Path]) -> str:
    """Return sizes and digests, for what can't be shown better."""
    contents = {name: side.read_bytes() for name, side in sides.items()}
    md5 = {name: hashlib.md5(content, usedforsecurity=False).hexdigest() for name, content in contents.items()}
    return f"{path}: " + "; ".join(f"{name} {len(contents[name]):,} bytes, md5 {md5[name]}" for name in sides)


def _read(path: Path) -> dict[str, Any]:
    values = json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else read_yaml(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path}: no mapping")
    return values


def _cut(text: str, start: int = 0) -> str:
    text = ("…" if start else "") + text[start:].replace("\r", "\\r")
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"
