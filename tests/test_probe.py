"""Facts of images: which names are refused, what is told of a good one, and what is found unasked."""

import hashlib
import os
from pathlib import Path

import pytest
from PIL import Image

from localizer.data.images import MAX_PIXELS
from localizer.data.probe import ImageFacts, probe_image, probe_images

ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (9, 7), "red").save(images / "good.png")
    return images


def probe(folder: Path, name: str) -> ImageFacts:
    return probe_image(folder, name, annotated=True)


def test_the_facts_of_a_good_image(folder: Path) -> None:
    content = (folder / "good.png").read_bytes()
    assert probe(folder, "good.png") == ImageFacts(
        image="good.png",
        path=(folder / "good.png").as_posix(),
        annotated=True,
        exists=True,
        decodes=True,
        problem="",
        width=9,
        height=7,
        mode="RGB",
        orientation=1,
        frames=1,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
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
    facts = probe(folder, name)
    assert facts.problem == "not a plain path relative to the images folder"
    assert (facts.image, facts.exists, facts.decodes, facts.sha256) == (name, False, False, "")


@pytest.mark.parametrize("name", ["../secret.png", "sub/../good.png", "link.png", "linked/secret.png"])
def test_a_file_outside_the_folder_is_refused_though_it_is_there(folder: Path, name: str) -> None:
    Image.new("RGB", (2, 2)).save(folder.parent / "secret.png")
    (folder / "sub").mkdir()
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    (folder / "linked").symlink_to(folder.parent)
    assert (folder / name).exists()
    facts = probe(folder, name)
    assert (facts.problem, facts.exists, facts.sha256) == ("outside the images folder", False, "")


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
    facts = probe(folder, "a.png")
    assert ((facts.width, facts.height), facts.orientation) == (size, orientation)


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_truncated_image_does_not_decode_but_has_its_headers_upright_size(folder: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.effect_noise((90, 70), 50).save(folder / "a.jpg", exif=exif)
    content = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(content[: len(content) // 2])
    facts = probe(folder, "a.jpg")
    assert "truncated" in facts.problem
    assert (facts.exists, facts.decodes) == (True, False)
    assert (facts.width, facts.height) == ((90, 70) if orientation == 1 else (70, 90))


def test_an_html_page_named_jpg_exists_but_does_not_decode(folder: Path) -> None:
    (folder / "a.jpg").write_bytes(b"<html>")
    facts = probe(folder, "a.jpg")
    assert (facts.exists, facts.decodes, facts.bytes, facts.width) == (True, False, 6, 0)
    assert facts.problem.startswith("not an image")


def test_frames_and_mode_are_told_of_an_image_that_is_refused_for_them(folder: Path) -> None:
    Image.new("L", (8, 8)).save(folder / "a.gif", save_all=True, append_images=[Image.new("L", (8, 8), 255)])
    facts = probe(folder, "a.gif")
    assert (facts.frames, facts.decodes) == (2, False)
    assert facts.problem == "2 frames; a single image is wanted"


def test_an_image_over_the_cap_has_its_true_size_and_a_problem(folder: Path) -> None:
    Image.new("1", (8_001, 5_000)).save(folder / "a.png")
    facts = probe(folder, "a.png")
    assert facts.width * facts.height > MAX_PIXELS
    assert "over the cap" in facts.problem


def test_images_that_no_row_names_are_listed_after_those_that_are(folder: Path) -> None:
    (folder / "sub").mkdir()
    Image.new("RGB", (2, 2)).save(folder / "sub" / "EXTRA.JPG")
    (folder / "notes.txt").write_text("no image")
    facts = probe_images(folder, ["nope.png", "good.png", "nope.png"])
    assert facts[["image", "annotated", "exists"]].to_numpy().tolist() == [
        ["nope.png", True, False],
        ["good.png", True, True],
        ["sub/EXTRA.JPG", False, True],
    ]


def test_an_empty_folder_gives_a_table_with_columns_and_no_row(tmp_path: Path) -> None:
    facts = probe_images(tmp_path, [])
    assert facts.empty
    assert list(facts.columns) == list(ImageFacts.__dataclass_fields__)
