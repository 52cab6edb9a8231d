"""The annotations that a command reads: a data set's folder, or files by options and column names."""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Option

from localizer.commands.options import UsageError
from localizer.findings import BadFileError, Finding, critical

if TYPE_CHECKING:
    from localizer.dataset import Dataset

COLUMNS = ("image", "box", "label", "group", "width", "height", "split")
LAYOUT = ("encoding", "separator", "decimal", "header")
OTHERS = ("label", "box_format", "box_units", "box_origin", "shapes", "multiple", "on_bad_row", "clip_px", *LAYOUT)
SEPARATORS = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
FILES = "a file or folder of annotations: docs/reference/formats.md"
TARGET = f"{FILES}; or a data set's folder, data/NAME"
NO_HEADER = "whether a CSV's first row names its columns; without, they are called 1, 2, 3"

_reading = partial(Option, rich_help_panel="How to read the annotations, where it isn't detected correctly")


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How to read annotations; None where it is to be detected."""

    image_column: Annotated[
        str | None, _reading(metavar="NAME", help="column of the image's path, relative to --images")
    ] = None
    box_columns: Annotated[
        str | None, _reading(metavar="A,B,C,D", help="the four columns of a box, in the order of --box-format")
    ] = None
    label_column: Annotated[str | None, _reading(metavar="NAME", help="column of the class name")] = None
    group_column: Annotated[
        str | None, _reading(metavar="NAME", help="column of what a split must keep together: a video, a patient")
    ] = None
    width_column: Annotated[
        str | None, _reading(metavar="NAME", help="column of the image's width in pixels, to be checked")
    ] = None
    height_column: Annotated[
        str | None, _reading(metavar="NAME", help="column of the image's height in pixels, to be checked")
    ] = None
    split_column: Annotated[
        str | None, _reading(metavar="NAME", help="column of the split that an image belongs to")
    ] = None
    box_format: Annotated[
        Literal["xyxy", "xywh", "cxcywh", "xyhw"] | None, _reading(help="the order of a box's four numbers")
    ] = None
    box_units: Annotated[
        Literal["pixel", "unit", "percent", "thousandth"] | None,
        _reading(help="unit: fractions of width and height"),
    ] = None
    box_origin: Annotated[
        int | None, _reading(metavar="0|1", min=0, max=1, help="1: pixels counted from 1, as in Pascal VOC")
    ] = None
    shapes: Annotated[Literal["ignore", "bounds"] | None, _reading(help="bounds: polygons count by their bounds")] = (
        None
    )
    label: Annotated[
        str | None, _reading(metavar="NAME", help="the label of the one object; all labels if not given")
    ] = None
    multiple: Annotated[Literal["error", "largest", "drop"] | None, _reading(help="for images with several boxes")] = (
        None
    )
    on_bad_row: Annotated[Literal["fail", "quarantine"] | None, _reading(help="quarantine: set bad rows aside")] = None
    clip_px: Annotated[
        float | None, _reading(metavar="PX", help="clip boxes that exceed their image by at most so many pixels")
    ] = None
    from_format: Annotated[
        str | None, _reading("--from", metavar="FORMAT", help="format of the annotations: csv, coco, voc, ...")
    ] = None
    encoding: Annotated[str | None, _reading(metavar="NAME", help="of a CSV's text: utf-8, cp1252, utf-16, ...")] = None
    separator: Annotated[str | None, _reading(metavar="NAME", help="of a CSV: comma, semicolon, tab or bar")] = None
    decimal: Annotated[Literal[".", ","] | None, _reading(help="the decimal mark of a CSV's numbers")] = None
    header: Annotated[bool | None, _reading("--header/--no-header", help=NO_HEADER)] = None

    def choices(self) -> dict[str, Any]:
        """Return the options as the choices of `propose_config`."""
        columns = {name: getattr(self, f"{name}_column") for name in COLUMNS if name != "box"}
        columns["box"] = self.box_columns.split(",") if self.box_columns is not None else None
        separator = SEPARATORS.get(self.separator or "", self.separator)
        others = {name: getattr(self, name) for name in OTHERS} | {"separator": separator}
        return others | {"format": self.from_format, "columns": columns}

    def as_typed(self) -> list[str]:
        """Return the words of the options that were given."""
        words = []
        for name in self.given():
            value = getattr(self, {"--from": "from_format"}.get(name, name[2:].replace("-", "_")))
            words += [name, str(value)] if not isinstance(value, bool) else [name if value else f"--no-{name[2:]}"]
        return words

    def given(self) -> list[str]:
        """Return the options that were given, as they are typed."""
        names = [
            "from" if name == "from_format" else name
            for name in ReadingOptions.__annotations__
            if getattr(self, name) is not None
        ]
        return [f"--{name.replace('_', '-')}" for name in names]


def find_dataset(
    target: Path, options: ReadingOptions, *, images: Path | None, config_path: Path | None = None
) -> "tuple[Dataset, tuple[str, ...]]":
    """Return a data set's folder, or annotations read by a config, or by options and column names; and why so.

    config_path: a dataset.yaml that lies elsewhere. The reasons are one line for each detected value. Raises UsageError
    where options contradict a config, BadFileError where a config is wrong or columns can't be detected.
    """
    from localizer.dataset import Dataset
    from localizer.datasets.detection.propose import propose_config

    own = target / "dataset.yaml"
    if own.is_file() or config_path:
        if contrary := options.given():
            raise UsageError(f"{', '.join(contrary)}: dataset.yaml declares this; leave it out, or edit dataset.yaml")
        return _by_config(target, None if own.is_file() else config_path, images), ()
    try:
        proposal = propose_config(target.resolve().stem or "dataset", target, options.choices(), images=images)
    except BadFileError:
        raise
    except ValueError as error:
        raise UsageError(str(error)) from None
    return Dataset(proposal.config, target, images), proposal.reasons


def _by_config(target: Path, config_path: Path | None, images: Path | None) -> "Dataset":
    """Return a data set's folder, or annotations by a config that lies elsewhere."""
    from localizer.dataset import Dataset, open_dataset, read_config_file

    try:
        if config_path:
            return Dataset(read_config_file(config_path), target, images, config_path)
        dataset = open_dataset(target)
        return replace(dataset, images=images or dataset.images)
    except ValueError as error:
        file = str(config_path or target / "dataset.yaml")
        raise BadFileError([_config_fault(file, line) for line in str(error).splitlines()]) from None


def _config_fault(file: str, message: str) -> Finding:
    """Return the finding on one line of the error of a config."""
    place = re.match(r"(?::(?P<line>\d+))?\.?(?P<key>[^:]*): (?P<text>.*)", message.removeprefix(file))
    line, key, text = place.groups() if place else (None, "", message)
    expected, got = "a valid dataset.yaml", f"a problem: {text}"
    if values := re.fullmatch(r"(?:expected|input should be) (.*), got (.*)", text):
        expected, got = values.groups()
        expected = f"a value {expected}" if expected.startswith(("greater", "less")) else expected
    elif text == "missing":
        expected, got = "the key", "none"
    elif text.startswith("unknown key"):
        known = text.partition("the keys are ")[2].split(", ")
        meant = get_close_matches(key.rpartition(".")[2], known, n=1)
        expected, got = "a known key", "an unknown one" + "".join(f"; is it `{name}`?" for name in meant)
    fix, number = "correct it: docs/reference/dataset-yaml.md has the keys", int(line) if line else None
    return critical(file, "card_invalid", line=number, column=key, got=got, expected=expected, fix=fix)
