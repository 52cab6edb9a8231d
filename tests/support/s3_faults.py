"""Addresses of S3 servers that fail, for tests: no one there, no answer, keys refused, a bucket that is full."""

import http.client
import http.server
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from s3_server import S3Server, s3_server
from servers import answering, free_port

HOST = "127.0.0.1"


@contextmanager
def closed() -> Iterator[str]:
    """Give an address at which nothing listens."""
    yield f"http://{HOST}:{free_port()}"


@contextmanager
def swallowing() -> Iterator[str]:
    """Give an address that takes no connection and refuses none: its queue is full, so the kernel drops what comes."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((HOST, 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield f"http://{HOST}:{server.getsockname()[1]}"


@contextmanager
def silent() -> Iterator[str]:
    """Give an address that takes connections and never answers."""
    with socket.create_server((HOST, 0), backlog=500) as server:
        yield f"http://{HOST}:{server.getsockname()[1]}"


@contextmanager
def refusing(folder: Path) -> Iterator[str]:
    """Give moto's server when it knows no key but checks each request's, after the one that makes the bucket."""
    with s3_server(folder, INITIAL_NO_AUTH_ACTION_COUNT="1") as server:
        yield server.endpoint


@contextmanager
def expired() -> Iterator[str]:
    """Give a server that answers as S3 does to a session token of yesterday."""
    with answering(Expired) as address:
        yield _without_user(address)


@contextmanager
def full(server: S3Server, *, room: int) -> Iterator[str]:
    """Give a proxy to a server, which takes so many objects and then answers that the bucket is full."""
    left, lock = [room], Lock()

    class Full(Forwarding):
        address = urlsplit(server.endpoint).netloc

        def do_PUT(self) -> None:
            with lock:
                left[0] -= 1
            if left[0] >= 0:
                self.forward()
            else:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.refuse(403, "QuotaExceeded", "the bucket is full")

    with answering(Full) as address:
        yield _without_user(address)


class Refusing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def refuse(self, status: int, code: str, message: str) -> None:
        """Answer with S3's own error; a HEAD, as in S3, gets the status alone."""
        body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


class Expired(Refusing):
    def do_HEAD(self) -> None:
        self.refuse(400, "ExpiredToken", "The provided token has expired.")

    do_GET = do_HEAD  # noqa: N815


class Forwarding(Refusing):
    address: str

    def forward(self) -> None:
        """Ask the server behind, and answer what it answers."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        there = http.client.HTTPConnection(self.address)
        there.request(self.command, self.path, body, dict(self.headers))
        told = there.getresponse()
        content = told.read()
        self.send_response(told.status)
        for name, value in told.getheaders():
            if name.lower() not in ("connection", "content-length", "transfer-encoding"):
                self.send_header(name, value)
        self.send_header("Content-Length", told.getheader("Content-Length") or str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        there.close()

    do_GET = do_HEAD = do_POST = forward  # noqa: N815


def _without_user(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.hostname}:{parts.port}"
