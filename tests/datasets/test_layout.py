"""How a CSV is written: encoding, separator, decimal mark, header and blanks."""

from pathlib import Path
from typing import Any

import pytest

from localizer.datasets.detection.layout import detect_layout
from localizer.datasets.readers.csv import csv_records
from localizer.datasets.readers.table import Layout
from localizer.findings import BadFileError

HEADER, ROWS = "image,label,a,b,c,d\n", "a.jpg,cat,1.5,2,30,40\nb.jpg,dog,5,6,70,80\n"


def written(folder: Path, content: bytes | str) -> Path:
    path = folder / "x.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (HEADER + ROWS, {}),
        (ROWS, {"header": False}),
        ((HEADER + ROWS).replace(",", ";"), {"separator": ";"}),
        ((HEADER + ROWS).replace(",", "\t"), {"separator": "\t"}),
        ((HEADER + ROWS).replace(",", "|"), {"separator": "|"}),
        ("image;a;b;c;d\na.jpg;1,5;2,5;3,5;4,5\n", {"separator": ";", "decimal": ","}),
        ("a.jpg;1,5;2,5;3,5;4,5\n", {"separator": ";", "decimal": ",", "header": False}),
        ("image, a, b\na.jpg, 1, 2\n", {"strip": True}),
        ((HEADER + ROWS).encode("utf-16"), {"encoding": "utf-16"}),
        (b"\xef\xbb\xbf" + (HEADER + ROWS).encode(), {}),
        ('image,box\na.jpg,"[1, 2, 3, 4]"\nb.jpg,"[5, 6, 7, 8]"\n', {}),
        ('a.jpg,"[1, 2, 3, 4]"\nb.jpg,"[5, 6, 7, 8]"\n', {"header": False}),
        ("a.jpg,cat,1,2,30,40\n", {"header": False}),
        ("image,label,a,b,c,d\n", {}),
        ("1,2,3,4,5\na.jpg,10,20,30,40\nb.jpg,10,20,30,40\n", {"header": False}),
        ("0.jpg,cat,,,,\nb.jpg,dog,5,6,70,80\n", {"header": False}),  # an image without a box
    ],
)
def test_a_layout_is_found(tmp_path: Path, content: bytes | str, changed: dict[str, Any]) -> None:
    layout, reasons = detect_layout(written(tmp_path, content), {})
    assert layout == Layout(**changed)
    assert [reason.split(":")[0] for reason in reasons] == [name for name in vars(layout) if name in changed]


def test_what_is_given_wins(tmp_path: Path) -> None:
    path = written(tmp_path, "Höhe;x\n1;2\n".encode("cp1252"))
    layout, reasons = detect_layout(path, {"encoding": "cp1252", "header": False, "separator": ";", "decimal": "."})
    assert layout == Layout("cp1252", ";", header=False)
    assert reasons == [
        "encoding: cp1252, as given",
        "separator: semicolons, as given",
        "header: none, since the first row looks like the others; columns are called 1, 2, 3, as given",
    ]
    assert list(csv_records(path, layout)) == [(0, ["1", "2"]), (1, ["Höhe", "x"]), (2, ["1", "2"])]


def test_an_encoding_that_is_not_certain_is_asked_for_with_a_word(tmp_path: Path) -> None:
    with pytest.raises(BadFileError, match=r"x\.csv:2: not_utf_8: .*which makes 'Bär' in cp1252"):
        detect_layout(written(tmp_path, "image,label,x\na.jpg,Bär,1\n".encode("cp1252")), {})
