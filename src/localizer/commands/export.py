"""`localizer export`: a trained model as one ONNX file."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from typer import Option

from localizer.commands.options import ModelName
from localizer.serving.model_forms import MODEL

REQUIRED = ("onnx", "onnxruntime", "onnxscript")


@dataclass(frozen=True)
class Options:
    onnx: Annotated[Path, Option(metavar="PATH", help="the .onnx file to write")]
    model: ModelName = str(MODEL)


def run(options: Options) -> int:
    """Write the model as ONNX, after checking onnxruntime's output against PyTorch's.

    Example: localizer export --onnx models/localizer.onnx
    """
    check_installed()
    from localizer.serving.model_finder import find_model
    from localizer.serving.onnx import IMAGE_PX, OPSET, export

    difference = export(find_model(options.model), options.onnx)
    print(f"{options.onnx}: {options.onnx.stat().st_size / 1e6:.1f} MB, opset {OPSET}")
    print(
        f"largest difference of onnxruntime from PyTorch: {difference.box_px:.2g} px on an image of {IMAGE_PX} px, "
        f"{difference.agreement:.2g} in agreement"
    )
    return 0


def check_installed() -> None:
    """Raise ValueError, with the fix, if a library for ONNX is missing."""
    if missing := [name for name in REQUIRED if find_spec(name) is None]:
        raise ValueError(f"{', '.join(missing)}: not installed; pip install '.[onnx]' in Localizer's checkout")
