"""The MLflow model: from tables of images to tables of boxes, also in a process without this checkout."""

import base64
import io
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from tracking_toy import LOG_MODEL, SAVE_MODEL, Project, environment

from localizer.calibration import Calibration
from localizer.model.localizer import Architecture, Localizer
from localizer.model.saving import save
from localizer.predictor import FailedImage, ImageSource, Prediction
from localizer.tracking.logged_model import INPUT_COLUMNS, OUTPUT_COLUMNS, REQUIREMENTS

# MLflow, of its own classes and its store.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
]

BOX_COLUMNS = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"]
LOAD = """
import builtins, json, sys

modules, real = set(), builtins.__import__

def recorded(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    module = real(name, globals, locals, fromlist, level)  # an extra that isn't installed raises
    if importer.startswith(("localizer", "code_model_")) and not level:
        modules.add(name.partition(".")[0])
    return module

builtins.__import__ = recorded
import pandas as pd
from mlflow.pyfunc import load_model
from pathlib import Path

images = [path.read_bytes() for path in map(Path, sys.argv[2:])]
rows = load_model(sys.argv[1]).predict(pd.DataFrame({"image": images})).to_dict(orient="records")
import localizer
print(json.dumps({"rows": rows, "from": localizer.__file__, "imported": sorted(modules)}))
"""


def image_bytes(width: int = 80, height: int = 40) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(file, "PNG")
    return file.getvalue()


def table(*images: object) -> pd.DataFrame:
    return pd.DataFrame({"image": pd.Series(images, dtype=object)})


@pytest.fixture(scope="module")
def code() -> Any:
    """Return the module, whose import sets it as MLflow's model."""
    from localizer.serving import pyfunc

    return pyfunc


@pytest.fixture(scope="module")
def served(code: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a model with a new head, which predicts the centered half of any image."""
    weights = tmp_path_factory.mktemp("models") / "localizer.safetensors"
    fields: dict[str, Any] = {"label": "cat", "best_epoch": 1, "val_iou": 0.5, "params": {}}
    model = Localizer(Architecture(18))
    save(weights, model, image_size=32, calibration=Calibration(20, 0.25, 0.9), **fields)
    served = code.LocalizerModel()
    served.weights = weights
    served.load_context(SimpleNamespace(artifacts={"weights": str(weights)}))
    return served


def http_status(caught: pytest.ExceptionInfo[Any]) -> int:
    return caught.value.get_http_status_code()


def test_a_row_has_box_margin_and_image_size(served: Any) -> None:
    (row,) = served.predict(None, table(image_bytes())).to_dict(orient="records")
    box = {"xmin_px": 20.0, "ymin_px": 10.0, "xmax_px": 60.0, "ymax_px": 30.0}
    assert row == box | {"margin_px": 7.5, "confident": True, "width": 80, "height": 40, "error": None}


def test_a_bad_image_has_its_error_and_the_rest_is_predicted(served: Any) -> None:
    rows = served.predict(None, table(image_bytes(), image_bytes()[:-30], b"", image_bytes(160, 40)))
    assert [*rows["xmin_px"]] == [20.0, None, None, 40.0]
    first, broken, empty, last = rows["error"]
    assert (first, last) == (None, None)
    assert "truncated" in broken
    assert empty == "an empty file"


def test_the_rows_keep_the_index(served: Any) -> None:
    assert [*served.predict(None, table(image_bytes(), b"").set_axis([7, "x"])).index] == [7, "x"]


def test_missing_values_are_null_in_json(served: Any) -> None:
    rows = served.predict(None, table(b"", image_bytes())).to_dict(orient="records")
    failed, _ = json.loads(json.dumps(rows, allow_nan=False))
    assert failed == dict.fromkeys(OUTPUT_COLUMNS) | {"error": "an empty file"}


def test_an_empty_table_gives_an_empty_table(served: Any) -> None:
    rows = served.predict(None, table())
    assert (len(rows), [*rows.columns]) == (0, [*OUTPUT_COLUMNS])


def test_values_have_the_types_of_the_signature(served: Any) -> None:
    types = {"double": float, "boolean": bool, "long": int, "string": str}
    good, bad = served.predict(None, table(image_bytes(), b"")).to_dict(orient="records")
    assert [*good] == [*OUTPUT_COLUMNS]
    assert {name: type(value) for name, value in (good | {"error": bad["error"]}).items()} == {
        name: types[kind] for name, kind in OUTPUT_COLUMNS.items()
    }


def test_too_many_images_in_a_request_are_refused(served: Any) -> None:
    with pytest.raises(
        Exception, match="257 images in a request, at most 256 are allowed; send several requests"
    ) as caught:
        served.predict(None, table(*[b""] * 257))
    assert http_status(caught) == 400


@pytest.mark.parametrize(("value", "name"), [("photo.jpg", "str"), (None, "NoneType"), (3, "int")])
def test_other_types_than_bytes_are_refused(served: Any, value: object, name: str) -> None:
    with pytest.raises(Exception, match=f"image 1: expected bytes of an image file, .* got {name}") as caught:
        served.predict(None, table(image_bytes(), value))
    assert http_status(caught) == 400


def test_a_file_over_the_size_limit_is_not_opened(served: Any, code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MAX_FILE_MIB", 1)
    rows = served.predict(None, table(image_bytes() + bytes(2**20), image_bytes()))
    assert [*rows["error"]] == ["1.0 MiB, over the limit of 1 MiB per file", None]


@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes])
def test_base64_that_mlflow_did_not_decode_is_an_error(served: Any, encode: Any) -> None:
    (error,) = served.predict(None, table(encode(image_bytes())))["error"]
    assert error.startswith("base64 text, not an image file; MLflow decodes it only in dataframe_split")


def test_images_whose_total_size_is_too_large_are_refused(
    served: Any, code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code.MAX_REQUEST_MIB == 256
    monkeypatch.setattr(code, "MAX_REQUEST_MIB", 1)
    half = bytes(2**19)
    assert len(served.predict(None, table(half, half))) == 2
    with pytest.raises(
        Exception, match=r"1\.5 MiB of images in a request, at most 1 are allowed; send several"
    ) as caught:
        served.predict(None, table(half, half, half))
    assert http_status(caught) == 400


def test_a_request_that_waits_too_long_is_refused_without_computing(
    served: Any, code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code.WAIT_S < 60  # MLflow's server gives up then
    monkeypatch.setattr(code, "WAIT_S", 0.01)
    with served._lock, pytest.raises(Exception, match="busy with other requests; try again") as caught:
        served.predict(None, table(image_bytes()))
    assert http_status(caught) == 503
    assert len(served.predict(None, table(image_bytes()))) == 1


def test_a_request_that_fails_releases_the_lock(served: Any, code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "WAIT_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(code.LocalizerModel, "_predict", lambda self, images: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            served.predict(None, table(image_bytes()))
    assert len(served.predict(None, table(image_bytes()))) == 1


def test_pillows_warnings_about_metadata_are_not_shown(served: Any) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 1
    Image.new("RGB", (80, 40)).save(file, "JPEG", exif=exif)
    corrupt = file.getvalue().replace(b"\x00\x08\x00\x01\x01\x12", b"\x00\x08\x00\xff\x01\x12")
    assert corrupt != file.getvalue()
    assert [*served.predict(None, table(corrupt))["error"]] != [None]  # a control: here warnings are errors
    type(served)().load_context(SimpleNamespace(artifacts={"weights": str(served.weights)}))
    assert [*served.predict(None, table(corrupt))["error"]] == [None]


def test_requests_are_computed_one_at_a_time(code: Any) -> None:
    running: list[int] = [0]
    counts: list[int] = []

    def slowly(sources: Iterable[ImageSource]) -> Iterator[Prediction | FailedImage]:
        running[0] += 1
        counts.append(running[0])
        time.sleep(0.05)
        running[0] -= 1
        return (FailedImage(source.name, "none") for source in sources)

    model = code.LocalizerModel()
    model._predictor, model._lock = SimpleNamespace(predict_all=slowly), threading.Lock()
    callers = [threading.Thread(target=model.predict, args=(None, table(image_bytes()))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert counts == [1, 1, 1, 1]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> dict[str, Any]:
    """Return what a process outside the checkout got from a logged model for a good and a bad image."""
    project, away = Project(tmp_path_factory.mktemp("project")), tmp_path_factory.mktemp("away")
    shutil.copy(empty_store, project.root / "mlflow.db")
    done = project.run("-c", SAVE_MODEL + LOG_MODEL)
    assert done.returncode == 0, done.stdout
    (folder,) = (project.root / "mlartifacts").glob("models/*/artifacts")
    (away / "good.png").write_bytes(image_bytes())
    (away / "bad.png").write_bytes(b"<html>")
    around = environment(PYTHONPATH="", MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    command = [sys.executable, "-c", LOAD, str(folder), "good.png", "bad.png"]
    done = subprocess.run(command, cwd=away, env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)) | {"folder": folder}


def test_a_logged_model_predicts_without_pickle(loaded: dict[str, Any]) -> None:
    good, bad = loaded["rows"]
    assert [good[column] for column in BOX_COLUMNS] == [20.0, 10.0, 60.0, 30.0]
    assert bad["error"].startswith("not an image of a supported format")


def test_a_logged_model_runs_the_code_that_it_was_logged_with(loaded: dict[str, Any]) -> None:
    assert Path(loaded["from"]) == loaded["folder"] / "code/localizer/__init__.py"


def test_loading_and_predicting_import_exactly_the_packages_that_the_model_requires(loaded: dict[str, Any]) -> None:
    distributions = packages_distributions()
    others = [name for name in loaded["imported"] if name not in sys.stdlib_module_names and name != "localizer"]
    needed = [{package.lower() for package in distributions[name]} & {*REQUIREMENTS} for name in others]
    assert all(needed), others
    assert set().union(*needed) == {*REQUIREMENTS}


def test_the_logged_signature_maps_bytes_to_the_columns(loaded: dict[str, Any]) -> None:
    from mlflow.models import Model

    model = Model.load(str(loaded["folder"]))
    schemas = (model.get_input_schema(), model.get_output_schema())
    assert [{column.name: column.type.name for column in schema} for schema in schemas] == [
        INPUT_COLUMNS,
        OUTPUT_COLUMNS,
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_used_if_there_is_one(served: Any) -> None:
    assert served._predictor.device.type == "cuda"
