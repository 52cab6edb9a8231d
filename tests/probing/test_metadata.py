"""Metadata of images: names that are refused, good and broken files, unannotated images, and the cache."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from localizer.images.decoding import MAX_PIXELS, OUT_OF_MEMORY
from localizer.probing.metadata import BATCH, MAX_PENDING, ImageMetadata, probe_image, probe_images

ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (9, 7), "red").save(images / "good.png")
    return images


def probe(folder: Path, name: str) -> ImageMetadata:
    return probe_image(folder, name, annotated=True)


def test_the_metadata_of_a_good_image(folder: Path) -> None:
    content = (folder / "good.png").read_bytes()
    assert probe(folder, "good.png") == ImageMetadata(
        image="good.png",
        path=(folder / "good.png").as_posix(),
        annotated=True,
        exists=True,
        decodes=True,
        problem="",
        width=9,
        height=7,
        mode="RGB",
        format="PNG",
        orientation=1,
        frames=1,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        phash="",  # a plain image
    )


@pytest.mark.parametrize(
    "name",
    [
        *("", "/etc/hostname", "//host/share/x", "http://host/x.jpg", "file:///etc/hostname"),
        *("\\\\host\\share", "C:\\x.jpg", "C:/x.jpg", "c:x.jpg", "a\\b.jpg"),
        *("./a.jpg", "a.jpg/", "sub//a.jpg"),
        *("a\nb.jpg", "a\rb.jpg", "a\tb.jpg", "a\0b.jpg"),
    ],
)
def test_a_name_that_is_no_relative_path_is_refused(folder: Path, name: str) -> None:
    metadata = probe(folder, name)
    assert metadata.problem == "not a plain path relative to the images folder"
    assert (metadata.image, metadata.exists, metadata.decodes, metadata.sha256) == (name, False, False, "")


@pytest.mark.parametrize("name", ["../secret.png", "sub/../good.png", "link.png", "linked/secret.png"])
def test_a_file_outside_the_folder_is_refused_though_it_exists(folder: Path, name: str) -> None:
    Image.new("RGB", (2, 2)).save(folder.parent / "secret.png")
    (folder / "sub").mkdir()
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "linked").symlink_to(folder.parent)
    assert (folder / name).exists()
    metadata = probe(folder, name)
    assert (metadata.problem, metadata.exists, metadata.sha256) == ("outside the images folder", False, "")


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "link.png").symlink_to("good.png")
    assert probe(folder, "link.png").decodes


def test_a_link_out_of_the_project_is_followed_where_it_is_the_folder_itself(folder: Path) -> None:
    (folder.parent / "other").symlink_to(folder)
    assert probe(folder.parent / "other", "good.png").decodes


def test_a_loop_of_links_is_refused(folder: Path) -> None:
    (folder / "a.png").symlink_to("b.png")
    (folder / "b.png").symlink_to("a.png")
    assert probe(folder, "a.png").problem == "a loop of links"


@pytest.mark.parametrize("name", ["nope.png", "nope/good.png", "good.png/x"])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    assert probe(folder, name).problem == "no such file"


def test_a_name_too_long_for_the_file_system_is_refused(folder: Path) -> None:
    assert probe(folder, "x" * 300).problem == "File name too long"


def test_a_directory_is_refused(folder: Path) -> None:
    (folder / "sub.png").mkdir()
    assert probe(folder, "sub.png").problem == "not a regular file"


def test_a_fifo_is_refused_and_does_not_hang(folder: Path) -> None:
    os.mkfifo(folder / "fifo.png")
    assert probe(folder, "fifo.png").problem == "not a regular file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_an_unreadable_file_is_refused(folder: Path) -> None:
    (folder / "good.png").chmod(0)
    assert probe(folder, "good.png").problem == "Permission denied"


@pytest.mark.parametrize(("orientation", "size"), [(1, (9, 7)), (2, (9, 7)), (3, (9, 7)), (6, (7, 9)), (8, (7, 9))])
def test_width_and_height_are_those_of_the_upright_image(folder: Path, orientation: int, size: tuple[int, int]) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.new("RGB", (9, 7)).save(folder / "a.png", exif=exif)
    metadata = probe(folder, "a.png")
    assert ((metadata.width, metadata.height), metadata.orientation) == (size, orientation)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_truncated_image_does_not_decode_but_has_its_headers_upright_size(folder: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.effect_noise((90, 70), 50).save(folder / "a.jpg", exif=exif)
    content = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(content[: len(content) // 2])
    metadata = probe(folder, "a.jpg")
    assert "truncated" in metadata.problem
    assert (metadata.exists, metadata.decodes) == (True, False)
    assert (metadata.width, metadata.height) == ((90, 70) if orientation == 1 else (70, 90))


def test_an_html_page_named_jpg_exists_but_does_not_decode(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"<html>")
    metadata = probe(folder, "a.jpg")
    assert (metadata.exists, metadata.decodes, metadata.bytes, metadata.width) == (True, False, 6, 0)
    assert metadata.problem.startswith("not an image")


def test_an_image_that_is_refused_for_its_frames_has_their_number(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "a.gif", save_all=True, append_images=[Image.new("L", (8, 8), 255)])
    metadata = probe(folder, "a.gif")
    assert (metadata.frames, metadata.decodes) == (2, False)
    assert metadata.problem == "several frames; expected a single image"


def test_an_image_over_the_cap_has_its_true_size_and_a_problem(folder: Path) -> None:
    Image.new("1", (8_001, 5_000)).save(folder / "a.png")
    metadata = probe(folder, "a.png")
    assert metadata.width * metadata.height > MAX_PIXELS
    assert "over the limit" in metadata.problem


def scene(seed: int = 0) -> Image.Image:
    """Return an image with detail: 6 x 4 patches of random colors."""
    patches = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((90, 60))


def test_the_perceptual_hash_is_that_of_the_upright_image(folder: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    scene().save(folder / "stored.png", exif=exif)
    scene().transpose(Image.Transpose.ROTATE_270).save(folder / "upright.png")
    scene().save(folder / "plain.png")
    hashes = [probe(folder, name).phash for name in ("stored.png", "upright.png", "plain.png")]
    assert hashes[0] == hashes[1] != hashes[2]
    assert len(hashes[0]) == 64


def test_a_file_that_is_no_image_has_no_format_and_no_perceptual_hash(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"<html>")
    metadata = probe(folder, "a.jpg")
    assert (metadata.format, metadata.mode, metadata.phash) == ("", "", "")


def test_the_format_is_that_of_the_content_whatever_the_name(folder: Path) -> None:
    scene().save(folder / "a.jpg", "WEBP")
    assert probe(folder, "a.jpg").format == "WEBP"


def test_an_image_is_read_once_and_opened_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original_read, original_open = os.open, Image.open

    def read(*args: Any) -> int:
        calls.append("read")
        return original_read(*args)

    def open_image(*args: Any, **kwargs: Any) -> Image.Image:
        calls.append("open")
        return original_open(*args, **kwargs)

    monkeypatch.setattr(os, "open", read)
    monkeypatch.setattr(Image, "open", open_image)
    assert probe(folder, "good.png").decodes
    assert calls == ["read", "open"]


def test_a_file_over_the_cap_is_refused_by_its_size_and_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (folder / "a.jpg").open("wb") as file:
        file.truncate(600_000_000)  # a hole that takes no room
    monkeypatch.setattr(os, "open", lambda *args: pytest.fail("it was opened"))
    assert probe(folder, "a.jpg").problem == "600 megabytes, over the limit of 512"


@pytest.mark.parametrize("kind", ["gone", "fifo", "link"])
def test_a_file_that_is_replaced_just_before_it_is_opened_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    original, place = os.open, folder / "good.png"

    def replaced(*args: Any) -> int:
        place.unlink()
        if kind == "fifo":
            os.mkfifo(place)
        elif kind == "link":
            place.symlink_to("/etc/hostname")
        return original(*args)

    monkeypatch.setattr(os, "open", replaced)
    expected = {"gone": "no such file", "fifo": "not a regular file", "link": "Too many levels of symbolic links"}
    assert probe(folder, "good.png").problem == expected[kind]


@pytest.mark.parametrize("size", [0, 10**6])
def test_a_file_that_changes_its_length_while_it_is_read_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    original = os.fstat

    def changed(descriptor: int) -> os.stat_result:
        status = original(descriptor)
        (folder / "good.png").write_bytes(bytes(size))
        return status

    monkeypatch.setattr(os, "fstat", changed)
    assert "bytes could be read; is it being written?" in probe(folder, "good.png").problem


def test_an_error_in_reading_is_a_problem_of_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", fail)
    assert probe(folder, "good.png").problem == "Input/output error"


@pytest.mark.parametrize(
    ("name", "there", "hint"),
    [
        ("A.jpg", "a.JPG", "no such file; there is 'a.JPG', which differs in case"),
        ("sub/a.png", "Sub/a.png", "no such file; there is 'Sub/a.png', which differs in case"),
        ("e\u0301.png", "\u00e9.png", "no such file; there is '\u00e9.png', which differs in Unicode normalization"),
        (
            "E\u0301.png",
            "\u00e9.png",
            "no such file; there is '\u00e9.png', which differs in case and Unicode normalization",
        ),
        ("other.png", "a.png", "no such file"),
    ],
)
def test_a_missing_file_is_reported_with_one_whose_name_is_spelled_differently(
    folder: Path, name: str, there: str, hint: str
) -> None:
    (folder / there).parent.mkdir(exist_ok=True)
    scene().save(folder / there)
    metadata = probe_images(folder, [name]).set_index("image")
    assert metadata.loc[name, "problem"] == hint


def test_rows_keep_their_order_with_more_images_than_are_pending_at_once(folder: Path) -> None:
    names = [f"{index}.png" for index in range(MAX_PENDING * BATCH + 5)]
    for index, name in enumerate(names):
        Image.new("L", (index + 1, 1)).save(folder / name)
    metadata = probe_images(folder, reversed(names))
    assert metadata["image"].tolist() == [*reversed(names), "good.png"]
    assert metadata["width"].tolist()[:-1] == list(range(len(names), 0, -1))


def varied(folder: Path) -> list[str]:
    """Write a set of files, good and bad, and return the names of what is annotated."""
    for index in range(8):
        scene(index).save(folder / f"{index}.jpg")
    Image.new("RGB", (9, 9), "blue").save(folder / "plain.gif")
    (folder / "cut.jpg").write_bytes((folder / "0.jpg").read_bytes()[:700])
    (folder / "page.jpg").write_bytes(b"<html>")
    (folder / "copy.jpg").write_bytes((folder / "1.jpg").read_bytes())
    return ["missing.png", "../x.png", "cut.jpg"]


def test_metadata_from_the_cache_equal_fresh_metadata(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = varied(folder)
    fresh = probe_images(folder, names)
    first = probe_images(folder, names, cache=tmp_path / "cache")
    monkeypatch.setattr(
        "localizer.probing.metadata.open_image", lambda *args: pytest.fail("an image was decoded again")
    )
    again = probe_images(folder, names, cache=tmp_path / "cache")
    pd.testing.assert_frame_equal(first, fresh)
    pd.testing.assert_frame_equal(again, fresh)


def test_a_broken_cache_changes_no_metadata(folder: Path, tmp_path: Path) -> None:
    names = varied(folder)
    cache = tmp_path / "cache"
    fresh = probe_images(folder, names, cache=cache)
    (cache / "probe.sqlite").write_bytes(b"no database " * 500)
    pd.testing.assert_frame_equal(probe_images(folder, names, cache=cache), fresh)


def test_another_version_of_pillow_invalidates_the_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe_images(folder, [], cache=tmp_path)
    monkeypatch.setattr("localizer.probing.metadata.DECODER", "Pillow 0.1")
    monkeypatch.setattr("localizer.probing.metadata.perceptual_hash", lambda image: "new")
    assert probe_images(folder, [], cache=tmp_path).loc[0, "phash"] == "new"


def test_an_error_for_want_of_memory_is_not_cached(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(image: Image.Image) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("localizer.probing.metadata.decode", fail)
        assert probe_images(folder, [], cache=tmp_path).loc[0, "problem"] == OUT_OF_MEMORY
    assert probe_images(folder, [], cache=tmp_path).loc[0, "decodes"]


def test_unannotated_images_are_listed_after_the_annotated(folder: Path) -> None:
    (folder / "sub").mkdir()
    Image.new("RGB", (2, 2)).save(folder / "sub" / "EXTRA.JPG")
    (folder / "notes.txt").write_text("no image")
    metadata = probe_images(folder, ["nope.png", "good.png", "nope.png"])
    assert metadata[["image", "annotated", "exists"]].to_numpy().tolist() == [
        ["nope.png", True, False],
        ["good.png", True, True],
        ["sub/EXTRA.JPG", False, True],
    ]


def test_an_empty_folder_gives_a_table_with_columns_and_no_row(tmp_path: Path) -> None:
    metadata = probe_images(tmp_path, [])
    assert metadata.empty
    assert list(metadata.columns) == list(ImageMetadata.__dataclass_fields__)
