"""Decoded images on disk: the same pixels as decoding gives, made once, of the files that the tables describe."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from localizer.data import decoded as module
from localizer.data.decoded import KEPT, decoded
from localizer.data.images import ImageError, read_squares

SIZE = 8


@pytest.fixture
def photos() -> list[Path]:
    drawn = np.random.default_rng(0).integers(0, 256, (5, 20, 30, 3), dtype=np.uint8)
    paths = [Path(f"{number}.png") for number in range(len(drawn))]
    for path, pixels in zip(paths, drawn, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def digests(paths: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def test_the_pixels_are_those_that_decoding_gives(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    pixels = decoded(photos, digests(photos), SIZE, folder=Path("cache"))
    np.testing.assert_array_equal(pixels, read_squares(photos, SIZE))


def test_the_second_time_no_image_is_read(photos: list[Path]) -> None:
    told = digests(photos)
    first = decoded(photos, told, SIZE, folder=Path("cache"))
    for path in photos:
        path.unlink()
    np.testing.assert_array_equal(decoded(photos, told, SIZE, folder=Path("cache")), first)
    with pytest.raises(FileNotFoundError):  # the control: another size is not there yet
        decoded(photos, told, SIZE + 1, folder=Path("cache"))


def test_a_cut_file_is_made_again(photos: list[Path]) -> None:
    whole = np.array(decoded(photos, digests(photos), SIZE, folder=Path("cache")))
    (file,) = Path("cache").glob("*.rgb")
    file.write_bytes(file.read_bytes()[:-1])
    np.testing.assert_array_equal(decoded(photos, digests(photos), SIZE, folder=Path("cache")), whole)


def test_a_file_that_the_tables_do_not_describe_is_named_and_nothing_is_kept(photos: list[Path]) -> None:
    told = digests(photos)
    photos[3].write_bytes(photos[2].read_bytes())
    with pytest.raises(ImageError, match=r"3\.png: not the file that the tables describe"):
        decoded(photos, told, SIZE, folder=Path("cache"))
    assert not list(Path("cache").iterdir())


def test_writing_to_the_pixels_changes_no_file(photos: list[Path]) -> None:
    pixels = decoded(photos, digests(photos), SIZE, folder=Path("cache"))
    pixels[:] = 0
    assert decoded(photos, digests(photos), SIZE, folder=Path("cache")).any()


def test_no_images_give_no_pixels() -> None:
    assert decoded([], [], SIZE, folder=Path("cache")).shape == (0, SIZE, SIZE, 3)


def test_the_files_that_were_used_last_are_kept(photos: list[Path]) -> None:
    for size in range(1, KEPT + 3):
        decoded(photos, digests(photos), size, folder=Path("cache"))
    assert len(list(Path("cache").iterdir())) == KEPT
