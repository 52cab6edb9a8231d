"""What a difference between two files or mappings looks like."""

from pathlib import Path

from localizer.verification.file_diff import changed_values, describe_difference


def versions(folder: Path, old: bytes, new: bytes) -> dict[str, Path]:
    files = {"workspace": folder / "workspace", "rerun": folder / "rerun"}
    for file, content in zip(files.values(), (old, new), strict=True):
        file.write_bytes(content)
    return files


def test_the_first_differing_row_of_a_table_is_shown_in_both_versions(tmp_path: Path) -> None:
    files = versions(tmp_path, b"image,iou\na.jpg,0.5\nb.jpg,0.6\n", b"image,iou\na.jpg,0.5\nb.jpg,0.7\n")
    text = "tables/a.csv:3:\n    workspace: b.jpg,0.6\n    rerun: b.jpg,0.7"
    assert describe_difference("tables/a.csv", files) == text


def test_a_row_that_only_one_version_has_is_shown(tmp_path: Path) -> None:
    files = versions(tmp_path, b"image\na.jpg", b"image")
    assert describe_difference("a.csv", files) == "a.csv:2:\n    workspace: a.jpg\n    rerun: (nothing)"


def test_bytes_that_are_not_utf_8_and_control_characters_are_escaped(tmp_path: Path) -> None:
    files = versions(tmp_path, b"a\x1b\r\n", b"\xff\r\n")
    assert describe_difference("a.csv", files) == "a.csv:1:\n    workspace: a\\x1b\\r\n    rerun: \\xff\\r"


def test_another_file_is_only_named(tmp_path: Path) -> None:
    files = versions(tmp_path, b"1", b"2")
    assert describe_difference("models/a.safetensors", files) == "models/a.safetensors: differs"


def test_changed_values_have_their_dotted_key() -> None:
    old = {"train": {"lr": 0.1, "seed": 1, "head": "grid"}}
    new = {"train": {"lr": 0.2, "seed": 1, "epochs": 3}}
    changes = ["train.epochs: (nothing) -> 3", "train.head: grid -> (nothing)", "train.lr: 0.1 -> 0.2"]
    assert list(changed_values(old, new)) == changes


def test_equal_values_of_different_types_are_a_change() -> None:
    assert list(changed_values({"seed": 1}, {"seed": 1.0})) == ["seed: 1 -> 1.0"]
