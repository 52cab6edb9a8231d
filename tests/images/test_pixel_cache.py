"""Decoded images on disk: the same pixels as decoding gives, made once, of the files that the tables describe."""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pandas as pd
import pytest
from memory_use import mapped_mib
from PIL import Image

from localizer.images import pixel_cache as module
from localizer.images.decoding import ImageError, read_squares
from localizer.images.pixel_cache import KEPT, load_pixels, release_pages

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
    monkeypatch.setattr(module, "CHUNK", 2)
    pixels = load_pixels(photos, digests(photos), SIZE, folder=Path("cache"))
    np.testing.assert_array_equal(pixels, read_squares(photos, SIZE))


def test_the_second_time_no_image_is_read(photos: list[Path]) -> None:
    told = digests(photos)
    first = load_pixels(photos, told, SIZE, folder=Path("cache"))
    for path in photos:
        path.unlink()
    np.testing.assert_array_equal(load_pixels(photos, told, SIZE, folder=Path("cache")), first)
    with pytest.raises(FileNotFoundError):  # the control: another size is not there yet
        load_pixels(photos, told, SIZE + 1, folder=Path("cache"))


def test_a_cut_file_is_made_again(photos: list[Path]) -> None:
    whole = np.array(load_pixels(photos, digests(photos), SIZE, folder=Path("cache")))
    (file,) = Path("cache").glob("*.rgb")
    file.write_bytes(file.read_bytes()[:-1])
    np.testing.assert_array_equal(load_pixels(photos, digests(photos), SIZE, folder=Path("cache")), whole)


def test_a_file_that_the_tables_do_not_describe_is_named_and_nothing_is_kept(photos: list[Path]) -> None:
    told = digests(photos)
    photos[3].write_bytes(photos[2].read_bytes())
    with pytest.raises(ImageError, match=r"3\.png: changed since `prepare` ran"):
        load_pixels(photos, told, SIZE, folder=Path("cache"))
    assert not list(Path("cache").glob("*.rgb*"))


def test_of_two_at_once_one_decodes_and_the_other_waits(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    decode, began, go_on, calls = module._decode, Event(), Event(), []

    def slow(*arguments: Any) -> None:
        calls.append(arguments)
        began.set()
        assert go_on.wait(60)
        decode(*arguments)

    monkeypatch.setattr(module, "_decode", slow)
    told = digests(photos)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(load_pixels, photos, told, SIZE, folder=Path("cache")) for _ in range(2)]
        assert began.wait(60)
        time.sleep(0.1)  # for the other to get as far as it can
        go_on.set()
        for one in both:
            np.testing.assert_array_equal(one.result(), read_squares(photos, SIZE))
    assert len(calls) == 1


def test_writing_to_the_pixels_changes_no_file(photos: list[Path]) -> None:
    pixels = load_pixels(photos, digests(photos), SIZE, folder=Path("cache"))
    pixels[:] = 0
    assert load_pixels(photos, digests(photos), SIZE, folder=Path("cache")).any()


def test_no_images_give_no_pixels() -> None:
    assert load_pixels([], [], SIZE, folder=Path("cache")).shape == (0, SIZE, SIZE, 3)


def test_the_files_that_were_used_last_are_kept(photos: list[Path]) -> None:
    for size in range(1, KEPT + 3):
        load_pixels(photos, digests(photos), size, folder=Path("cache"))
    assert len(list(Path("cache").glob("*.rgb"))) == KEPT


def test_of_several_processes_one_decodes_and_all_map_the_same_file(photos: list[Path]) -> None:
    context = get_context("spawn")
    start = context.Barrier(3)
    arguments = (start, photos, digests(photos), Path("cache"), Path("decoding"))
    ranks = [context.Process(target=map_and_sum, args=(*arguments, Path(f"rank{rank}"))) for rank in range(3)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [0, 0, 0]
    (file,) = Path("cache").glob("*.rgb")
    expected = f"{file.stat().st_ino} {int(read_squares(photos, SIZE).sum())}"
    assert [Path(f"rank{rank}").read_text() for rank in range(3)] == [expected] * 3
    assert Path("decoding").read_text() == "once\n"


def map_and_sum(start: Barrier, photos: list[Path], told: list[str], cache: Path, log: Path, mine: Path) -> None:
    """Write which file was mapped, and the sum of its pixels; note it where this process was the one to decode."""
    decode = module._decode

    def noted(*arguments: Any, **named: Any) -> None:
        with log.open("a") as file:
            file.write("once\n")
        decode(*arguments, **named)

    module._decode = noted
    start.wait(60)
    pixels = load_pixels(photos, told, SIZE, folder=cache)
    mine.write_text(f"{Path(str(pixels.filename)).stat().st_ino} {int(pixels.sum())}")  # type: ignore[attr-defined]


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="asks Linux for the memory of mapped files")
@pytest.mark.parametrize("view", [False, True])
def test_what_was_looked_at_is_given_back_and_read_again(photos: list[Path], view: bool) -> None:
    size = 2048  # 5 images of 12 MiB
    pixels = load_pixels(photos, digests(photos), size, folder=Path("cache"))
    before, looked_at = mapped_mib(), pixels.copy()
    assert mapped_mib() - before > 55  # the control
    release_pages(pixels.transpose(0, 3, 1, 2)[1:] if view else pixels)
    assert mapped_mib() - before < 5
    np.testing.assert_array_equal(pixels, looked_at)
    assert mapped_mib() - before > 55


def test_an_array_that_is_no_map_stays_as_it_is() -> None:
    pixels = np.full((2, SIZE, SIZE, 3), 7, np.uint8)
    release_pages(pixels)
    release_pages(pixels[1:])
    assert (pixels == 7).all()


def test_paths_and_digests_may_be_columns_of_a_table(photos: list[Path]) -> None:
    table = pd.DataFrame({"path": [str(photo) for photo in photos], "sha256": digests(photos)})[1:]
    pixels = load_pixels(table["path"].array, table["sha256"].array, SIZE, folder=Path("cache"))
    np.testing.assert_array_equal(pixels, read_squares(photos[1:], SIZE))
    again = load_pixels(photos[1:], digests(photos)[1:], SIZE, folder=Path("cache"))
    assert again.filename == pixels.filename  # type: ignore[attr-defined]
