"""Files, folders, globs and lists become images: which, in which order, and what is said where there are none."""

import os
from pathlib import Path, PurePath

import pytest

from localizer.serving.image_inputs import Named, expand


def make(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(b"")


def found(*asked: str, listed: bytes = b"") -> list[Named]:
    return [*expand(asked, listed=listed.splitlines(keepends=True))]


def names(*asked: str, listed: bytes = b"") -> list[str]:
    images = found(*asked, listed=listed)
    assert not [one.error for one in images if one.error]
    return [one.name for one in images]


def error(*asked: str, listed: bytes = b"") -> str:
    (one,) = found(*asked, listed=listed)
    return f"{one.name}: {one.error}"


def test_a_file_is_taken_as_it_was_written_whatever_its_suffix() -> None:
    make("a.dat")
    assert found("./a.dat") == [Named("./a.dat", Path("a.dat"), PurePath("a.dat"))]


def test_a_missing_file_is_left_to_whoever_opens_it() -> None:
    assert names("gone.jpg") == ["gone.jpg"]


def test_a_folder_gives_its_images_and_those_below_it_sorted() -> None:
    make("in/b.jpg", "in/a/z.PNG", "in/a.tiff", "in/notes.txt")
    assert names("in") == ["in/a/z.PNG", "in/a.tiff", "in/b.jpg"]


def test_an_image_of_a_folder_tells_where_it_lies_below_it() -> None:
    make("in/a/z.png")
    assert [one.inside for one in found("in")] == [PurePath("a/z.png")]


def test_what_is_hidden_in_a_folder_is_left_out() -> None:
    make("in/a.jpg", "in/._a.jpg", "in/.thumbnails/a.jpg")
    assert names("in") == ["in/a.jpg"]


def test_a_hidden_folder_that_is_asked_for_is_searched() -> None:
    make(".in/a.jpg")
    assert names(".in") == [".in/a.jpg"]


def test_a_link_that_leads_back_to_its_folder_is_not_followed() -> None:
    make("in/a.jpg")
    Path("in/loop").symlink_to(".")
    assert names("in") == names("in/**") == names("in/**/*.jpg") == ["in/a.jpg"]


def test_a_glob_gives_sorted_images() -> None:
    make("in/b.jpg", "in/a.jpg", "in/c.png", "in/d/e.jpg")
    assert names("in/*.jpg") == ["in/a.jpg", "in/b.jpg"]


@pytest.mark.parametrize("pattern", ["in/**/*.jpg", "in/**", "**/*.jpg", "i?/**/[de].jpg"])
def test_two_stars_reach_all_folders_below(pattern: str) -> None:
    make("in/d.jpg", "in/d/e.jpg", "in/d/e.txt")
    assert names(pattern) == ["in/d/e.jpg", "in/d.jpg"]


def test_an_absolute_glob_gives_absolute_names(tmp_path: Path) -> None:
    make("in/a.jpg")
    assert names(f"{tmp_path}/in/*.jpg") == [f"{tmp_path}/in/a.jpg"]


def test_a_glob_of_folders_gives_their_images_each_once() -> None:
    make("in/1/a.jpg", "in/2/b.jpg", "in/c.jpg")
    assert names("in/*") == ["in/1/a.jpg", "in/2/b.jpg", "in/c.jpg"]


def test_an_image_of_a_glob_tells_where_it_lies_below_the_globs_fixed_part() -> None:
    make("in/1/a.jpg")
    assert [one.inside for one in found("in/*/*.jpg")] == [PurePath("1/a.jpg")]


def test_a_glob_never_leads_out_of_the_place_that_it_tells() -> None:
    make("in/1/a.jpg", "in/b.jpg")
    assert [one.inside for one in found("in/*/../b.jpg")] == [PurePath("1/b.jpg")]


def test_a_glob_matches_hidden_names_only_where_it_asks_for_them() -> None:
    make("in/a.jpg", "in/.h/b.jpg")
    assert names("in/**/*.jpg") == ["in/a.jpg"]
    assert names("in/.h/*.jpg") == ["in/.h/b.jpg"]


def test_a_file_whose_name_looks_like_a_glob_is_that_file() -> None:
    make("a[1].jpg", "a1.jpg")
    assert names("a[1].jpg") == ["a[1].jpg"]


def test_an_image_is_taken_twice_where_it_is_asked_for_twice() -> None:
    make("in/a.jpg")
    assert names("in/a.jpg", "in", "in/a.jpg") == ["in/a.jpg"] * 3


def test_a_list_has_a_file_a_line_and_is_no_glob() -> None:
    make("a.jpg")
    listed = b"b.jpg\r\n\n*.jpg\na b.jpg"
    assert names("a.jpg", "-", "c.jpg", listed=listed) == ["a.jpg", "b.jpg", "*.jpg", "a b.jpg", "c.jpg"]


def test_a_name_in_a_list_that_is_not_utf_8_names_its_file() -> None:
    place = os.fsdecode(b"\xff.jpg")
    make(place)
    (one,) = found("-", listed=b"\xff.jpg\n")
    assert one.path.is_file()


def test_a_folder_in_a_list_is_told() -> None:
    make("in/a.jpg")
    assert error("-", listed=b"in\n") == "in: a folder; a list has files"


def test_a_list_without_paths_is_told() -> None:
    assert error("-", listed=b"\n") == "-: no paths on standard input"


def test_a_folder_without_images_is_told_with_the_suffixes_that_are_looked_for() -> None:
    make("in/notes.txt")
    told = error("in")
    assert told.startswith("in: a folder without images (")
    assert " .jpg " in told


def test_a_glob_without_images_is_told_with_the_number_of_other_files() -> None:
    make("in/notes.txt", "in/more.txt")
    told = error("in/*")
    assert told.startswith("in/*: a glob that matches no images (")
    assert told.endswith(") but 2 others")


def test_a_glob_that_matches_nothing_is_told() -> None:
    assert error("none/*.jpg").startswith("none/*.jpg: a glob that matches no images (")


def test_what_is_left_out_of_folders_and_globs_is_taken_where_it_is_named() -> None:
    make("in/a.jpg", "in/drawn/a.png")
    asked = ("in", "in/*", "in/drawn/a.png", "-")
    found = expand(asked, listed=[b"in/drawn/a.png"], but=lambda path: path.suffix == ".png")
    assert [one.name for one in found] == ["in/a.jpg", "in/a.jpg", "in/drawn/a.png", "in/drawn/a.png"]


def test_a_folder_of_nothing_but_what_is_left_out_is_told() -> None:
    make("in/a.png")
    (one,) = expand(["in"], listed=[], but=lambda path: True)
    assert one.error.startswith("a folder without images (")
    assert one.error.endswith(") but 1 that are left out")


def test_an_empty_name_is_not_the_working_directory() -> None:
    make("a.jpg")
    assert error("") == ": an empty name"


def test_a_name_that_is_too_long_is_left_to_whoever_opens_it() -> None:
    assert names("x" * 300 + ".jpg") == ["x" * 300 + ".jpg"]


def test_a_folder_that_can_not_be_listed_is_told_beside_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    make("in/a.jpg", "in/closed/b.jpg")
    scan = os.scandir

    def scandir(place: str) -> object:
        if Path(place).name == "closed":
            raise PermissionError(13, "Permission denied", str(place))
        return scan(place)

    monkeypatch.setattr(os, "scandir", scandir)  # root, as whom tests may run, is let in everywhere
    told = [(one.name, one.error) for one in found("in")]
    assert told == [("in/a.jpg", ""), ("in/closed", "can't be listed: Permission denied")]
