"""Answers as lines of text: JSON, or CSV."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localizer.predictor import FailedImage, Prediction

SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
COLUMNS = ("image", *SIDES, "margin_px", "confident", "width", "height", "error")


@dataclass(frozen=True)
class Format:
    """How answers are written: what comes before them, and the line of each; all end in a line break."""

    head: str
    line: "Callable[[Prediction | FailedImage], str]"


def as_json(answer: "Prediction | FailedImage") -> str:
    """Return a line of ASCII; a byte of a name that isn't UTF-8 is an unpaired surrogate, as Python has it."""
    return json.dumps(vars(answer)) + "\n"


def as_csv(answer: "Prediction | FailedImage") -> str:
    """Return a line, or more where the image's name has line breaks: quoted, as all readers of CSV know them."""
    told = dict(vars(answer))
    told |= zip(SIDES, told.pop("box_xyxy_px", ()), strict=False)  # none for a failure
    if told.get("confident") is not None:
        told["confident"] = json.dumps(told["confident"])
    return _row([told.get(name) for name in COLUMNS])


def encoded(text: str) -> bytes:
    """Return the text as UTF-8; what no UTF-8 can hold, the odd bytes of a name, is escaped: `\\udcff`."""
    return text.encode(errors="backslashreplace")


def _row(cells: list[object]) -> str:
    text = StringIO()
    csv.writer(text).writerow(cells)  # with its own line break, for a lone \r is quoted only where that has one
    return text.getvalue().removesuffix("\r\n") + "\n"


FORMATS = {"jsonl": Format("", as_json), "csv": Format(_row([*COLUMNS]), as_csv)}
