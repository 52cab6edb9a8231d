"""MLflow servers, and HTTP servers that fail, on free ports."""

import http.server
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracking_toy import environment

STAGE = """
import sys
from pathlib import Path
import pandas as pd
from localizer import tracking

with tracking.stage_run("train") as run:
    for step in range(5):
        run.log_metrics({"loss": 1 / (step + 1)}, step=step)
    Path("texts").mkdir(exist_ok=True)
    Path("texts/notes.txt").write_text("of the run")
    run.log_artifact(Path("texts"))
    run.log_table(pd.DataFrame({"a": [1]}), name="table", context="training")
    run.describe("see https://me:secret@example.org/x")
    if "model" in sys.argv:
        run.log_model(Path("models/localizer.safetensors"))
"""
LOAD = """
import sys
from mlflow.pyfunc import load_model

model = load_model(sys.argv[1])
(row,) = model.predict(model.input_example).to_dict(orient="records")
print(row["xmin_px"], row["ymin_px"], row["xmax_px"], row["ymax_px"], row["error"])
"""
LONG_STAGE = """
import time
from pathlib import Path
from localizer import tracking

with tracking.stage_run("train") as run:
    run.log_metrics({"loss": 1.0}, step=0)
    while not Path("server is dead").exists():
        time.sleep(0.1)
    run.log_metrics({"loss": 0.5}, step=1)
"""
SYNC = ["-m", "localizer.cli", "sync"]


@contextmanager
def answering(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """Give the address of a server that does what the handler does."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}"
        server.shutdown()


class Failing(http.server.BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.send_error(500)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None: ...


class Sleeping(Failing):
    def answer(self) -> None:
        time.sleep(60)

    do_GET = do_POST = answer  # noqa: N815


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """Give the address of a real server, whose data lies in the folder."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/files"]
    log = (folder / "server.log").open("w")
    with log, subprocess.Popen(command, env=environment(), stdout=log, stderr=log, start_new_session=True) as process:
        try:
            wait_for(port, process, folder / "server.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    for _ in range(3000):  # 5 minutes, for machines that are busy
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
