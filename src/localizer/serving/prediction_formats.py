"""Predictions as flat rows, JSON lines and CSV."""

import csv
import json
from collections.abc import Callable, Iterable
from io import StringIO
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from localizer.predictor import FailedImage, Prediction

BOX_COLUMNS = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
COLUMNS = ("image", *BOX_COLUMNS, "margin_px", "confident", "width", "height", "error")


class OutputFormat(NamedTuple):
    """The encoding of a file of predictions: its header, and one prediction; both end in a line break."""

    header: bytes
    encode: "Callable[[Prediction | FailedImage], bytes]"


def to_row(prediction: "Prediction | FailedImage") -> dict[str, Any]:
    """Return the values of COLUMNS, None where the prediction or failure has none."""
    values = vars(prediction)
    box = dict(zip(BOX_COLUMNS, values.get("box_xyxy_px", ()), strict=False))  # a failure has no box
    return {name: values.get(name) for name in COLUMNS} | box


def to_json(prediction: "Prediction | FailedImage") -> bytes:
    """Return a line of ASCII; a byte of a file name that isn't UTF-8 becomes an unpaired surrogate, as in Python."""
    return json.dumps(vars(prediction)).encode() + b"\n"


def to_csv(prediction: "Prediction | FailedImage") -> bytes:
    """Return a CSV record in UTF-8, its booleans as in JSON."""
    values = to_row(prediction).values()
    return _csv_record(json.dumps(value) if isinstance(value, bool) else value for value in values)


def _csv_record(values: Iterable[object]) -> bytes:
    """Return a record; line breaks are quoted, and bytes of a file name that aren't UTF-8 escaped, as in `\\udcff`."""
    text = StringIO()
    csv.writer(text).writerow(values)  # its line break is \r\n, without which it would not quote a lone \r
    return (text.getvalue().removesuffix("\r\n") + "\n").encode(errors="backslashreplace")


FORMATS = {"jsonl": OutputFormat(b"", to_json), "csv": OutputFormat(_csv_record(COLUMNS), to_csv)}
