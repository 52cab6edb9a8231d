"""The page in headless Chromium."""

import asyncio
import base64
import io
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
from PIL import Image

from localizer.predictor import Predictor
from localizer.serving.web_app import DemoServer, Example, listen, make_app

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT = 30  # seconds until a test gives up
FLAGS = ["headless", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run", "hide-scrollbars"]
QUIET = ["disable-background-networking", "disable-component-update", "remote-debugging-port=0"]


class Tab:
    """The one tab of a browser."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.calls = 0
        self.events: list[dict[str, Any]] = []
        command = [str(CHROMIUM), *(f"--{flag}" for flag in (*FLAGS, *QUIET, f"user-data-dir={folder}")), "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.session, self.socket = self.loop.run_until_complete(self._connect(folder / "DevToolsActivePort"))
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self.loop.run_until_complete(self.socket.close())
        self.loop.run_until_complete(self.session.close())
        self.loop.close()
        self.process.terminate()
        self.process.wait()

    def call(self, method: str, **params: Any) -> Any:
        """Return the result of a command; events that arrive meanwhile are appended to `events`."""
        self.calls += 1
        return self.loop.run_until_complete(self._call(self.calls, method, params))

    def open(self, address: str, *, width: int = 1200, height: int = 900) -> None:
        self.size(width, height)
        self.events.clear()
        self.call("Page.navigate", url=address)
        self.until(f"location.href === '{address}' && document.readyState === 'complete'")

    def size(self, width: int, height: int) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)

    def js(self, expression: str) -> Any:
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        end = time.monotonic() + WAIT
        while not self.js(condition):
            assert time.monotonic() < end, f"never: {condition}; the page shows: {self.js('document.body.innerText')}"
            time.sleep(0.05)

    def choose(self, path: Path) -> None:
        """Put a file into the page's file input, as its dialog does, and wait for the answer."""
        self.js(
            "document.getElementById('answer').replaceChildren()"
        )  # so that an earlier answer isn't mistaken for it
        node = self.call("DOM.querySelector", nodeId=self.call("DOM.getDocument")["root"]["nodeId"], selector="#file")
        self.call("DOM.setFileInputFiles", files=[str(path)], nodeId=node["nodeId"])
        self.answered()

    def answered(self) -> None:
        self.until("document.querySelector('.confidence') !== null")

    def answer(self) -> str:
        """Return the text about the image, in plain characters."""
        return str(self.js("document.getElementById('answer').innerText")).replace("\u00a0", " ").replace("\u00d7", "x")

    def shot(self) -> Image.Image:
        """Return a screenshot of the window."""
        content = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        return Image.open(io.BytesIO(content)).convert("RGB")

    def shares(self, shape: str) -> list[float]:
        """Return the xyxy of #box or #around as drawn, relative to the image's size, to a hundredth."""
        return self.js(
            f"(([a, b]) => [(a.left - b.left) / b.width, (a.top - b.top) / b.height, (a.right - b.left) / b.width,"
            f" (a.bottom - b.top) / b.height].map((share) => Math.round(100 * share) / 100))"
            f"([{shape}.getBoundingClientRect(), stage.getBoundingClientRect()])"
        )

    async def _connect(self, port: Path) -> tuple[aiohttp.ClientSession, aiohttp.ClientWebSocketResponse]:
        end = time.monotonic() + WAIT
        while not (port.is_file() and "\n" in port.read_text()):
            assert time.monotonic() < end, "the browser doesn't start"
            await asyncio.sleep(0.05)
        session = aiohttp.ClientSession(f"http://127.0.0.1:{port.read_text().split()[0]}")
        async with session.get("/json") as answer:
            (page,) = [target for target in await answer.json() if target["type"] == "page"]
        return session, await session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)

    async def _call(self, number: int, method: str, params: dict[str, Any]) -> Any:
        await self.socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(WAIT):
            while True:
                message = json.loads((await self.socket.receive()).data)
                if message.get("id") == number:
                    assert "error" not in message, message
                    return message["result"]
                self.events.append(message)


@contextmanager
def served(model: Predictor, *, examples: list[Example]) -> Iterator[str]:
    """Serve the page in another thread; yield its URL."""
    with listen("127.0.0.1", 0) as listener:
        serving = DemoServer(make_app(model, examples=examples, host="127.0.0.1"))
        thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            serving.should_exit = True
            thread.join()
