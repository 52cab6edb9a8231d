"""Sections of params.yaml as records: every wrong key is named, all at once."""

import re
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from localizer.config import Record, flatten, load, parse, parse_yaml, read_yaml


class Toy(Record):
    lr: Annotated[float, Field(gt=0)]
    epochs: Annotated[int, Field(ge=1, le=9)]
    device: str = "cpu"


@pytest.fixture
def params(tmp_path: Path) -> Path:
    return tmp_path / "params.yaml"


def load_toy(path: Path, text: str) -> Toy:
    path.write_text(text, encoding="utf-8")
    return load("toy", Toy, path=path)


def test_a_section_becomes_a_record_with_defaults(params: Path) -> None:
    assert load_toy(params, "toy: {lr: 0.5, epochs: 3}\nother: {x: 1}\n") == Toy(lr=0.5, epochs=3, device="cpu")


def test_a_record_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Toy(lr=1.0, epochs=1).epochs = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 0.0001),  # YAML 1.1 would read text
        ("1", 1.0),  # an integer will do for a float
        ("1_0.5", 10.5),
    ],
)
def test_numbers_are_read_as_yaml_1_2_has_them(params: Path, written: str, value: float) -> None:
    assert load_toy(params, f"toy: {{lr: {written}, epochs: 1}}").lr == value


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("{lr: 1, epochs: 1, lrr: 2}", "toy.lrr: unknown key; the keys are lr, epochs, device"),
        ("{lr: 1}", "toy.epochs: missing"),
        ("{lr: '1', epochs: 1}", "toy.lr: input should be a valid number, got '1'"),
        ("{lr: .nan, epochs: 1}", "toy.lr: input should be a finite number, got nan"),
        ("{lr: .inf, epochs: 1}", "toy.lr: input should be a finite number, got inf"),
        ("{lr: 1, epochs: true}", "toy.epochs: input should be a valid integer, got True"),
        ("{lr: 1, epochs: 2.0}", "toy.epochs: input should be a valid integer, got 2.0"),
        ("{lr: 1, epochs: '2'}", "toy.epochs: input should be a valid integer, got '2'"),
        ("{lr: 1, epochs: 1:30}", "toy.epochs: input should be a valid integer, got '1:30'"),  # 90 in YAML 1.1
        ("{lr: 1, epochs: }", "toy.epochs: input should be a valid integer, got None"),
        ("{lr: 0, epochs: 1}", "toy.lr: input should be greater than 0, got 0"),
        ("{lr: 1, epochs: 10}", "toy.epochs: input should be less than or equal to 9, got 10"),
        ("{lr: 1, epochs: 1, device: 0}", "toy.device: input should be a valid string, got 0"),
        ("{lr: 1, epochs: 1, 7: 8}", "toy.7: keys should be strings, got 7"),
        ("[1, 2]", "toy: input should be a valid dictionary or instance of Toy, got [1, 2]"),
        ("", "toy: input should be a valid dictionary or instance of Toy, got None"),
    ],
)
def test_a_wrong_key_is_refused_by_name(params: Path, section: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(f'{params}: {message}')}$"):
        load_toy(params, f"toy: {section}\n")


def test_yes_is_text_and_no_boolean(params: Path) -> None:
    assert load_toy(params, "toy: {lr: 1, epochs: 1, device: yes}").device == "yes"


def test_all_wrong_keys_are_named_at_once(params: Path) -> None:
    with pytest.raises(ValueError, match="toy") as error:
        load_toy(params, "toy: {lr: -1, device: 3, speed: 9}")
    named = {line.removeprefix(f"{params}: ").split(":")[0] for line in str(error.value).splitlines()}
    assert named == {"toy.lr", "toy.epochs", "toy.device", "toy.speed"}


@pytest.mark.parametrize(
    ("content", "sections"), [("train: {}\ndemo: {}\n", "train, demo"), ("{}", "none"), ("1: {}\n[a]: {}\n", "1, ")]
)
def test_a_missing_section_is_named_with_those_that_there_are(params: Path, content: str, sections: str) -> None:
    params.write_text(content)
    with pytest.raises(ValueError, match=f"the section 'toy' is missing; it has {sections}"):
        load("toy", Toy, path=params)


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"toy:\n  lr: 1\n  epochs: 1\n  lr: 2\n", ":4", 'duplicate key "lr"'),
        (b"toy:\n\tlr: 1\n", ":2", r"character '\t' that cannot start"),
        (b"toy: {lr: 1,\n", ":2", "expected the node content"),
        (b"toy: *nope\n", ":1", "undefined alias"),
        (b"toy: 1\n---\ntoy: 2\n", ":2", "another document"),
        (b"toy: !!python/object:os.system {}\n", ":1", "could not determine a constructor"),
        (b"? {a: 1}\n: 1\n", ":1", "unhashable key"),
        (b"toy: \0\n", "", "unacceptable character #x0000"),
        (b"toy: \xff\n", "", "not UTF-8 (invalid start byte at byte 5)"),
        (b"- 1\n", "", "expected a mapping of keys to values, got list"),
        (b"", "", "expected a mapping of keys to values, got NoneType"),
    ],
)
def test_a_file_that_is_no_yaml_mapping_is_refused_with_its_line(
    params: Path, content: bytes, place: str, message: str
) -> None:
    params.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{params}{place}: ')}.*{re.escape(message)}"):
        read_yaml(params)


def test_a_missing_file_is_named(params: Path) -> None:
    with pytest.raises(ValueError, match=r"params\.yaml: no such file"):
        read_yaml(params)


def test_yaml_that_is_in_no_file_is_read_alike_and_refused_with_its_place() -> None:
    assert parse_yaml("toy: {lr: 1e-4}", where="v1") == {"toy": {"lr": 0.0001}}
    with pytest.raises(ValueError, match=r"^v1:2: not valid YAML: expected the node content"):
        parse_yaml("toy: {lr: 1,\n", where="v1")


def test_a_nested_key_is_named_with_its_path() -> None:
    class Outer(Record):
        inner: Toy

    with pytest.raises(ValueError, match=r"^card\.inner\.epochs: missing$"):
        parse(Outer, {"inner": {"lr": 1.0}}, where="card")


def test_nested_mappings_are_flattened_with_dotted_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": 3}) == {"a.b.c": 1, "a.d": [2], "e": 3}


class Nested(Record):
    toy: Toy


def test_an_unknown_key_of_a_nested_record_is_answered_with_the_keys_there() -> None:
    with pytest.raises(ValueError, match=r"p: s\.toy\.lrr: unknown key; the keys are lr, epochs, device"):
        parse(Nested, {"toy": {"lr": 1, "epochs": 1, "lrr": 2}}, where="p: s")


def test_a_former_key_is_answered_with_its_new_name() -> None:
    with pytest.raises(ValueError, match=r"params\.yaml: train\.zoom: is now train\.augment\.scale"):
        parse(Toy, {"lr": 1, "epochs": 1, "zoom": 0.2}, where="params.yaml: train")
