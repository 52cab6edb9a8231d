"""The MLflow model from code: MLflow runs a copy of this file that it keeps with the weights; nothing is unpickled."""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from localizer.device import choose_device
from localizer.predictor import FailedImage, ImageSource, Predictor
from localizer.serving.prediction_formats import COLUMNS, to_row

MIB = 2**20
MAX_IMAGES = 256  # per request: more would take longer than the minute after which MLflow's server gives up
MAX_FILE_MIB = 64
MAX_REQUEST_MIB = 256  # of all images of a request
WAIT_S = 30  # for other requests: half of the server's minute; the rest is for reading and computing


class LocalizerModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The predictor as a function from a table of image files to a table of boxes."""

    def load_context(self, context: Any) -> None:
        """Load the weights, and the card in their folder, to a GPU if there is one."""
        # Pillow's warnings about metadata name no image. Set here, not per call: filters are global to the process.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        self._predictor = Predictor.load(Path(context.artifacts["weights"]), device=choose_device("auto"))
        self._lock = Lock()

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return one row per image, in their order: its box in pixels, see `Prediction`, or its `error`.

        model_input: the column `image` has the bytes of image files. Missing values are None, as JSON has no NaN.
        MlflowException: status 400 for too many images or other types, 503 if other requests take too long.
        """
        images = _check_request([*model_input["image"]])
        # One request at a time: decoding a large image takes 300 MB.
        if not self._lock.acquire(timeout=WAIT_S):
            raise MlflowException("busy with other requests; try again", error_code=TEMPORARILY_UNAVAILABLE)
        try:
            rows = self._predict(images)
        finally:
            self._lock.release()
        return pd.DataFrame(rows, columns=COLUMNS[1:], index=model_input.index, dtype=object)

    def _predict(self, images: Sequence[bytes]) -> list[dict[str, Any]]:
        errors = [_file_error(image) for image in images]
        valid = (ImageSource("image", image) for image, error in zip(images, errors, strict=True) if not error)
        predictions = self._predictor.predict_all(valid)
        return [to_row(FailedImage("image", error) if error else next(predictions)) for error in errors]


def _check_request(images: Sequence[Any]) -> list[bytes]:
    """Return the images; MlflowException if they are too many, too large together, or not bytes."""
    wrong = next((index for index, image in enumerate(images) if not isinstance(image, bytes)), None)
    if len(images) > MAX_IMAGES:
        problem = f"{len(images)} images in a request, at most {MAX_IMAGES} are allowed; send several requests"
    elif wrong is not None:
        got = type(images[wrong]).__name__
        problem = f"image {wrong}: expected bytes of an image file, which are base64 in JSON, got {got}"
    elif (size := sum(map(len, images)) / MIB) > MAX_REQUEST_MIB:
        problem = f"{size:.1f} MiB of images in a request, at most {MAX_REQUEST_MIB} are allowed; send several requests"
    else:
        return [*images]
    raise MlflowException.invalid_parameter_value(problem)


def _file_error(image: bytes) -> str:
    """Return why an image is not even opened; empty if it is."""
    if len(image) > MAX_FILE_MIB * MIB:
        return f"{len(image) / MIB:.1f} MiB, over the limit of {MAX_FILE_MIB} MiB per file"
    if re.fullmatch(rb"[A-Za-z0-9+/\n]+={0,2}\n?", image):
        return "base64 text, not an image file; MLflow decodes it only in dataframe_split and dataframe_records"
    return ""


mlflow.models.set_model(LocalizerModel())
