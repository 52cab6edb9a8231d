"""Who may ask a page that is served from this machine, and where."""

import base64
import hashlib
import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "::1", "localhost")
UNSPECIFIED = ("0.0.0.0", "::")  # all of the machine's addresses


class Guard:
    """Lets only the page itself ask, under a name of its own, and tells browsers so with every answer.

    Without it every web page that is open in the same browser could ask, and through a name that leads here (DNS
    rebinding) also read the answers.
    """

    def __init__(self, app: ASGIApp, *, host: str, headers: dict[str, str]) -> None:
        self.app, self.host, self.headers = app, host, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        answer: ASGIApp = self.app
        if scope["type"] == "http" and (reason := self._refusal(Headers(scope=scope))):
            answer = JSONResponse({"error": reason}, 403)
        await answer(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> str:
        host = headers.get("host", "")
        if not is_own(host, self.host):
            called = "by an IP address of this machine" if self.host in UNSPECIFIED else f"as {self.host}"
            return f"this page doesn't answer to the name {host!r}; open it as localhost or {called}"
        if headers.get("origin", f"http://{host}").partition("://")[2].lower() != host.lower():
            return "this came from another page; only the page itself may ask"
        return ""


def is_own(host: str, bound: str) -> bool:
    """Return whether a Host header names the page: this machine, the host that it is bound to, or any of its addresses.

    An address names it only where the page is bound to all of them; unlike a name, nobody can lead one here.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in {*LOOPBACK, bound.lower()}:
        return True
    return bound in UNSPECIFIED and (":" in name or name.replace(".", "").isdecimal())


def warning_for(host: str) -> str:
    """Return what to tell who binds a page to this host; empty where only this machine can reach it."""
    if _is_loopback(host):
        return ""
    where = "this machine" if host in UNSPECIFIED else host
    return f"anyone who can reach {where} over the network may use this page; it asks for no password"


def _is_loopback(host: str) -> bool:
    try:
        return host in LOOPBACK or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def address(host: str, port: int) -> str:
    """Return where a browser on this machine finds a page that is bound to a host."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def headers_for(html: str) -> dict[str, str]:
    """Return the headers of every answer: the page's own style and script, and nothing from anywhere else."""
    digests = {}
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digests[tag] = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    sources = "; ".join(f"{tag}-src 'sha256-{digest}'" for tag, digest in digests.items())
    own = "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return {
        "Content-Security-Policy": f"default-src 'none'; {sources}; {own}",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
