"""Options as records: each command module has a dataclass `Options`, from whose fields typer makes its options.

A field is annotated as typer wants it. Records, other than long signatures, can inherit the options that several
commands share, and be passed on whole.
"""

from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from types import ModuleType
from typing import Annotated, Literal, get_type_hints

from typer import Option

from localizer.serving.model_forms import MODEL_FORMS

ModelName = Annotated[str, Option(metavar="MODEL", help=MODEL_FORMS)]
Device = Annotated[Literal["auto", "cpu", "cuda"], Option(help="auto: a GPU if there is one")]


class UsageError(ValueError):
    """Options that contradict each other or name something that doesn't fit."""


def command_name(command: ModuleType) -> str:
    """Return a command's name as it is typed."""
    return command.__name__.rpartition(".")[2].replace("_", "-")


def as_function(command: ModuleType) -> Callable[..., int]:
    """Return the function for typer: a parameter for each field of `command.Options`, own ones before inherited."""
    hints = get_type_hints(command.Options, include_extras=True)

    def function(**values: object) -> int:
        return int(command.run(command.Options(**values)))

    own = command.Options.__annotations__
    parameters = [
        Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in sorted(fields(command.Options), key=lambda field: field.name not in own)
    ]
    function.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    function.__doc__ = command.run.__doc__
    return function
