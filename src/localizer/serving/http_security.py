"""Request checks and response headers that keep other web sites, and other machines, from the demo page."""

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


class SameOriginMiddleware:
    """Rejects requests for another host or from another origin with 403, and adds headers to every response.

    Without it any site that is open in the same browser could send requests, and by DNS rebinding, a host name of its
    own that resolves to this machine, also read the responses.
    """

    def __init__(self, app: ASGIApp, *, host: str, headers: dict[str, str]) -> None:
        self.app, self.host, self.headers = app, host, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self.headers)
            await send(message)

        app = self.app
        if scope["type"] == "http" and (error := self._error(Headers(scope=scope))):
            app = JSONResponse({"error": error}, 403)
        await app(scope, receive, send_with_headers)

    def _error(self, headers: Headers) -> str:
        host = headers.get("host", "")
        if not is_allowed_host(host, self.host):
            allowed = "by an IP address of this machine" if self.host in UNSPECIFIED else f"as {self.host}"
            return f"host {host!r} is not allowed; open this page as localhost or {allowed}"
        if headers.get("origin", f"http://{host}").partition("://")[2].lower() != host.lower():
            return "cross-origin request; only this page itself may send requests"
        return ""


def is_allowed_host(host: str, bound: str) -> bool:
    """Return whether a Host header names this machine, the host that the server is bound to, or one of its addresses.

    Any IP address is allowed if the server is bound to all: unlike a name, nobody can make one resolve to this machine.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name in {*LOOPBACK, bound.lower()}:
        return True
    return bound in UNSPECIFIED and (":" in name or name.replace(".", "").isdecimal())


def exposure_warning(host: str) -> str:
    """Return a warning for a server bound to this host; empty if only this machine can reach it."""
    try:
        if host in LOOPBACK or ipaddress.ip_address(host).is_loopback:
            return ""
    except ValueError:  # a name
        pass
    machine = "this machine" if host in UNSPECIFIED else host
    return f"anyone who can reach {machine} over the network may use this page; it asks for no password"


def page_url(host: str, port: int) -> str:
    """Return the URL at which a browser on this machine opens a page that is served on this host and port."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def security_headers(html: str) -> dict[str, str]:
    """Return the headers of every response: they allow the page's own inline style and script, and nothing else."""
    sources = []
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        sources.append(f"{tag}-src 'sha256-{digest}'; ")
    own = "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return {
        "Content-Security-Policy": f"default-src 'none'; {''.join(sources)}{own}",
        "Cross-Origin-Resource-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
