"""Fill the generated blocks of docs/reference/ from the code: `python -m docs.generate`, from the repository's root.

A block stands between `<!-- generated: NAME -->` and `<!-- end -->`; the text around it is written by hand. A test
fails when a block is not what the code gives.
"""

import ast
import importlib
import re
from collections.abc import Callable, Iterator, Sequence
from inspect import signature
from itertools import pairwise
from pathlib import Path
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typer.models import ArgumentInfo, OptionInfo

from docs import findings
from localizer import cli
from localizer.commands.options import as_function, command_name
from localizer.config import flatten, read_yaml
from localizer.dataset import FORMATS, CsvColumns, DatasetConfig, Drift, GitSource, ImageNames
from localizer.datasets.annotations import READERS
from localizer.evaluation.metrics import METRICS
from localizer.validation.rules.box_rules import box_rules
from localizer.validation.rules.image_rules import COLUMN_RULES, IMAGE_RULES
from localizer.validation.rules.rule import Rule

ROOT = Path(__file__).resolve().parents[1]
PAGES = Path(__file__).resolve().parent / "reference"
BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
BOUNDS = {Ge: ("ge", "at least"), Gt: ("gt", "above"), Le: ("le", "at most"), Lt: ("lt", "below")}
TYPES = {bool: "`true`, `false`", int: "integer", float: "number", str: "text"}
UNITS = {"pixel": "pixels", "unit": "fractions of the image", "percent": "per cent of the image"}
PARAMS = {
    "prepare": "stages.prepare",
    "validate": "stages.validate",
    "split": "stages.split",
    "train": "localizer.training.params",
    "evaluate": "stages.evaluate",
    "demo": "localizer.datasets.synthetic",
}


def main() -> None:
    """Write the pages."""
    for path in sorted(PAGES.glob("*.md")):
        path.write_text(page(path), encoding="utf-8")


def page(path: Path) -> str:
    """Return a page of docs/reference/ with its blocks filled."""
    return BLOCK.sub(lambda match: filled(match, BLOCKS), path.read_text(encoding="utf-8"))


def filled(match: re.Match[str], blocks: dict[str, Callable[[], str]]) -> str:
    """Return a block with its content; KeyError if its name is unknown."""
    return f"{match[1]}\n{blocks[match[2]]()}\n{match[3]}"


def params_table(section: str) -> str:
    """Return a section of params.yaml: values from the file, ranges from its record, words from its comments."""
    text = (ROOT / "params.yaml").read_text(encoding="utf-8")
    values, words = flatten(read_yaml(ROOT / "params.yaml")), comments(text)
    record = getattr(importlib.import_module(PARAMS[section]), f"{section.capitalize()}Params")
    rows = []
    for key, field in fields(record):
        name = f"{section}.{key}"
        rows.append((f"`{key}`", f"`{as_yaml(values[name])}`", allowed(field), words[name]))
    return table(("parameter", "default", "values", "meaning"), rows)


def comments(text: str) -> dict[str, str]:
    """Return the comment on each line of a YAML file of nested mappings, by dotted key."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    for line in text.splitlines():
        if match := re.match(r"( *)(\w+):[^#]*(?:# (.*))?$", line):
            parents = [parent for parent in parents if parent[0] < len(match[1])] + [(len(match[1]), match[2])]
            found[".".join(name for _, name in parents)] = match[3] or ""
    return found


def fields(record: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Yield each field of a record by its dotted key, those of nested records in their place."""
    for name, field in record.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def record_table(record: type[BaseModel]) -> str:
    """Return the fields of a record, with the docstring below each."""
    words = docstrings(record)
    rows = []
    for name, field in record.model_fields.items():
        default = "required" if field.is_required() else f"`{as_yaml(field.default)}`"
        rows.append((f"`{name}`", default, allowed(field), words[name]))
    return table(("key", "default", "values", "meaning"), rows)


def docstrings(record: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field in the source of a record."""
    source = ROOT / "src" / Path(*record.__module__.split(".")).with_suffix(".py")
    tree = ast.parse(source.read_text(encoding="utf-8"))
    (body,) = [node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == record.__name__]
    found = {}
    for field, below in pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            found[field.target.id] = str(ast.literal_eval(below.value))
    return found


def allowed(field: FieldInfo) -> str:
    """Return the values that a field takes, in words."""
    return bounded(field.annotation, field.metadata)


def bounded(annotation: Any, rules: Sequence[Any]) -> str:
    """Return a type and its bounds in words."""
    bounds = [rule for rule in rules if type(rule) in BOUNDS]
    limits = [(BOUNDS[type(rule)][1], getattr(rule, BOUNDS[type(rule)][0])) for rule in bounds]
    return ", ".join([kind(annotation), *(f"{words} {limit:,}" for words, limit in limits)])


def kind(annotation: Any) -> str:
    """Return a type in words."""
    arguments = get_args(annotation)
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(kind(argument) for argument in arguments if argument is not NoneType)
    if hasattr(annotation, "__metadata__"):
        infos = annotation.__metadata__
        return bounded(arguments[0], [rule for info in infos for rule in getattr(info, "metadata", ())])
    if get_origin(annotation) is list:
        return "list"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    return TYPES[annotation]


def as_yaml(value: Any) -> str:
    """Return a value as YAML has it; a record's own table has its values."""
    if isinstance(value, BaseModel):
        return "below"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def rules_table() -> str:
    """Return the rules that are expectations: those of one name in one row."""
    found: dict[str, list[Rule]] = {}
    for rule in rules():
        found.setdefault(rule.name, []).append(rule)
    rows = []
    for name, alike in found.items():
        severity = " or ".join(sorted({rule.severity for rule in alike}))
        fix = re.sub(r"\{\w+[^}]*\}", "", alike[0].fix) or "the finding names it"
        rows.append((f"[`{name}`](findings.md#{name})", severity, "; ".join(demands(alike)), fix))
    return table(("rule", "severity", "what must hold", "fix"), rows)


def rules() -> Iterator[Rule]:
    """Yield the rules of data sets of all kinds: of a CSV with the usual columns, of an image and of a column."""
    columns = {"image": "image", "label": "label", "box": ["xmin", "ymin", "xmax", "ymax"], "width": "width"}
    plain: dict[str, Any] = {
        "title": "t",
        "format": "csv",
        "annotations": "a",
        "images": "i",
        "columns": columns | {"height": "height"},
    }
    size = read_yaml(ROOT / "params.yaml")["validate"]["image_size"]
    for other in ({}, {"box_format": "xywh"}, {"clip_px": 1.0}, {"multiple": "largest"}):
        yield from box_rules(DatasetConfig.model_validate(plain | other), image_size=size)
    yield from (*IMAGE_RULES, *COLUMN_RULES)


def demands(alike: Sequence[Rule]) -> list[str]:
    """Return what rules of one name demand: their descriptions, and the columns of those without one."""
    columns: dict[str, list[str]] = {}
    for rule in alike:
        if not rule.description and rule.column not in columns.setdefault(rule.expected, []):
            columns[rule.expected].append(rule.column)
    texts = [f"{', '.join(f'`{name}`' for name in names)}: {expected}" for expected, names in columns.items()]
    return list(dict.fromkeys([*texts, *(rule.description for rule in alike if rule.description)]))


def formats_table() -> str:
    """Return the formats of the readers: key in dataset.yaml, name, files and how boxes are written."""
    rows = []
    for name, reader in READERS.items():
        box_format, unit = FORMATS[name] or ("detected", "")
        encoding = f"{box_format} in {UNITS[unit]}" if unit else box_format
        rows.append((f"`{name}`", reader.TITLE, f"`{reader.PATTERN}`", encoding))
    return table(("`format`", "annotations", "files in a folder", "boxes"), rows)


def metrics_table() -> str:
    """Return the metrics of the test split with the words of the report."""
    rows = [(f"`{key}`", metric.name, metric.meaning) for key, metric in METRICS.items()]
    return table(("key", "name in the report", "meaning"), rows)


def commands_text() -> str:
    """Return a section for each command: what it does, its options, and the docstring of its module."""
    sections = []
    for command in cli.COMMANDS:
        about, _, example = (command.run.__doc__ or "").partition("\n\n")
        shown = example.strip().removeprefix("Example: ")
        text = f"{about}\n\n```bash\n{shown}\n```\n\n{notes(command.__doc__ or '')}{options(command)}"
        sections.append(f"## localizer {command_name(command)}\n\n{text}")
    return "\n".join(sections)


def notes(docstring: str) -> str:
    """Return a docstring without its first paragraph; lines such as `name: meaning` become a list."""
    text = docstring.strip().partition("\n\n")[2]
    return re.sub(r"^(\w[\w, ]*): ", r"- **\1**: ", text, flags=re.MULTILINE) + "\n\n" if text else ""


def options(command: ModuleType) -> str:
    """Return the table of a command's arguments; empty without any."""
    rows = []
    for option in signature(as_function(command)).parameters.values():
        kind, info = get_args(option.annotation)
        required = option.default is option.empty
        words = [info.help, *(["required"] if required and isinstance(info, OptionInfo) else [])]
        if not required and not isinstance(option.default, bool) and option.default is not None:
            words.append(f"default: `{option.default}`")
        rows.append((", ".join(f"`{name}`" for name in names(option.name, kind, info, required)), "; ".join(words)))
    return table(("argument", "meaning"), rows) if rows else ""


def names(name: str, kind: Any, info: ArgumentInfo | OptionInfo, required: bool) -> list[str]:
    """Return an option as it is typed, with its value; an argument that may be left out is in brackets."""
    several = "..." if get_origin(kind) is list else ""
    if isinstance(info, ArgumentInfo):
        return [f"{info.metavar}{several}" if required else f"[{info.metavar}]"]
    # Of Annotated's names typer keeps the first as `default`.
    given = [str(decl) for decl in (info.default, *(info.param_decls or ())) if decl is not ...]
    given = given or [f"--{name.replace('_', '-')}"]
    choices = [
        str(value) for part in (kind, *get_args(kind)) for value in get_args(part) if get_origin(part) is Literal
    ]
    value = info.metavar or ("{" + ",".join(choices) + "}" if choices else "N" if kind is int else "TEXT")
    is_flag = bool in (kind, *get_args(kind))
    return [one if is_flag else f"{one} {value}" for decl in given for one in decl.split("/")]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table, each cell on one line and with its pipes escaped."""
    cells = [[" ".join(text.split()).replace("|", "\\|") for text in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in [header, ["---"] * len(header), *cells])


BLOCKS: dict[str, Callable[[], str]] = {
    **{f"params.{section}": lambda section=section: params_table(section) for section in PARAMS},  # type: ignore[misc]
    "dataset": lambda: record_table(DatasetConfig),
    "dataset.columns": lambda: record_table(CsvColumns),
    "dataset.image_names": lambda: record_table(ImageNames),
    "formats": formats_table,
    "dataset.drift": lambda: record_table(Drift),
    "dataset.source": lambda: record_table(GitSource),
    "rules": rules_table,
    "findings": findings.sections,
    "metrics": metrics_table,
    "commands": commands_text,
}


if __name__ == "__main__":
    main()
