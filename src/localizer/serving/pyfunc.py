"""The model that MLflow loads and serves: it runs this file, in a copy beside the weights, and unpickles nothing."""

import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from localizer.device import choose_device
from localizer.predictor import FailedImage, ImageSource, Prediction, Predictor

MAX_IMAGES = 256  # in a request: more would take longer than the minute after which MLflow's server gives up
MAX_BYTES = 64 * 2**20  # of an image's file
MAX_TOGETHER = 256 * 2**20  # bytes of a request's images
WAIT_S = 30  # for other requests: half of the minute after which the server gives up; the rest is to read and compute
SIDES = ("xmin_px", "ymin_px", "xmax_px", "ymax_px")
COLUMNS = (*SIDES, "margin_px", "confident", "width", "height", "error")


class Served(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """The predictor, from a table of images to a table of boxes."""

    def load_context(self, context: Any) -> None:
        """Load the weights, and the card that lies beside them, to a GPU where there is one."""
        # Pillow's tell of metadata, and name no image; set once, since a filter is the process's and threads read.
        warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
        self._predictor = Predictor.load(Path(context.artifacts["weights"]), device=choose_device("auto"))
        self._turn = Lock()

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a row for each image, in their order: its box in pixels, see `Prediction`, or its `error`.

        model_input: the column `image` holds the bytes of image files. What there is no value for is None in the
        answer, since JSON has no NaN. MlflowException, a 400 of the server: too many images, or not bytes; a 503: other
        requests took too long.
        """
        images = _checked([*model_input["image"]])
        # Else each request would decode its images at once, with 300 MB for a large one.
        if not self._turn.acquire(timeout=WAIT_S):
            raise MlflowException("busy with other requests; try again", error_code=TEMPORARILY_UNAVAILABLE)
        try:
            rows = [*self._rows(images)]
        finally:
            self._turn.release()
        return pd.DataFrame(rows, columns=COLUMNS, index=model_input.index, dtype=object)

    def _rows(self, images: Sequence[bytes]) -> Iterator[dict[str, Any]]:
        refused = [_refused(image) for image in images]
        numbered = enumerate(zip(images, refused, strict=True))
        answers = self._predictor.predict_all(
            ImageSource(str(number), image) for number, (image, why) in numbered if not why
        )
        for why in refused:
            yield _nothing(why) if why else _row(next(answers))


def _checked(images: Sequence[object]) -> list[bytes]:
    if len(images) > MAX_IMAGES:
        raise MlflowException.invalid_parameter_value(
            f"{len(images)} images in a request, at most {MAX_IMAGES} are taken; send them in several"
        )
    for number, image in enumerate(images):
        if not isinstance(image, bytes):
            raise MlflowException.invalid_parameter_value(
                f"image {number}: got {type(image).__name__}, expected bytes of an image file, which are base64 in JSON"
            )
    known = [image for image in images if isinstance(image, bytes)]
    if (length := sum(map(len, known))) > MAX_TOGETHER:
        raise MlflowException.invalid_parameter_value(
            f"{length / 2**20:.1f} MiB of images in a request, at most {MAX_TOGETHER // 2**20} are taken; "
            "send them in several"
        )
    return known


def _refused(image: bytes) -> str:
    """Return why an image isn't even opened; empty where it is."""
    if len(image) > MAX_BYTES:
        return f"{len(image) / 2**20:.1f} MiB, over the cap of {MAX_BYTES // 2**20} MiB a file"
    if re.fullmatch(rb"[A-Za-z0-9+/\n]+={0,2}\n?", image):
        return "base64 text, not a file; MLflow decodes it in dataframe_split and dataframe_records alone"
    return ""


def _row(answer: Prediction | FailedImage) -> dict[str, Any]:
    if isinstance(answer, FailedImage):
        return _nothing(answer.error)
    box = dict(zip(SIDES, answer.box_xyxy_px, strict=True))
    return box | {name: getattr(answer, name, None) for name in COLUMNS[len(SIDES) :]}


def _nothing(error: str) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS) | {"error": error}


mlflow.models.set_model(Served())
