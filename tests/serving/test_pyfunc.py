"""The model that MLflow loads: from tables of images to tables of boxes, in a process that has nothing else of ours."""

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

SIDES = ["xmin_px", "ymin_px", "xmax_px", "ymax_px"]
LOAD = """
import builtins, json, sys

modules, real = set(), builtins.__import__

def recorded(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if importer.startswith(("localizer", "code_model_")) and not level:
        modules.add(name.partition(".")[0])
    return real(name, globals, locals, fromlist, level)

builtins.__import__ = recorded
import pandas as pd
from mlflow.pyfunc import load_model
from pathlib import Path

images = [path.read_bytes() for path in map(Path, sys.argv[2:])]
rows = load_model(sys.argv[1]).predict(pd.DataFrame({"image": images})).to_dict(orient="records")
import localizer
print(json.dumps({"rows": rows, "from": localizer.__file__, "imported": sorted(modules)}))
"""


def picture(width: int = 80, height: int = 40) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(file, "PNG")
    return file.getvalue()


def table(*images: object) -> pd.DataFrame:
    return pd.DataFrame({"image": pd.Series(images, dtype=object)})


@pytest.fixture(scope="module")
def code() -> Any:
    """The module, which its import gives to MLflow as a model."""
    from localizer.serving import pyfunc

    return pyfunc


@pytest.fixture(scope="module")
def served(code: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model whose head is fresh, so that every box is the centred half of its image."""
    weights = tmp_path_factory.mktemp("models") / "localizer.safetensors"
    told: dict[str, Any] = {"label": "cat", "best_epoch": 1, "val_iou": 0.5, "params": {}}
    save(weights, Localizer(Architecture(18, "grid", 1)), image_size=32, calibration=Calibration(20, 0.25, 0.9), **told)
    model = code.Served()
    model.weights = weights
    model.load_context(SimpleNamespace(artifacts={"weights": str(weights)}))
    return model


def http_status(told: pytest.ExceptionInfo[Any]) -> int:
    return told.value.get_http_status_code()


def test_a_row_has_the_box_the_margin_and_the_images_size(served: Any) -> None:
    (row,) = served.predict(None, table(picture())).to_dict(orient="records")
    box = {"xmin_px": 20.0, "ymin_px": 10.0, "xmax_px": 60.0, "ymax_px": 30.0}
    assert row == box | {"margin_px": 7.5, "confident": True, "width": 80, "height": 40, "error": None}


def test_a_bad_image_says_why_in_its_row_and_the_rest_is_done(served: Any) -> None:
    rows = served.predict(None, table(picture(), picture()[:-30], b"", picture(160, 40)))
    assert [*rows["xmin_px"]] == [20.0, None, None, 40.0]
    first, broken, empty, last = rows["error"]
    assert (first, last) == (None, None)
    assert "truncated" in broken
    assert empty == "an empty file"


def test_the_rows_keep_the_tables_index(served: Any) -> None:
    assert [*served.predict(None, table(picture(), b"").set_axis([7, "x"])).index] == [7, "x"]


def test_what_has_no_value_is_null_in_json(served: Any) -> None:
    rows = served.predict(None, table(b"", picture())).to_dict(orient="records")
    nothing, _ = json.loads(json.dumps(rows, allow_nan=False))
    assert nothing == dict.fromkeys(OUTPUT_COLUMNS) | {"error": "an empty file"}


def test_an_empty_table_gives_an_empty_table(served: Any) -> None:
    rows = served.predict(None, table())
    assert (len(rows), [*rows.columns]) == (0, [*OUTPUT_COLUMNS])


def test_the_values_are_of_the_types_that_the_signature_names(served: Any) -> None:
    types = {"double": float, "boolean": bool, "long": int, "string": str}
    good, bad = served.predict(None, table(picture(), b"")).to_dict(orient="records")
    assert [*good] == [*OUTPUT_COLUMNS]
    assert {name: type(value) for name, value in (good | {"error": bad["error"]}).items()} == {
        name: types[kind] for name, kind in OUTPUT_COLUMNS.items()
    }


def test_more_images_than_a_request_may_hold_are_refused(served: Any) -> None:
    with pytest.raises(Exception, match="257 images in a request, at most 256 are taken; send them in several") as got:
        served.predict(None, table(*[b""] * 257))
    assert http_status(got) == 400


@pytest.mark.parametrize(("given", "kind"), [("photo.jpg", "str"), (None, "NoneType"), (3, "int")])
def test_what_is_not_bytes_is_refused(served: Any, given: object, kind: str) -> None:
    with pytest.raises(Exception, match=f"image 1: got {kind}, expected bytes of an image file") as got:
        served.predict(None, table(picture(), given))
    assert http_status(got) == 400


def test_a_file_over_the_cap_is_not_opened(served: Any, code: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code, "MAX_BYTES", 2**20)
    rows = served.predict(None, table(picture() + bytes(2**20), picture()))
    assert [*rows["error"]] == ["1.0 MiB, over the cap of 1 MiB a file", None]


@pytest.mark.parametrize("encode", [base64.b64encode, base64.encodebytes])
def test_base64_that_mlflow_did_not_decode_is_told(served: Any, encode: Any) -> None:
    (error,) = served.predict(None, table(encode(picture())))["error"]
    assert error.startswith("base64 text, not a file; MLflow decodes it in dataframe_split and dataframe_records")


def test_images_that_are_too_large_together_are_refused(
    served: Any, code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code.MAX_TOGETHER == 256 * 2**20
    monkeypatch.setattr(code, "MAX_TOGETHER", 2**20)
    half = bytes(2**19)
    assert len(served.predict(None, table(half, half))) == 2
    with pytest.raises(Exception, match=r"1\.5 MiB of images in a request, at most 1 are taken; send them in") as got:
        served.predict(None, table(half, half, half))
    assert http_status(got) == 400


def test_who_waits_for_others_too_long_is_told_to_try_again_and_not_computed(
    served: Any, code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert code.WAIT_S < 60  # after which MLflow's server has given up
    monkeypatch.setattr(code, "WAIT_S", 0.01)
    with served._turn, pytest.raises(Exception, match="busy with other requests; try again") as got:
        served.predict(None, table(picture()))
    assert http_status(got) == 503
    assert len(served.predict(None, table(picture()))) == 1


def test_a_request_that_fails_leaves_the_turn_to_the_next(
    served: Any, code: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "WAIT_S", 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(code.Served, "_rows", lambda self, images: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            served.predict(None, table(picture()))
    assert len(served.predict(None, table(picture()))) == 1


def test_what_pillow_says_of_metadata_is_not_told(served: Any) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 1
    Image.new("RGB", (80, 40)).save(file, "JPEG", exif=exif)
    corrupt = file.getvalue().replace(b"\x00\x08\x00\x01\x01\x12", b"\x00\x08\x00\xff\x01\x12")
    assert corrupt != file.getvalue()
    assert [*served.predict(None, table(corrupt))["error"]] != [None]  # a control: here warnings are errors
    type(served)().load_context(SimpleNamespace(artifacts={"weights": str(served.weights)}))
    assert [*served.predict(None, table(corrupt))["error"]] == [None]


def test_requests_are_computed_one_after_the_other(code: Any) -> None:
    inside: list[int] = [0]
    most: list[int] = []

    def slowly(sources: Iterable[ImageSource]) -> Iterator[Prediction | FailedImage]:
        inside[0] += 1
        most.append(inside[0])
        time.sleep(0.05)
        inside[0] -= 1
        return (FailedImage(source.name, "none") for source in sources)

    model = code.Served()
    model._predictor, model._turn = SimpleNamespace(predict_all=slowly), threading.Lock()
    callers = [threading.Thread(target=model.predict, args=(None, table(picture()))) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert most == [1, 1, 1, 1]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> dict[str, Any]:
    """What a process found that loaded a logged model away from the checkout, and gave it a good and a bad image."""
    project, away = Project(tmp_path_factory.mktemp("project")), tmp_path_factory.mktemp("away")
    shutil.copy(empty_store, project.root / "mlflow.db")
    done = project.run("-c", SAVE_MODEL + LOG_MODEL)
    assert done.returncode == 0, done.stdout
    (folder,) = (project.root / "mlartifacts").glob("models/*/artifacts")
    (away / "good.png").write_bytes(picture())
    (away / "bad.png").write_bytes(b"<html>")
    around = environment(PYTHONPATH="", MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false")
    command = [sys.executable, "-c", LOAD, str(folder), "good.png", "bad.png"]
    done = subprocess.run(command, cwd=away, env=around, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)) | {"folder": folder}


def test_a_logged_model_predicts_without_pickle(loaded: dict[str, Any]) -> None:
    good, bad = loaded["rows"]
    assert [good[side] for side in SIDES] == [20.0, 10.0, 60.0, 30.0]
    assert bad["error"].startswith("not an image of a supported format")


def test_a_logged_model_runs_the_code_that_it_was_logged_with(loaded: dict[str, Any]) -> None:
    assert Path(loaded["from"]) == loaded["folder"] / "code/localizer/__init__.py"


def test_loading_and_predicting_import_exactly_the_packages_that_the_model_requires(loaded: dict[str, Any]) -> None:
    makers = packages_distributions()
    others = [name for name in loaded["imported"] if name not in sys.stdlib_module_names and name != "localizer"]
    needed = [{maker.lower() for maker in makers[name]} & {*REQUIREMENTS} for name in others]
    assert all(needed), others
    assert set().union(*needed) == {*REQUIREMENTS}


def test_the_logged_signature_takes_bytes_and_gives_the_columns(loaded: dict[str, Any]) -> None:
    from mlflow.models import Model

    model = Model.load(str(loaded["folder"]))
    told = [
        {one.name: one.type.name for one in schema} for schema in (model.get_input_schema(), model.get_output_schema())
    ]
    assert told == [INPUT_COLUMNS, OUTPUT_COLUMNS]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_taken_where_there_is_one(served: Any) -> None:
    assert served._predictor.device.type == "cuda"
