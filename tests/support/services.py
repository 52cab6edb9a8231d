"""Servers that a test starts, kills and starts again; PostgreSQL is one, as Debian installs it."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest
from servers import free_port

POSTGRES = shutil.which("initdb") or next(map(str, Path("/usr/lib/postgresql").glob("*/bin/initdb")), None)
WITH_POSTGRES = [
    pytest.mark.skipif(POSTGRES is None, reason="PostgreSQL is not installed; .ci/run installs it"),
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),  # MLflow's store, of SQLAlchemy
]


@dataclass
class Service:
    """A process that can be killed and started again; `ready` says when it can be used."""

    command: list[str]
    around: dict[str, str]
    log: Path
    ready: Callable[[], bool]
    user: str | None = None
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        for _ in range(600):
            if self.process is None or self.process.poll() is not None:
                assert self.process is None or "is still in use" in self.log.read_text(), self.log.read_text()
                self._launch()
            if self.ready():
                return
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def _launch(self) -> None:
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                self.command, env=self.around, cwd=self.log.parent, stdout=log, stderr=log, user=self.user
            )

    def kill(self) -> None:
        """Kill it and all that it started with -9, and wait for their end."""
        if self.process is not None and self.process.poll() is None:
            whole = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
            for one in whole:
                try:
                    one.kill()
                except psutil.NoSuchProcess:
                    continue
            self.process.wait()
            psutil.wait_procs(whole, timeout=10)
        self.process = None


def postgres(folder: Path, *, name: str, secret: str) -> tuple[Service, dict[str, str]]:
    """Return PostgreSQL, not started, with an empty cluster in the folder and one user, and how to reach it."""
    assert POSTGRES is not None
    account = "postgres" if os.getuid() == 0 else None  # it refuses to run as root
    port, word = free_port(), folder / "word"
    word.write_text(secret)
    reach = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": name, "PGPASSWORD": secret}
    made = ["--username", name, "--pwfile", str(word), "--auth", "scram-sha-256", "--encoding", "UTF8"]
    if account:
        shutil.chown(folder, account)
        shutil.chown(word, account)
    data = str(folder / "data")
    subprocess.run([POSTGRES, "-D", data, *made], check=True, user=account, stdout=subprocess.DEVNULL, cwd=folder)
    word.unlink()
    command = [str(Path(POSTGRES).resolve().with_name("postgres")), "-D", data, "-p", str(port)]
    command += ["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
    return Service(command, dict(os.environ), folder / "log", lambda: answers(reach), account), reach


def answers(reach: dict[str, str]) -> bool:
    """Return whether PostgreSQL takes a connection."""
    try:
        connect(reach).close()
    except psycopg2.OperationalError:
        return False
    return True


def connect(reach: dict[str, str], database: str = "postgres") -> Any:
    """Return an open connection to PostgreSQL."""
    named = {"host": reach["PGHOST"], "port": reach["PGPORT"], "user": reach["PGUSER"], "password": reach["PGPASSWORD"]}
    return psycopg2.connect(dbname=database, **named)
