"""`localizer export`: a trained model as one ONNX file."""

import argparse
from importlib.util import find_spec
from pathlib import Path

from localizer.serving import find_model

NEEDED = ("onnx", "onnxruntime", "onnxscript")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--onnx", type=Path, required=True, metavar="PATH", help="the file to write; it ends in .onnx")
    find_model.add_model_option(parser)


def run(options: argparse.Namespace) -> int:
    """Write the model as ONNX, once onnxruntime gives PyTorch's answers."""
    check_installed()
    from localizer.serving.onnx import OPSET, SIDE, export

    written = export(find_model.find_model(options.model), options.onnx)
    print(f"{options.onnx}: {written.size / 1e6:.1f} MB, opset {OPSET}")
    print(
        f"onnxruntime is at most {written.difference_px:.2g} px from PyTorch on an image of {SIDE} px, "
        f"and {written.difference_agreement:.2g} in agreement"
    )
    return 0


def check_installed() -> None:
    """Raise ValueError, with what to do, where a library that ONNX needs is missing."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ValueError(f"{', '.join(missing)}: not installed; pip install '.[onnx]' in Localizer's checkout")
