"""`localizer weights`: what a file of weights would load into, for `train.weights`.

The exit status is 0 if training can start from the file, with the depth that is printed, and 1 if not. Each depth of
ResNet is tried, with the head of `params.yaml`, by the code that training loads with.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument

if TYPE_CHECKING:
    from localizer.model.weights import WeightsFit


@dataclass(frozen=True)
class Options:
    file: Annotated[Path, Argument(metavar="FILE", help="a path, or the name of a file in weights/")]


def run(options: Options) -> int:
    """Tell what a file of pretrained weights would load into, and what is left out; exit with 1 if it can't be used.

    Example: localizer weights resnet50-imagenet.safetensors
    """
    from localizer.files import file_sha256
    from localizer.model.weights import FOLDER, fit_depth, read_weights

    inside = FOLDER / options.file
    path = options.file if options.file.is_file() or not inside.is_file() else inside
    tensors = read_weights(path)
    fit = fit_depth(tensors, where=str(path))
    print("\n".join([f"{path}: {len(tensors)} tensors, SHA-256 {file_sha256(path)}", *_lines(fit)]))
    if fit.problems:
        return 1
    copy = "" if path.resolve().parent == FOLDER.resolve() else f"cp {path} {FOLDER}/ && "
    print(f"usable: {copy}dvc exp run -S train.weights={path.name} -S train.depth={fit.depth}")
    return 0


def _lines(fit: "WeightsFit") -> list[str]:
    from localizer.model.weights import first_names

    below = f", below {fit.prefix}" if fit.prefix else ""
    head = f"all {len(fit.head)} tensors fit and are loaded, too" if fit.head else "none in the file"
    if fit.unused_head:
        head = f"left out, since it isn't that of this model: {first_names(fit.unused_head)}"
    return [
        f"{'not usable; closest to' if fit.problems else 'fits'} a ResNet-{fit.depth}{below}",
        f"backbone: {fit.loaded} of {fit.total} tensors fit",
        *fit.problems,
        f"head: {head}",
    ]
