"""Typed configuration: a section of params.yaml, or a dataset.yaml, as a frozen record."""

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from localizer.former_names import PARAMS as FORMER_PARAMS

PARAMS = Path("params.yaml")


class Record(BaseModel):
    """A frozen record that takes no unknown key, no NaN or infinity, and no value of another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


RecordT = TypeVar("RecordT", bound=Record)


def load(section: str, record: type[RecordT], *, path: Path = PARAMS) -> RecordT:
    """Return one section of params.yaml as a record.

    Raises ValueError that names every unknown, missing, mistyped and out-of-range key.
    """
    sections = read_yaml(path)
    if section not in sections:
        raise ValueError(
            f"{path}: the section {section!r} is missing; it has {', '.join(map(str, sections)) or 'none'}"
        )
    return parse(record, sections[section], where=f"{path}: {section}")


def parse(record: type[RecordT], values: Any, *, where: str) -> RecordT:
    """Return the values as a record; `where` begins every line of the ValueError that lists what is wrong."""
    try:
        return record.model_validate(values)
    except ValidationError as error:
        raise ValueError("\n".join(_explain(one, where, record) for one in error.errors())) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a file's YAML 1.2 mapping; ValueError names file and line."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from None
    return parse_yaml(text, where=str(path))


def parse_yaml(text: str, *, where: str) -> dict[str, Any]:
    """Return a YAML 1.2 mapping, read by the reader that DVC uses; `where` and the line begin the ValueError."""
    try:
        values = YAML(typ="safe").load(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{where}{line}: not valid YAML: {error.problem}") from None
    except YAMLError as error:  # a character that YAML forbids
        raise ValueError(f"{where}: not valid YAML: {str(error).splitlines()[0]}") from None
    except TypeError as error:  # a key that is a list or a mapping
        raise ValueError(f"{where}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a mapping of keys to values, got {type(values).__name__}")
    return values


def flatten(values: dict[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted keys: {"a": {"b": 1}} gives {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, prefix=f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _explain(error: Any, where: str, record: type[Record]) -> str:
    name = ".".join(str(part) for part in error["loc"])
    key = f"{where}.{name}" if name else where
    if error["type"] == "extra_forbidden":
        if new := FORMER_PARAMS.get(key.rpartition(": ")[2]):
            return f"{key}: is now {new}"
        return f"{key}: unknown key{_known_keys(error['loc'], record)}"
    if error["type"] == "missing":
        return f"{key}: missing"
    if error["type"] == "value_error":  # of our own validators, whose text has the value
        return f"{key}: {error['ctx']['error']}"
    return f"{key}: {error['msg'][0].lower()}{error['msg'][1:]}, got {error['input']!r}"


def _known_keys(place: tuple[Any, ...], record: type[BaseModel]) -> str:
    """Return the keys of the record in which a key is unknown; empty where its type is no plain record."""
    for part in place[:-1]:
        field = record.model_fields.get(part)
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            return ""
        record = field.annotation
    return f"; the keys are {', '.join(record.model_fields)}"
