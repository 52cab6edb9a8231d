"""The sizes of images: from the annotations, and from the files' headers."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from localizer.datasets.image_sizes import annotated_sizes, first_sizes, header_sizes
from localizer.tables import Table


def table(*rows: tuple[str, str, str]) -> Table:
    return Table(rows, columns=["image", "width", "height"], dtype="str")


@pytest.mark.parametrize("text", ["1", "640", "640.0", "6.4e2", "1000000"])
def test_a_size_is_two_integers(text: str) -> None:
    assert annotated_sizes(table(("a", text, "480"))).tolist() == [[float(text), 480]]


@pytest.mark.parametrize("text", ["", "wide", "nan", "inf", "-5", "0", "0.5", "640.7", "1000001", "1e9"])
def test_a_size_with_one_invalid_side_is_unknown(text: str) -> None:
    assert np.isnan(annotated_sizes(table(("a", text, "80"), ("a", "100", text)))).all()


def test_the_size_of_an_image_is_the_first_that_is_known_of_its_rows() -> None:
    found = first_sizes(table(("b", "", "9"), ("a", "7", "8"), ("b", "100", "80"), ("b", "50", "40"), ("c", "", "")))
    assert found["image"].tolist() == ["b", "a", "c"]
    assert found[["width", "height"]].fillna(-1).to_numpy().tolist() == [[100, 80], [7, 8], [-1, -1]]


def test_the_size_of_an_image_is_that_of_its_upright_view(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "turned.jpg", exif=exif)
    Image.new("RGB", (30, 20)).save(tmp_path / "plain.png")
    assert header_sizes(["plain.png", "turned.jpg", "plain.png"], tmp_path).tolist() == [[30, 20], [20, 30], [30, 20]]


def test_the_size_of_what_is_no_image_is_unknown_and_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("<html>")
    os.mkfifo(tmp_path / "fifo.jpg")
    assert np.isnan(header_sizes(["text.jpg", "fifo.jpg", "missing.jpg", "", "a\0b"], tmp_path)).all()
    assert header_sizes([], tmp_path).shape == (0, 2)
