"""Names of images as annotated, and the files that they stand for."""

from pathlib import Path

import pytest

from localizer.dataset import ImageNames
from localizer.datasets.image_names import detect_image_names, renamed


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "images" / name).write_bytes(b"")
    return folder / "images"


@pytest.mark.parametrize(
    ("annotated", "file", "rules"),
    [
        ("/home/ann/set/a.jpg", "a.jpg", {"parts": 1}),
        ("C:\\Users\\Ann B\\set\\sub\\a.jpg", "sub/a.jpg", {"parts": 2}),
        ("gs://bucket/img/3/a.jpg", "a.jpg", {"parts": 1}),
        ("https://host/img/a.jpg?token=1", "a.jpg", {"parts": 1}),
        ("file:///img/a.jpg", "img/a.jpg", {}),
        ("/data/local-files/?d=img/a.jpg", "img/a.jpg", {}),
        ("../photos/a.jpg", "a.jpg", {"parts": 1}),
        ("images/a.jpg", "a.jpg", {"parts": 1}),
        ("./sub/a.jpg", "sub/a.jpg", {}),
        ("a", "a.png", {"suffix": "ignore"}),
        ("a.jpg", "a.png", {"suffix": "ignore"}),
        ("A.JPG", "a.jpg", {"case": "ignore"}),
        ("my%20photo.jpg", "my photo.jpg", {"escapes": "decode"}),
        ("/data/upload/3/0f6142fb-a.jpg", "a.jpg", {"parts": 1, "upload_prefix": "drop"}),
        ("0f6142fb-A.jpg", "a.png", {"suffix": "ignore", "case": "ignore", "upload_prefix": "drop"}),
        ("a.jpg", "deep/down/a.jpg", {"parts": 1}),
        ("v.mp4#t=1.jpg", "frames/v.mp4#t=1.jpg", {"parts": 1}),
    ],
)
def test_a_name_is_found_by_the_rules_that_change_the_least(
    tmp_path: Path, annotated: str, file: str, rules: dict[str, object]
) -> None:
    folder = images(tmp_path, file, "other.jpg")
    found, why = detect_image_names([annotated], folder)
    assert found == ImageNames.model_validate(rules)
    assert why.endswith(f"since so 1 of 1 names are files below {folder}")
    assert renamed([annotated], folder, found) == {annotated: file}


def test_names_that_are_files_need_no_rules(tmp_path: Path) -> None:
    folder = images(tmp_path, "a.jpg", "sub/a.jpg")
    assert detect_image_names(["a.jpg", "sub/a.jpg"], folder) == (None, "")
    assert detect_image_names(["a.jpg"], None) == (None, "")


def test_names_of_no_file_stay_as_they_are(tmp_path: Path) -> None:
    assert detect_image_names(["nowhere.jpg"], images(tmp_path, "a.jpg")) == (None, "")
    rules = ImageNames(parts=1)
    assert renamed(["x/nowhere.jpg"], images(tmp_path, "a.jpg"), rules) == {"x/nowhere.jpg": "x/nowhere.jpg"}


def test_two_names_never_become_one(tmp_path: Path) -> None:
    folder = images(tmp_path, "a.jpg", "b.jpg")
    names = ["day1/a.jpg", "day2/a.jpg", "day1/b.jpg"]
    assert renamed(names, folder, ImageNames(parts=1)) == {
        "day1/a.jpg": "day1/a.jpg",
        "day2/a.jpg": "day2/a.jpg",
        "day1/b.jpg": "b.jpg",
    }


def test_a_name_that_two_files_have_stays_as_it_is(tmp_path: Path) -> None:
    folder = images(tmp_path, "x/a.jpg", "y/a.jpg")
    assert renamed(["a.jpg"], folder, ImageNames(parts=1)) == {"a.jpg": "a.jpg"}


def test_most_names_decide_and_the_others_stay(tmp_path: Path) -> None:
    folder = images(tmp_path, "a.jpg", "b.jpg")
    found, why = detect_image_names(["/x/a.jpg", "b.jpg", "/x/gone.jpg"], folder)
    assert found == ImageNames(parts=1)
    assert why.endswith(f"the last part of paths, since so 2 of 3 names are files below {folder}, not 1 as written")
