"""`mlflow models serve` on the champion, with valid and invalid HTTP requests."""

import base64
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image
from tracking_toy import LOG_MODEL, SAVE_MODEL, Project, environment

# MLflow's store, of SQLAlchemy.
pytestmark = [pytest.mark.server, pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning")]

JSON = "application/json"
BOX = {"xmin_px": 20.0, "ymin_px": 10.0, "xmax_px": 60.0, "ymax_px": 30.0}
GOOD = BOX | {"margin_px": 7.5, "confident": True, "width": 80, "height": 40, "error": None}
CROWN = """
from mlflow import MlflowClient

client = MlflowClient()
(model,) = client.search_logged_models([run.store.experiment_id])
client.create_registered_model("localizer")
client.create_model_version("localizer", f"models:/{model.model_id}")
client.set_registered_model_alias("localizer", "champion", "1")
"""


class Answer(NamedTuple):
    status: int
    text: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        assert self.status == 200, self.text
        return list(json.loads(self.text, parse_constant=pytest.fail)["predictions"])  # NaN isn't JSON


Ask = Callable[..., Answer]


def image_bytes() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (80, 40), "white").save(file, "PNG")
    return file.getvalue()


IMAGE = base64.b64encode(image_bytes()).decode()


def split(*images: object, column: object = "image") -> dict[str, Any]:
    return {"dataframe_split": {"columns": [column], "data": [[image] for image in images]}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Ask]:
    """Return a function that sends a request to a server of the champion."""
    project = Project(tmp_path_factory.mktemp("served"))
    shutil.copy(empty_store, project.root / "mlflow.db")
    done = project.run("-c", SAVE_MODEL + LOG_MODEL + CROWN)
    assert done.returncode == 0, done.stdout
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    log = (project.root / "serve.log").open("w")
    with log, start(project.root, port, log) as process:
        try:
            wait_for(port, process, project.root / "serve.log")
            yield lambda *arguments, **named: ask(port, *arguments, **named)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def start(root: Path, port: int, log: io.TextIOWrapper) -> "subprocess.Popen[bytes]":
    """Start the command of the README, which takes uvicorn from the PATH."""
    command = "-m mlflow models serve -m models:/localizer@champion --env-manager local --host 127.0.0.1 --port"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    around = environment(MLFLOW_TRACKING_URI="sqlite:///mlflow.db", PATH=path, PYTHONPATH="")
    full = [sys.executable, *command.split(), str(port)]
    return subprocess.Popen(full, cwd=root, env=around, stdout=log, stderr=log, start_new_session=True)


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def ask(port: int, given: Any, kind: str = JSON) -> Answer:
    """Return the answer to a payload: bytes as they are, the rest as JSON."""
    connection = HTTPConnection("127.0.0.1", port, timeout=100)
    try:
        content = given if isinstance(given, bytes) else json.dumps(given).encode()
        connection.request("POST", "/invocations", content, {"Content-Type": kind})
        response = connection.getresponse()
        return Answer(response.status, response.read().decode())
    finally:
        connection.close()


def test_an_image_gets_its_box(server: Ask) -> None:
    assert server(split(IMAGE)).rows == [GOOD]


def test_records_are_accepted_too(server: Ask) -> None:
    assert server({"dataframe_records": [{"image": IMAGE}]}).rows == [GOOD]


def test_a_bad_image_among_good_ones_gets_its_error(server: Ask) -> None:
    bad = base64.b64encode(image_bytes()[:-30]).decode()
    first, broken, last = server(split(IMAGE, bad, IMAGE)).rows
    assert (first, last) == (GOOD, GOOD)
    assert "truncated" in broken.pop("error")
    assert {*broken.values()} == {None}


def test_no_images_get_no_boxes(server: Ask) -> None:
    assert server(split()).rows == []


@pytest.mark.parametrize("form", [{"inputs": {"image": [IMAGE]}}, {"instances": [{"image": IMAGE}]}])
def test_base64_that_mlflow_does_not_decode_is_distinguished_from_bad_images(server: Ask, form: dict[str, Any]) -> None:
    (row,) = server(form).rows
    assert row["error"].startswith("base64 text, not an image file")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (split(IMAGE, column="photo"), "Model is missing inputs ['image']. Note that there were extra inputs"),
        (split("/etc/passwd"), "Failed to convert column image"),
        (split("not base64"), "Invalid base64-encoded string"),
        (split(f"data:image/png;base64,{IMAGE}"), "Failed to convert column image"),
        (split(None), "Failed to convert column image"),
        (split(1), "Failed to convert column image"),
        (split([IMAGE]), "Failed to convert column image"),
        (split(*[IMAGE] * 257), "257 images in a request, at most 256 are allowed; send several requests"),
        (b"{", "Ensure that input is a valid JSON formatted string"),
        (b"\xff\xfe\x00", "Ensure that input is a valid JSON formatted string"),
        ([], "The input must be a JSON dictionary"),
        ({}, "The input must be a JSON dictionary"),
        ({"dataframe_split": None}, "Dataframe split format must be a dictionary"),
    ],
)
def test_an_invalid_request_gets_status_400_and_the_reason(server: Ask, given: Any, reason: str) -> None:
    answer = server(given)
    assert answer.status == 400
    assert reason in json.loads(answer.text)["message"]


def test_a_table_of_text_gets_status_400(server: Ask) -> None:
    answer = server(f"image\n{IMAGE}\n".encode(), "text/csv")
    assert answer.status == 400
    assert "image 0: expected bytes of an image file" in answer.text


@pytest.mark.parametrize("kind", ["", "text/plain", "image/png", "application/json; charset=latin1"])
def test_another_content_type_gets_status_415(server: Ask, kind: str) -> None:
    assert server(split(IMAGE), kind).status == 415


def test_two_hundred_concurrent_requests_are_all_answered(server: Ask) -> None:
    with ThreadPoolExecutor(200) as pool:
        answers = [*pool.map(server, [split(IMAGE)] * 200)]
    assert all(answer.rows == [GOOD] for answer in answers)


def garbage(seed: int) -> bytes:
    """Return an invalid payload, or one that is valid by chance, with the same image."""
    chance = random.Random(seed)
    good = json.dumps(split(IMAGE)).encode()
    odd: list[Any] = [
        None,
        True,
        -1,
        0.5,
        "",
        "AAAA",
        "é",
        [],
        {},
        [[]],
        [None],
        {"image": 1},
        float("nan"),
        [["AAAA"]],
    ]
    forms = ["dataframe_split", "dataframe_records", "inputs", "instances", "messages", "predictions"]
    table = {
        "columns": chance.choice([["image"], ["x"], *odd]),
        "data": chance.choice(odd),
        "index": chance.choice(odd),
    }
    kept = {name: table[name] for name in chance.sample([*table], chance.randrange(4))}
    place = chance.randrange(len(good))
    return chance.choice(
        [
            chance.randbytes(chance.randrange(200)),
            good[:place],
            good[:place] + chance.randbytes(3) + good[place:],
            json.dumps({chance.choice(forms): chance.choice(odd)}).encode(),
            json.dumps({"dataframe_split": kept}).encode(),
            json.dumps({"dataframe_records": [{"image": chance.choice(odd)}, chance.choice(odd)]}).encode(),
        ]
    )


def test_a_thousand_invalid_payloads_are_answered_and_valid_ones_after_them(server: Ask) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = [*pool.map(server, map(garbage, range(1000)))]
    assert {answer.status for answer in answers} == {200, 400}
    assert sum(answer.status == 400 for answer in answers) > 500
    assert server(split(IMAGE)).rows == [GOOD]


@pytest.mark.parametrize("given", [b"[" * 100_000, b'{"inputs": ' + b"9" * 5000 + b"}"], ids=["deep", "long number"])
def test_json_that_breaks_mlflows_parser_leaves_the_server_up(server: Ask, given: bytes) -> None:
    assert server(given).status >= 400
    assert server(split(IMAGE)).rows == [GOOD]
