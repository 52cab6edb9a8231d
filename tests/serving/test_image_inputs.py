"""Files, folders, globs and lists of paths as images: which, in which order, and the error if there are none."""

import os
from pathlib import Path, PurePath

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from localizer.serving.image_inputs import ImageInput, expand_inputs
from localizer.serving.prediction_drawing import PNG_TAG


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def draw(name: str) -> None:
    """Write a file that looks like a drawing of `predict`."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    tags = PngInfo()
    tags.add_text(*PNG_TAG)
    Image.new("RGB", (1, 1)).save(name, pnginfo=tags)


def expand(*arguments: str, stdin: bytes = b"") -> list[ImageInput]:
    return [*expand_inputs(arguments, stdin_lines=stdin.splitlines(keepends=True))]


def names(*arguments: str, stdin: bytes = b"") -> list[str]:
    images = expand(*arguments, stdin=stdin)
    assert not [image.error for image in images if image.error]
    return [image.name for image in images]


def error(*arguments: str, stdin: bytes = b"") -> str:
    (failed,) = expand(*arguments, stdin=stdin)
    return f"{failed.name}: {failed.error}"


def test_a_file_keeps_its_name_as_given_and_may_have_any_suffix() -> None:
    make("a.dat")
    assert expand("./a.dat") == [ImageInput("./a.dat", Path("a.dat"), PurePath("a.dat"))]


def test_a_missing_file_is_left_to_the_reader() -> None:
    assert names("gone.jpg") == ["gone.jpg"]


def test_a_folder_yields_its_images_recursively_and_sorted() -> None:
    make("in/b.jpg", "in/a/z.PNG", "in/a.tiff", "in/notes.txt")
    assert names("in") == ["in/a/z.PNG", "in/a.tiff", "in/b.jpg"]


def test_an_image_of_a_folder_has_its_path_relative_to_the_folder() -> None:
    make("in/a/z.png")
    assert [image.relative_path for image in expand("in")] == [PurePath("a/z.png")]


def test_hidden_files_and_folders_in_a_folder_are_skipped() -> None:
    make("in/a.jpg", "in/._a.jpg", "in/.thumbnails/a.jpg")
    assert names("in") == ["in/a.jpg"]


def test_a_hidden_folder_that_is_given_itself_is_searched() -> None:
    make(".in/a.jpg")
    assert names(".in") == [".in/a.jpg"]


def test_a_link_to_its_own_folder_is_not_followed() -> None:
    make("in/a.jpg")
    Path("in/loop").symlink_to(".")
    assert names("in") == names("in/**") == names("in/**/*.jpg") == ["in/a.jpg"]


def test_a_glob_yields_sorted_images() -> None:
    make("in/b.jpg", "in/a.jpg", "in/c.png", "in/d/e.jpg")
    assert names("in/*.jpg") == ["in/a.jpg", "in/b.jpg"]


@pytest.mark.parametrize("pattern", ["in/**/*.jpg", "in/**", "**/*.jpg", "i?/**/[de].jpg"])
def test_two_stars_match_all_folders_below(pattern: str) -> None:
    make("in/d.jpg", "in/d/e.jpg", "in/d/e.txt")
    assert names(pattern) == ["in/d/e.jpg", "in/d.jpg"]


def test_an_absolute_glob_yields_absolute_names(tmp_path: Path) -> None:
    make("in/a.jpg")
    assert names(f"{tmp_path}/in/*.jpg") == [f"{tmp_path}/in/a.jpg"]


def test_a_glob_of_folders_yields_their_images_without_duplicates() -> None:
    make("in/1/a.jpg", "in/2/b.jpg", "in/c.jpg")
    assert names("in/*") == ["in/1/a.jpg", "in/2/b.jpg", "in/c.jpg"]


def test_an_image_of_a_glob_has_its_path_relative_to_the_fixed_part_of_the_glob() -> None:
    make("in/1/a.jpg")
    assert [image.relative_path for image in expand("in/*/*.jpg")] == [PurePath("1/a.jpg")]


def test_a_relative_path_never_leaves_its_folder() -> None:
    make("in/1/a.jpg", "in/b.jpg")
    assert [image.relative_path for image in expand("in/*/../b.jpg")] == [PurePath("1/b.jpg")]


def test_a_glob_matches_hidden_names_only_if_it_has_hidden_parts() -> None:
    make("in/a.jpg", "in/.h/b.jpg")
    assert names("in/**/*.jpg") == ["in/a.jpg"]
    assert names("in/.h/*.jpg") == ["in/.h/b.jpg"]


def test_a_file_whose_name_is_also_a_glob_is_that_file() -> None:
    make("a[1].jpg", "a1.jpg")
    assert names("a[1].jpg") == ["a[1].jpg"]


def test_an_image_that_is_given_several_times_is_yielded_as_often() -> None:
    make("in/a.jpg")
    assert names("in/a.jpg", "in", "in/a.jpg") == ["in/a.jpg"] * 3


def test_standard_input_has_one_path_per_line_and_no_globs() -> None:
    make("a.jpg")
    stdin = b"b.jpg\r\n\n*.jpg\na b.jpg"
    assert names("a.jpg", "-", "c.jpg", stdin=stdin) == ["a.jpg", "b.jpg", "*.jpg", "a b.jpg", "c.jpg"]


def test_a_path_on_standard_input_need_not_be_utf_8() -> None:
    make(os.fsdecode(b"\xff.jpg"))
    (image,) = expand("-", stdin=b"\xff.jpg\n")
    assert image.path.is_file()


def test_a_folder_on_standard_input_is_an_error() -> None:
    make("in/a.jpg")
    assert error("-", stdin=b"in\n") == "in: a folder; expected a file"


def test_standard_input_without_paths_is_an_error() -> None:
    assert error("-", stdin=b"\n") == "-: no paths on standard input"


def test_a_folder_without_images_is_an_error_that_lists_the_image_suffixes() -> None:
    make("in/notes.txt")
    assert error("in").startswith("in: a folder without images (")
    assert " .jpg " in error("in")


def test_a_glob_without_images_is_an_error_with_the_number_of_other_files() -> None:
    make("in/notes.txt", "in/more.txt")
    assert error("in/*").startswith("in/*: a glob that matches no images but 2 others (")


def test_a_glob_that_matches_nothing_is_an_error() -> None:
    assert error("none/*.jpg").startswith("none/*.jpg: a glob that matches no images (")


def test_drawings_are_skipped_in_folders_and_globs_but_not_as_files() -> None:
    make("in/a.jpg")
    draw("in/drawn/a.png")
    found = names("in", "in/*", "in/drawn/a.png", "-", stdin=b"in/drawn/a.png")
    assert found == ["in/a.jpg", "in/a.jpg", "in/drawn/a.png", "in/drawn/a.png"]


def test_a_folder_of_drawings_is_a_folder_without_images() -> None:
    draw("in/a.png")
    assert error("in").startswith("in: a folder without images (")
    assert error("in").endswith("; drawings of predict are not counted)")


def test_an_empty_name_is_not_the_working_directory() -> None:
    make("a.jpg")
    assert error("") == ": an empty name"


def test_a_name_that_is_too_long_is_left_to_the_reader() -> None:
    assert names("x" * 300 + ".jpg") == ["x" * 300 + ".jpg"]


def test_a_folder_that_can_not_be_listed_is_an_error_after_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    make("in/a.jpg", "in/closed/b.jpg")
    scan = os.scandir

    def scandir(folder: str) -> object:
        if Path(folder).name == "closed":
            raise PermissionError(13, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr(os, "scandir", scandir)  # tests may run as root, who can list any folder
    images = [(image.name, image.error) for image in expand("in")]
    assert images == [("in/a.jpg", ""), ("in/closed", "can't be listed: Permission denied")]
