"""A page for people: a picture in, the model's box, its margin and its confidence out."""

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
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.requests import ClientDisconnect

from localizer.calibration import COVERAGE
from localizer.dataset import read_config_file
from localizer.drawing import PREDICTED
from localizer.model.saving import ModelCard
from localizer.predictor import FailedImage, ImageSource, Prediction, Predictor
from localizer.serving.http_security import Guard, headers_for
from localizer.tables import read_table

MAX_MIB = 64  # of a picture's file
EXAMPLES = 12
READERS = 4  # pictures held at once; further requests wait before their bodies are read
READ_SECONDS = 60
SHOWN = {  # what browsers show, by the ending of the file's name
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".bmp": "image/bmp",
}


@dataclass(frozen=True)
class Example:
    """An image of the test side: its name, its file and the file's SHA-256 in hexadecimal."""

    name: str
    path: Path
    sha256: str

    def read(self) -> bytes | None:
        """Return the file's content; None if it is gone, or no longer what the table describes."""
        try:
            content = self.path.read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == self.sha256 else None


def examples(split: Path, card: Path) -> list[Example]:
    """Return up to EXAMPLES images of the test side, from all over it; none where the card shows no images.

    split: the table of the stage of that name; card: the data set's. Only files that are there, are unchanged and can
    be shown by a browser. ValueError or OSError where one of both can't be read.
    """
    if not split.is_file() or not card.is_file() or not read_config_file(card).show_images:
        return []
    table = read_table(split, only=["image", "path", "sha256", "split"])
    rows = table[table["split"] == "test"].to_dict(orient="records")
    some = (Example(row["image"], Path(row["path"]), row["sha256"]) for row in rows[:: max(1, len(rows) // EXAMPLES)])
    return [*islice((one for one in some if one.path.suffix.lower() in SHOWN and one.read()), EXAMPLES)]


@dataclass(frozen=True)
class Page:
    """What the page's addresses answer. One picture is decoded and computed at a time, and READERS are held."""

    predictor: Predictor
    examples: Sequence[Example]
    html: str
    reading: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(READERS))
    computing: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(1))

    async def predict(self, request: Request) -> Prediction:
        """Return the box of the image that is the request's body; a status of 4xx says what is wrong with it."""
        _check_length(request.headers.get("content-length", "0"))
        async with self.reading:
            content = await _read(request)
            answer = await anyio.to_thread.run_sync(self._answer, content, limiter=self.computing)
        if isinstance(answer, FailedImage):
            raise HTTPException(415, answer.error)
        return answer

    def _answer(self, content: bytes) -> Prediction | FailedImage:
        try:
            (answer,) = self.predictor.predict_all([ImageSource("upload", content)])
        except (ValueError, RuntimeError, MemoryError) as error:  # a diverged network, or a GPU that others have filled
            told = str(error).splitlines() or [type(error).__name__]
            raise HTTPException(503, f"the model gave no answer: {told[0]}") from error
        return answer

    async def show(self) -> HTMLResponse:
        return HTMLResponse(self.html)

    async def names(self) -> list[str]:
        """Return the names of the examples; the first is at /examples/0."""
        return [one.name for one in self.examples]

    def example(self, number: str) -> Response:
        known = {str(place): one for place, one in enumerate(self.examples)}
        content = known[number].read() if number in known else None
        if content is None:
            raise HTTPException(404, "no such example, or its file has changed; start `localizer demo` again")
        return Response(content, media_type=SHOWN[known[number].path.suffix.lower()])


def make_app(predictor: Predictor, *, some: Sequence[Example], host: str) -> FastAPI:
    """Return the page's application. host: the name or address that it is bound to, and answers to."""
    html = _html(predictor.card)
    page = Page(predictor, some, html)
    app = FastAPI(openapi_url=None, redirect_slashes=False)  # FastAPI's own pages would load scripts from outside
    app.get("/")(page.show)
    app.post("/predict")(page.predict)
    app.get("/examples")(page.names)
    app.get("/examples/{number}")(page.example)
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_middleware(Guard, host=host, headers=headers_for(html))
    return app


class Server(uvicorn.Server):
    """Ends without a word about the uploads that it cuts off, and without waiting for a picture that is computed."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)
        if self.server_state.tasks:  # which were cancelled, but their threads go on, and Python would wait for them
            os._exit(0)


def server(app: FastAPI) -> Server:
    """Return a server that is started by `run(sockets=[listen(…)])` and ends at Ctrl-C, uploads or not."""
    return Server(
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


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; 0 takes any free port. ValueError if it can't be had."""
    if not host:  # which would be all of the machine's addresses
        raise ValueError("--host '': an address or a name was expected; 127.0.0.1 is this machine alone")
    try:
        if not 0 <= port <= 65535:
            raise OSError("a port is a number from 0 to 65535")
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        why = str(error.strerror or error).partition(" (while")[0]
        raise ValueError(f"--host {host} --port {port}: {why}; name another, or --port 0 for any free one") from None


def _check_length(told: str) -> None:
    if told.isdecimal() and int(told[:20]) > MAX_MIB * 2**20:
        raise HTTPException(413, f"larger than {MAX_MIB} MiB; save the picture smaller")


async def _read(request: Request) -> bytes:
    """Return the body, never holding much more than is allowed."""
    parts: list[bytes] = []
    length = 0
    try:
        with anyio.fail_after(READ_SECONDS):
            async for part in request.stream():
                length += len(part)
                _check_length(str(length))
                parts.append(part)
    except TimeoutError:
        raise HTTPException(408, f"the picture took longer than {READ_SECONDS} seconds to arrive") from None
    if not length:
        raise HTTPException(400, "an empty file")
    return b"".join(parts)


async def _refused(_: Request, error: Exception) -> Response:
    told = error if isinstance(error, AnyHTTPException) else AnyHTTPException(500)
    return JSONResponse({"error": told.detail}, told.status_code, told.headers)


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it: the browser was closed, or another picture was chosen


def _html(card: ModelCard) -> str:
    made = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined)
    return made.get_template("page.html").render(
        label=card.label,
        thing=card.label if card.label and "," not in card.label else "object",
        coverage=COVERAGE,
        margin_known=card.calibration.margin is not None,
        max_mib=MAX_MIB,
        PREDICTED=PREDICTED,
    )
