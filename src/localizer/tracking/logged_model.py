"""The trained model as an MLflow model from code: the weights, and the package that runs them; no pickle."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import localizer
from localizer.tracking.store import Store

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.models.model import ModelInfo

PACKAGE = Path(localizer.__file__).parent
CODE = PACKAGE / "serving" / "pyfunc.py"  # which MLflow runs, and whose columns these are
INPUT_COLUMNS = {"image": "binary"}
OUTPUT_COLUMNS = dict.fromkeys(("xmin_px", "ymin_px", "xmax_px", "ymax_px", "margin_px"), "double") | {
    "confident": "boolean",
    "width": "long",
    "height": "long",
    "error": "string",
}
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "torch")


def log_model(weights: Path, *, store: Store, run_id: str) -> "ModelInfo":
    """Log MODEL.safetensors, and MODEL.json next to it, with the run, as a model that takes image files."""
    import mlflow
    from mlflow.models import Model

    mlflow.set_experiment(experiment_id=store.experiment_id)  # else the model goes to another experiment than its run
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it logs each step
    with _no_bytecode():
        arguments = pyfunc_arguments(weights)
        info: ModelInfo = Model.log(None, flavor=mlflow.pyfunc, name="model", run_id=run_id, **arguments)
    return info


def pyfunc_arguments(weights: Path) -> dict[str, Any]:
    """Return the model's parts as arguments of `mlflow.pyfunc.save_model`."""
    return {
        "python_model": str(CODE),
        "code_paths": [str(PACKAGE)],
        "artifacts": {"weights": str(weights), "card": str(weights.with_suffix(".json"))},
        "signature": _signature(),
        "input_example": _input_example(),
        # Else MLflow infers them, which takes long and finds too many. No registry has a local part ("+cpu").
        "pip_requirements": [f"{name}=={version(name).partition('+')[0]}" for name in REQUIREMENTS],
    }


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Keep Python from writing __pycache__: MLflow tries the model in the folder that it is about to store."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    inputs = Schema([ColSpec(kind, name) for name, kind in INPUT_COLUMNS.items()])
    outputs = Schema([ColSpec(kind, name, required=False) for name, kind in OUTPUT_COLUMNS.items()])
    return ModelSignature(inputs, outputs)


def _input_example() -> "pd.DataFrame":
    """Return a synthetic image: those of a data set may not be public."""
    import pandas as pd
    from PIL import Image

    file = BytesIO()
    Image.radial_gradient("L").resize((96, 64)).save(file, "JPEG")
    return pd.DataFrame({"image": [file.getvalue()]})
