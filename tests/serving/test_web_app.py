"""The web app of `localizer demo`, over HTTP without a browser."""

import asyncio
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from page_toy import CALIBRATED, example, image_bytes, network, predictor
from starlette.testclient import TestClient

import localizer
from localizer.cli import main
from localizer.model.saving import save
from localizer.predictor import Predictor
from localizer.serving import web_app
from localizer.serving.http_security import exposure_warning, is_allowed_host, page_url
from localizer.serving.web_app import MAX_MIB, MAX_READERS, Example, listen, load_examples, make_app
from localizer.tables import Table, write_table

pytestmark = pytest.mark.server

MIB = 2**20
CONFIG = "title: cats\nformat: coco\nannotations: a.json\nimages: images\nshow_images: {show_images}\n"


def client_of(model: Predictor | None = None, *, examples: Sequence[Example] = ()) -> TestClient:
    app = make_app(model or predictor(), examples=examples, host="127.0.0.1")
    return TestClient(app, base_url="http://127.0.0.1:8000")


@pytest.fixture(scope="module")
def client() -> TestClient:
    return client_of()


async def post(app: Any, receive: Any) -> tuple[int, bytes]:
    """Return status and body of the response to a POST to /predict, whose body ASGI receives by `receive`."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1")]
    scope = {"type": "http", "http_version": "1.1", "method": "POST", "path": "/predict", "query_string": b""}
    await app({**scope, "headers": headers, "scheme": "http"}, receive, send)
    return sent[0]["status"], sent[1].get("body", b"")


def test_the_bytes_of_an_image_get_its_box(client: TestClient) -> None:
    answer = client.post("/predict", content=image_bytes(80, 40))
    assert answer.status_code == 200
    box = {"box_xyxy_px": [20, 10, 60, 30], "margin_px": 7.5, "confident": True}  # 7.5: 0.25 of (40 + 20) / 2
    assert answer.json() == {"image": "upload", **box, "width": 80, "height": 40}


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 400, "an empty file"),
        (b"<html>", 415, "not an image of a supported format"),
        (image_bytes(kind="JPEG")[:-20], 415, "truncated"),
        (
            image_bytes(8000, 8000)[:400],
            415,
            "8000 x 8000 pixels, over the limit of 40 megapixels",
        ),  # else: truncated
    ],
)
def test_a_file_that_is_no_image_gets_a_reason(client: TestClient, content: bytes, status: int, reason: str) -> None:
    answer = client.post("/predict", content=content)
    assert answer.status_code == status
    assert reason in answer.json()["error"]


def test_a_content_length_over_the_limit_is_refused(client: TestClient) -> None:
    answer = client.post("/predict", content=b"x", headers={"content-length": str(MAX_MIB * MIB + 1)})
    assert (answer.status_code, answer.json()) == (413, {"error": "larger than 64 MiB; save the image smaller"})


def test_an_endless_body_is_refused_at_the_limit() -> None:
    read = 0

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        assert read < 2 * MAX_MIB
        return {"type": "http.request", "body": bytes(MIB), "more_body": True}

    status, _ = asyncio.run(post(make_app(predictor(), examples=(), host="127.0.0.1"), receive))
    assert (status, read) == (413, MAX_MIB + 1)


def test_a_body_that_does_not_arrive_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_app, "READ_SECONDS", 0.01)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError("no timeout")

    status, body = asyncio.run(post(make_app(predictor(), examples=(), host="127.0.0.1"), receive))
    assert (status, b"to arrive" in body) == (408, True)


def test_a_client_that_disconnects_while_sending_raises_nothing() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    status, _ = asyncio.run(post(make_app(predictor(), examples=(), host="127.0.0.1"), receive))
    assert status == 499


def test_of_200_concurrent_requests_few_are_held_one_is_computed_and_all_are_answered() -> None:
    held, computed, most_held, most_computed = 0, 0, 0, 0

    class Counting(Predictor):
        def predict_all(self, *arguments: Any, **options: Any) -> Iterator[Any]:
            nonlocal computed, most_computed
            computed += 1
            most_computed = max(most_computed, computed)
            yield from super().predict_all(*arguments, **options)
            computed -= 1

    async def request(app: Any) -> int:
        nonlocal held

        async def receive() -> dict[str, Any]:
            nonlocal held, most_held
            held += 1
            most_held = max(most_held, held)
            return {"type": "http.request", "body": image_bytes()}

        status, _ = await post(app, receive)
        held -= 1
        return status

    async def requests() -> list[int]:
        app = make_app(Counting(**vars(predictor())), examples=(), host="127.0.0.1")
        return await asyncio.gather(*(request(app) for _ in range(200)))

    assert asyncio.run(requests()) == [200] * 200
    assert most_computed == 1
    assert 1 < most_held <= MAX_READERS + 1  # a response may be in flight while the next body is read


def test_a_thousand_invalid_files_leave_it_up(client: TestClient) -> None:
    chance = random.Random(0)
    starts = [image_bytes(kind=kind)[:60] for kind in ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "PPM")]
    garbage = [chance.choice([b"", *starts]) + chance.randbytes(chance.randint(1, 300)) for _ in range(1000)]
    statuses = {client.post("/predict", content=content).status_code for content in garbage}
    assert 415 in statuses
    assert statuses <= {200, 415}  # some are valid by chance
    assert client.post("/predict", content=image_bytes()).status_code == 200


def test_a_network_that_answers_nan_gets_status_503_and_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(network()), "forward", lambda self, pixels: pixels[:, 0, 0, :4] * float("nan"))
    answer = client_of().post("/predict", content=image_bytes())
    assert answer.status_code == 503
    assert answer.json()["error"].startswith("the model failed: the network returns NaN")


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/none", 404), ("GET", "/predict", 405)])
def test_http_errors_are_json(client: TestClient, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "192.168.0.7", "[::", ""])
def test_another_host_name_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/", headers={"host": host})
    assert answer.status_code == 403
    assert "is not allowed; open this page as localhost" in answer.json()["error"]


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:9000"])
def test_the_host_names_of_this_machine_are_allowed(client: TestClient, host: str) -> None:
    assert client.get("/examples", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    ("host", "bound", "allowed"),
    [
        ("Studio.local:8000", "studio.local", True),
        ("192.168.0.7:8000", "0.0.0.0", True),
        ("[fe80::1]:8000", "::", True),
        ("evil.example", "0.0.0.0", False),
        ("192.168.0.7", "192.168.0.8", False),
    ],
)
def test_the_bound_host_and_its_addresses_are_allowed(host: str, bound: str, allowed: bool) -> None:
    assert is_allowed_host(host, bound) is allowed


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9999", "null"])
def test_a_cross_origin_request_is_refused(client: TestClient, origin: str) -> None:
    answer = client.post("/predict", content=image_bytes(), headers={"origin": origin})
    assert (answer.status_code, answer.json()["error"][:25]) == (403, "cross-origin request; onl")


def test_a_same_origin_request_is_allowed(client: TestClient) -> None:
    answer = client.post("/predict", content=image_bytes(), headers={"origin": "http://127.0.0.1:8000"})
    assert answer.status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_every_response_has_the_security_headers(client: TestClient, host: str) -> None:
    headers = client.get("/examples", headers={"host": host}).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control")]


def test_the_page_loads_nothing_from_other_sites(client: TestClient) -> None:
    text = client.get("/").text
    assert "<title>Localizer: find the cat</title>" in text
    assert not re.findall(r"https?:|//[a-z]|@import|url\(", text)


def test_a_label_is_escaped(client: TestClient) -> None:
    text = client_of(predictor(label='<b>"&')).get("/").text
    assert "find the &lt;b&gt;&#34;&amp;</title>" in text
    assert "<b>&quot;" not in text


def test_a_model_with_several_labels_finds_an_object(client: TestClient) -> None:
    text = client_of(predictor(label="cat, dog")).get("/").text
    assert "<h1>Find the object</h1>" in text
    assert "It was trained to find: cat, dog." in text


def load(
    images: Sequence[Example], splits: Sequence[str], *, column: str = "split", show_images: str = "true"
) -> list[Example]:
    """Write the tables of these images, and return the examples in them."""
    rows = [{"image": image.name, "path": str(image.path), "sha256": image.sha256} for image in images]
    write_table(Table(rows).assign(**{column: splits}), Path("split.csv"))
    Path("dataset.yaml").write_text(CONFIG.format(show_images=show_images))
    return load_examples(Path("split.csv"), Path("dataset.yaml"))


@pytest.mark.parametrize("column", ["split", "side"])  # version 0.1.0 called it side
def test_the_examples_are_images_of_the_test_split(tmp_path: Path, column: str) -> None:
    images = [example(tmp_path / name, image_bytes()) for name in ("a.png", "b.png", "c.png")]
    assert load(images, ["train", "test", "validation"], column=column) == [images[1]]


def test_twelve_examples_are_spread_over_the_split(tmp_path: Path) -> None:
    images = [example(tmp_path / f"{number}.png", image_bytes()) for number in range(36)]
    assert load(images, ["test"] * 36) == images[::3]


def test_changed_missing_and_undisplayable_files_are_no_examples(tmp_path: Path) -> None:
    images = [example(tmp_path / name, image_bytes()) for name in ("changed.png", "missing.png", "a.tif", "good.png")]
    images[0].path.write_bytes(image_bytes(9, 9))
    images[1].path.unlink()
    assert load(images, ["test"] * 4) == images[3:]


def test_a_config_with_show_images_false_gives_no_examples(tmp_path: Path) -> None:
    assert load([example(tmp_path / "a.png", image_bytes())], ["test"], show_images="false") == []


def test_missing_tables_give_no_examples() -> None:
    assert load_examples(Path("none.csv"), Path("none.yaml")) == []


def test_an_example_is_served_by_its_index(tmp_path: Path) -> None:
    client = client_of(examples=[example(tmp_path / "a.jpg", image_bytes(kind="JPEG"))])
    assert client.get("/examples").json() == ["a.jpg"]
    answer = client.get("/examples/0")
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", image_bytes(kind="JPEG"))


@pytest.mark.parametrize("number", ["1", "-1", "a.jpg", "..%2Fa.jpg", "9" * 5000])
def test_other_paths_serve_no_example(tmp_path: Path, number: str) -> None:
    client = client_of(examples=[example(tmp_path / "a.jpg", image_bytes(kind="JPEG"))])
    assert client.get(f"/examples/{number}").status_code == 404


def test_an_example_that_has_changed_is_not_served(tmp_path: Path) -> None:
    client = client_of(examples=[example(tmp_path / "a.png", image_bytes())])
    (tmp_path / "a.png").write_bytes(image_bytes(9, 9))
    answer = client.get("/examples/0")
    assert (answer.status_code, "has changed" in answer.json()["error"]) == (404, True)


@pytest.mark.parametrize(
    ("host", "warning"),
    [
        ("127.0.0.1", ""),
        ("localhost", ""),
        ("127.0.0.2", ""),
        ("::1", ""),
        ("192.168.0.7", "who can reach 192.168.0.7"),
        ("0.0.0.0", "who can reach this machine"),
        ("studio", "who can reach studio"),
    ],
)
def test_a_host_that_others_can_reach_gives_a_warning(host: str, warning: str) -> None:
    assert warning in exposure_warning(host)
    assert bool(warning) == bool(exposure_warning(host))


@pytest.mark.parametrize(
    ("host", "url"),
    [("0.0.0.0", "http://127.0.0.1:80/"), ("::", "http://[::1]:80/"), ("studio", "http://studio:80/")],
)
def test_the_url_is_one_that_a_browser_can_open(host: str, url: str) -> None:
    assert page_url(host, 80) == url


def test_demo_without_a_model_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--model", "none.safetensors", "--port", "0"]) == 1
    assert capsys.readouterr().err.startswith("localizer demo: none.safetensors: no such file")


def test_demo_on_a_port_in_use_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert main(["demo", "--port", str(port)]) == 1
    expected = f"localizer demo: --host 127.0.0.1 --port {port}: Address already in use; name another"
    assert capsys.readouterr().err.startswith(expected)


def test_demo_with_an_empty_host_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--host", "", "--port", "0"]) == 1
    assert capsys.readouterr().err.startswith("localizer demo: --host '': expected an address or a name")


def test_demo_with_an_invalid_port_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--port", "70000"]) == 1
    assert "--port 70000: expected a port from 0 to 65535" in capsys.readouterr().err


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    card = {"image_size": 32, "label": "cat", "best_epoch": 1, "val_iou": 0.5, "params": {}}
    save(tmp_path / "m.safetensors", network(), **card, calibration=CALIBRATED)
    return tmp_path / "m.safetensors"


class StoppedServer:
    """A server that Ctrl-C stops at once."""

    def __init__(self, app: object) -> None:
        pass

    def run(self, **_: Any) -> None:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("split", "config"),
    [("image,path,sha256\na,a,0\n", CONFIG.format(show_images="true")), ("image,path,sha256,split\n", "title: [")],
)
def test_demo_starts_without_examples_and_prints_why_if_a_table_is_invalid(
    split: str, config: str, weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("tables").mkdir()
    Path("tables/split.csv").write_text(split)
    Path("tables/dataset.yaml").write_text(config)
    monkeypatch.setattr(web_app, "DemoServer", StoppedServer)
    assert main(["demo", "--model", str(weights), "--port", "0"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("localizer demo: no examples, can't read tables/split.csv or tables/dataset.yaml: ")
    assert printed.err.count("\n") == 1
    assert printed.out.startswith("Open http://127.0.0.1:")


def test_demo_warns_of_a_host_that_others_reach(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_app, "DemoServer", StoppedServer)
    assert main(["demo", "--model", str(weights), "--host", "0.0.0.0", "--port", "0"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("localizer demo: warning: anyone who can reach this machine over the network may use")
    assert printed.out.startswith("Open http://127.0.0.1:")


@pytest.fixture
def demo(weights: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "localizer.cli", "demo", "--model", str(weights), "--port", "0"]
    environment = {"PYTHONPATH": str(Path(str(localizer.__file__)).parents[1]), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's `&` makes its children ignore it
    ) as process:
        yield process
        process.kill()


def test_demo_prints_its_url_and_ends_quietly_at_ctrl_c(demo: subprocess.Popen[str]) -> None:
    assert demo.stdout
    line = demo.stdout.readline()
    demo.send_signal(signal.SIGINT)
    rest = demo.communicate(timeout=60)
    assert re.fullmatch(r"Open http://127\.0\.0\.1:\d+/ and drop an image there\. Ctrl-C stops the server\.\n", line)
    assert (demo.returncode, rest) == (0, ("", ""))


def test_ctrl_c_cancels_an_upload_without_a_message(demo: subprocess.Popen[str]) -> None:
    assert demo.stdout
    port = int(demo.stdout.readline().split("/")[2].split(":")[1])
    with socket.create_connection(("127.0.0.1", port)) as half:
        half.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
        assert half.recv(99).startswith(b"HTTP/1.1 100 Continue")  # now it waits for the 9 bytes
        demo.send_signal(signal.SIGINT)
        rest = demo.communicate(timeout=60)
    assert (demo.returncode, rest) == (0, ("", ""))


SLOW = """
import signal, time
from page_toy import predictor
from localizer.predictor import Predictor
from localizer.serving.web_app import DemoServer, listen, make_app

class Slow(Predictor):
    def predict_all(self, *arguments, **options):
        print("computing", flush=True)
        time.sleep(600)
        yield

signal.signal(signal.SIGINT, signal.default_int_handler)
with listen("127.0.0.1", 0) as listener:
    print(listener.getsockname()[1], flush=True)
    DemoServer(make_app(Slow(**vars(predictor())), examples=(), host="127.0.0.1")).run(sockets=[listener])
"""


def test_ctrl_c_does_not_wait_for_an_image_that_is_computed() -> None:
    paths = [Path(str(localizer.__file__)).parents[1], Path(__file__).parents[1] / "support"]
    environment = {"PYTHONPATH": ":".join(map(str, paths)), "OMP_NUM_THREADS": "1"}
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", SLOW], env=environment, **streams) as process:
        try:
            assert process.stdout
            with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as request:
                request.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx")
                assert process.stdout.readline() == "computing\n"
                process.send_signal(signal.SIGINT)
                rest = process.communicate(timeout=60)  # the image would take ten minutes
        finally:
            process.kill()
    assert (process.returncode, rest) == (0, ("", ""))
