"""The web app of `localizer demo`: a page that sends an image to the model and shows its box, margin and confidence."""

import hashlib
import logging
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import anyio
import uvicorn
from anyio import CapacityLimiter
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect

from localizer import former_names
from localizer.calibration import COVERAGE
from localizer.dataset import read_config_file
from localizer.drawing import PREDICTED_COLOR
from localizer.model.saving import ModelCard
from localizer.predictor import FailedImage, ImageSource, Prediction, Predictor
from localizer.serving.http_security import SameOriginMiddleware, security_headers
from localizer.tables import read_table

MAX_MIB = 64  # of an image file
MAX_EXAMPLES = 12
MAX_READERS = 4  # requests whose bodies are in memory; further ones wait before theirs are read
READ_SECONDS = 60
BROWSER_FORMATS = ("jpeg", "png", "webp", "gif", "bmp")
MEDIA_TYPES = {f".{name}": f"image/{name}" for name in BROWSER_FORMATS} | {".jpg": "image/jpeg"}  # by file suffix


@dataclass(frozen=True)
class Example:
    """An image of the test split: its name, its file, and the file's SHA-256 in the table."""

    name: str
    path: Path
    sha256: str

    @property
    def media_type(self) -> str | None:
        """None if browsers can't show the file."""
        return MEDIA_TYPES.get(self.path.suffix.lower())

    def read(self) -> bytes | None:
        """Return the file's content; None if it is missing or has changed."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == self.sha256 else None


def load_examples(split: Path, config: Path) -> list[Example]:
    """Return up to MAX_EXAMPLES images spread over the test split; none if the config has `show_images: false`.

    split: the table of the split stage. config: the dataset.yaml. Images that are missing, have changed, or can't be
    shown by browsers are skipped. ValueError or OSError if a file can't be read.
    """
    if not split.is_file() or not config.is_file() or not read_config_file(config).show_images:
        return []
    table = read_table(split).rename(columns=former_names.COLUMNS)
    if missing := {"image", "path", "sha256", "split"} - {*table}:
        raise ValueError(f"{split}: no column {', '.join(sorted(missing))}; rebuild it with `dvc repro split`")
    test = table[table["split"] == "test"]
    spread = test.iloc[:: max(1, len(test) // MAX_EXAMPLES)]
    examples = (Example(*row) for row in zip(spread["image"], spread["path"].map(Path), spread["sha256"], strict=True))
    return [*islice((example for example in examples if example.media_type and example.read()), MAX_EXAMPLES)]


@dataclass(frozen=True)
class DemoHandlers:
    """The request handlers. Images are decoded and predicted one at a time, and MAX_READERS are held in memory."""

    predictor: Predictor
    examples: Sequence[Example]
    readers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(MAX_READERS))
    workers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    async def predict(self, request: Request) -> Prediction:
        """Return the box of the image in the request's body; a status of 4xx and an error if it can't be used."""
        _check_length(request.headers.get("content-length", "0"))
        async with self.readers:
            content = await _read(request)
            prediction = await anyio.to_thread.run_sync(self._predict, content, limiter=self.workers)
        if isinstance(prediction, FailedImage):
            raise HTTPException(415, prediction.error)
        return prediction

    def _predict(self, content: bytes) -> Prediction | FailedImage:
        try:
            (prediction,) = self.predictor.predict_all([ImageSource("upload", content)])
        except (ValueError, RuntimeError, MemoryError) as error:  # NaN, or a GPU out of memory
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise HTTPException(503, f"the model failed: {reason}") from error
        return prediction

    async def example_names(self) -> list[str]:
        """Return the names of the examples, which are served as /examples/0, /examples/1 and so on."""
        return [example.name for example in self.examples]

    def example(self, number: str) -> Response:
        for index, example in enumerate(self.examples):
            if str(index) == number and (content := example.read()):
                return Response(content, media_type=example.media_type)
        raise HTTPException(404, "no such example, or its file has changed; restart `localizer demo`")


def make_app(predictor: Predictor, *, examples: Sequence[Example], host: str) -> FastAPI:
    """Return the web app. host: the host name or address that it is served on, and that requests must name."""
    html = _render(predictor.card)
    handlers = DemoHandlers(predictor, examples)
    app = FastAPI(openapi_url=None, redirect_slashes=False)  # FastAPI's own pages load scripts from other sites
    app.get("/", response_class=HTMLResponse)(lambda: html)
    app.post("/predict")(handlers.predict)
    app.get("/examples")(handlers.example_names)
    app.get("/examples/{number}")(handlers.example)
    app.add_exception_handler(StarletteHTTPException, _error_response)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_middleware(SameOriginMiddleware, host=host, headers=security_headers(html))
    return app


class DemoServer(uvicorn.Server):
    """The server, started by `run(sockets=[listen(...)])` and stopped by Ctrl-C.

    When stopped it neither logs the uploads that it cancels nor waits for the prediction in progress.
    """

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_level="error",
                timeout_graceful_shutdown=3,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
        if self.server_state.tasks:  # cancelled, but their threads run on, and Python would wait for them
            os._exit(0)


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 is any free one. ValueError if host or port can't be used."""
    if not host:  # which would be all of the machine's addresses
        raise ValueError("--host '': expected an address or a name, such as 127.0.0.1 for this machine only")
    try:
        if not 0 <= port <= 65535:
            raise OSError("expected a port from 0 to 65535")
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = str(error.strerror or error).partition(" (while")[0]
        raise ValueError(f"--host {host} --port {port}: {reason}; name another, or --port 0 for any free one") from None


def _check_length(length: str) -> None:
    if length.isdecimal() and int(length[:20]) > MAX_MIB * 2**20:
        raise HTTPException(413, f"larger than {MAX_MIB} MiB; save the image smaller")


async def _read(request: Request) -> bytes:
    """Return the body; HTTPException if it is empty, too large or too slow. Little more than MAX_MIB is ever held."""
    content = bytearray()
    try:
        with anyio.fail_after(READ_SECONDS):
            async for part in request.stream():
                content += part
                _check_length(str(len(content)))
    except TimeoutError:
        raise HTTPException(408, f"the image took longer than {READ_SECONDS} seconds to arrive") from None
    if not content:
        raise HTTPException(400, "an empty file")
    return bytes(content)


async def _error_response(_: Request, error: Exception) -> Response:
    http_error = error if isinstance(error, StarletteHTTPException) else StarletteHTTPException(500)
    return JSONResponse({"error": http_error.detail}, http_error.status_code, http_error.headers)


async def _disconnected(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it: the browser was closed, or another image was chosen


def _render(card: ModelCard) -> str:
    templates = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    return templates.get_template("page.html").render(
        label=card.label,
        thing=card.label if card.label and "," not in card.label else "object",
        coverage=COVERAGE,
        margin_known=card.calibration.margin is not None,
        max_mib=MAX_MIB,
        PREDICTED_COLOR=PREDICTED_COLOR,
    )
