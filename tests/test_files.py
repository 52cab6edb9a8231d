"""Files and folders on the disk: the old one or the new one, whole, whatever happens while they are written."""

import os
from pathlib import Path

import pytest

from localizer.files import check_writable, replace_file, replace_text, replacing, replacing_folder

FULL = OSError(28, "No space left on device")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.txt"


def test_what_is_written_takes_the_place_of_the_old_and_its_folder_is_made(path: Path) -> None:
    replace_file(path, b"old")
    replace_text(path, "né\n")
    assert path.read_bytes() == b"n\xc3\xa9\n"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_kill_has_left_is_written_over(path: Path) -> None:
    path.parent.mkdir()
    path.with_name("file.txt.part").write_bytes(b"half of a longer one")
    replace_file(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def write_half(path: Path, error: BaseException) -> None:
    with replacing(path) as file:
        file.write(b"ne")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), FULL])
def test_an_end_while_a_file_is_written_leaves_the_old_one_alone(path: Path, error: BaseException) -> None:
    replace_file(path, b"old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_the_error_of_a_full_disk_names_the_file(path: Path) -> None:
    with pytest.raises(OSError, match=f"No space left on device: '{path}'$"), replacing(path):
        raise FULL


def test_an_error_without_a_number_names_the_file_too(path: Path) -> None:
    with pytest.raises(OSError, match=f"^{path}: encoder error"), replacing(path):
        raise OSError("encoder error")


def test_a_file_can_not_take_the_place_of_a_folder(path: Path) -> None:
    path.mkdir(parents=True)
    with pytest.raises(OSError, match=f"Is a directory: '{path}'$"):
        replace_file(path, b"new")
    assert list(path.parent.iterdir()) == [path]


def folder_of(path: Path, *names: str) -> None:
    with replacing_folder(path) as made:
        for name in names:
            (made / name).write_text(name)


def test_a_folder_takes_the_place_of_the_old_with_nothing_of_it(tmp_path: Path) -> None:
    folder_of(tmp_path / "a" / "b", "old", "both")
    folder_of(tmp_path / "a" / "b", "new", "both")
    assert {one.name for one in (tmp_path / "a").rglob("*")} == {"b", "new", "both"}


def test_an_end_while_a_folder_is_written_leaves_the_old_one_alone(tmp_path: Path) -> None:
    folder_of(tmp_path / "b", "old")
    with pytest.raises(OSError, match=f"No space left on device: '{tmp_path / 'b'}'"), replacing_folder(tmp_path / "b"):
        raise FULL
    assert {one.name for one in tmp_path.rglob("*")} == {"b", "old"}


def test_what_a_kill_has_left_of_a_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "b.part" / "new").mkdir(parents=True)
    (tmp_path / "b.part" / "new" / "stray").write_text("stray")
    (tmp_path / "b.part" / "old").mkdir()
    folder_of(tmp_path / "b", "new")
    assert {one.name for one in tmp_path.rglob("*")} == {"b", "new"}


def test_a_folder_that_can_be_written_to_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_a_file_in_the_place_of_a_folder_is_told_before_anything_is_written(path: Path) -> None:
    replace_file(path, b"old")
    with pytest.raises(ValueError, match=f"^{path}: not writable: File exists; give user {os.getuid()}"):
        check_writable(path)
