"""The trained model as an MLflow model from code: the weights, and the package that runs them; no pickle."""

import logging
import sys
from collections.abc import Iterator, Sequence
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
CODE = PACKAGE / "serving" / "pyfunc.py"  # what MLflow runs; its columns are these
TAKES = {"image": "binary"}
GIVES = dict.fromkeys(("xmin_px", "ymin_px", "xmax_px", "ymax_px", "margin_px"), "double") | {
    "confident": "boolean",
    "width": "long",
    "height": "long",
    "error": "string",
}
REQUIRES = ("mlflow", "numpy", "pandas", "pillow", "pydantic", "safetensors", "torch")


def log_model(weights: Path, *, store: Store, run_id: str) -> "ModelInfo":
    """Store MODEL.safetensors, and MODEL.json beside it, with the run: as a model that takes files of images."""
    import mlflow
    from mlflow.models import Model

    mlflow.set_experiment(experiment_id=store.experiment_id)  # else the model goes to another than its run
    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)  # it tells each step
    with _no_bytecode():
        info: ModelInfo = Model.log(None, flavor=mlflow.pyfunc, name="model", run_id=run_id, **parts(weights))
    return info


def parts(weights: Path) -> dict[str, Any]:
    """Return what the model is made of, as MLflow's `pyfunc.save_model` takes it."""
    return {
        "python_model": str(CODE),
        "code_paths": [str(PACKAGE)],
        "artifacts": {"weights": str(weights), "card": str(weights.with_suffix(".json"))},
        "signature": _signature(),
        "input_example": _example(),
        "pip_requirements": pinned(REQUIRES),  # else MLflow looks for them, which takes long and finds too many
    }


@contextmanager
def _no_bytecode() -> Iterator[None]:
    """Keep Python from writing __pycache__: MLflow tries the model in the folder that it is about to store."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before


def pinned(packages: Sequence[str]) -> list[str]:
    """Return requirements at the installed versions, without a local part ("+cpu") that no registry knows."""
    return [f"{package}=={version(package).partition('+')[0]}" for package in packages]


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    given = Schema([ColSpec(kind, name) for name, kind in TAKES.items()])
    return ModelSignature(given, Schema([ColSpec(kind, name, required=False) for name, kind in GIVES.items()]))


def _example() -> "pd.DataFrame":
    """Return a made-up picture: those of a data set may not be for everyone."""
    import pandas as pd
    from PIL import Image

    file = BytesIO()
    Image.radial_gradient("L").resize((96, 64)).save(file, "JPEG")
    return pd.DataFrame({"image": [file.getvalue()]})
