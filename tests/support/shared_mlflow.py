"""A team's MLflow without containers: compose.yaml's own command lines, on Debian's PostgreSQL and moto's S3 server."""

import re
import shlex
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import requests
from faulty_bucket import Faulty, faulty
from mlflow import MlflowClient
from mlflow.entities import Run
from s3_server import S3Server, s3_server
from servers import free_port
from services import Service, connect, postgres
from tracking_toy import Project, environment

from localizer import config

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = config.read_yaml(ROOT / "compose.yaml")
BUCKET = next(
    word.partition("s3://")[2]
    for word in COMPOSE["services"]["mlflow"]["command"]
    if word.startswith("--artifacts-destination=")
)
SECRETS = {
    "LOCALIZER_POSTGRES_PASSWORD": "planted-postgres %/@ word",
    "LOCALIZER_S3_KEY": "planted-s3-key",
    "LOCALIZER_S3_SECRET": "planted-s3-secret",
    "LOCALIZER_ADMIN_PASSWORD": "planted-admin-word",
    "LOCALIZER_FORM_SECRET": "planted-form-secret",
}
PEOPLE = {"ann": "planted-word-of-ann", "ben": "planted-word-of-ben"}
VARIABLE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return a text of compose.yaml with its variables filled in; KeyError where one that it demands is missing."""
    return VARIABLE.sub(lambda one: values.get(one[1], one[3]) if one[2] == "-" else values[one[1]], text)


@dataclass
class Team:
    """The running servers; `address` is what an engineer sets MLFLOW_TRACKING_URI to."""

    address: str
    server: Service
    postgres: Service
    faults: Faulty
    bucket: S3Server
    reach: dict[str, str]

    def around(self, person: str = "ann", **changes: str) -> dict[str, str]:
        """Return an engineer's environment."""
        own = {"MLFLOW_TRACKING_URI": self.address, "MLFLOW_TRACKING_USERNAME": person}
        return environment(**(own | {"MLFLOW_TRACKING_PASSWORD": PEOPLE.get(person, "")} | changes))

    def client(self, person: str = "ann") -> MlflowClient:
        """Return an engineer's client."""
        return MlflowClient(self.address.replace("://", f"://{person}:{PEOPLE[person]}@"))

    def runs(self) -> list[Run]:
        """Return all runs of the server, newest first."""
        experiment = self.client().get_experiment_by_name("localizer")
        return list(self.client().search_runs([experiment.experiment_id])) if experiment else []

    def files(self) -> dict[str, int]:
        """Return the bytes of what lies in the server's bucket, by key."""
        return replace(self.bucket, bucket=BUCKET).objects()


def make_databases(reach: dict[str, str]) -> None:
    """Do what PostgreSQL's image does when its volume is empty."""
    connection = connect(reach)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {COMPOSE['services']['postgres']['environment']['POSTGRES_DB']}")
        cursor.execute((ROOT / COMPOSE["configs"]["users_database"]["file"]).read_text())
    connection.close()


def server(folder: Path, reach: dict[str, str], endpoint: str) -> tuple[str, Service]:
    """Return the address of compose.yaml's MLflow server, and the server: only the addresses in it are others."""
    told, port = COMPOSE["services"]["mlflow"], free_port()
    hosts = {"LOCALIZER_HOSTS": f"127.0.0.1:{port}", "LOCALIZER_ORIGINS": f"http://127.0.0.1:{port}"}
    command = [filled(word, SECRETS | hosts) for word in told["command"]]
    here = {"--host=0.0.0.0": "--host=127.0.0.1", "--port=5000": f"--port={port}"}
    here["mlflow"] = str(Path(sys.executable).with_name("mlflow"))
    assert set(here) < set(command)
    around = {name: filled(value, SECRETS | hosts) for name, value in told["environment"].items()}
    around |= reach | {"MLFLOW_S3_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
    around["MLFLOW_AUTH_CONFIG_PATH"] = str(ROOT / COMPOSE["configs"]["basic_auth"]["file"])
    address = f"http://127.0.0.1:{port}"
    plain = {name: value for name, value in environment().items() if not name.startswith(("AWS_", "PYTHONPATH"))}
    whole = [here.get(word, word) for word in command]
    return address, Service(whole, plain | around, folder / "mlflow.log", lambda: is_healthy(address))


def is_healthy(address: str) -> bool:
    """Return whether an MLflow server answers."""
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5):
            return True
    except OSError:
        return False


def make_user(address: str, person: str, word: str) -> None:
    """Make a user as docs/how-to/share.md says it."""
    user = {"username": person, "password": word}
    admin = ("admin", SECRETS["LOCALIZER_ADMIN_PASSWORD"])
    requests.post(f"{address}/api/2.0/mlflow/users/create", json=user, auth=admin, timeout=30).raise_for_status()


@contextmanager
def shared_mlflow(folder: Path) -> Iterator[Team]:
    """Give a team's servers, with users ann and ben; their logs lie in the folder, and all is gone at the end."""
    with tempfile.TemporaryDirectory() as data, s3_server(folder) as bucket, faulty(bucket.endpoint) as faults:
        bucket.client().create_bucket(Bucket=BUCKET)
        name = COMPOSE["services"]["mlflow"]["environment"]["PGUSER"]
        database, reach = postgres(Path(data), name=name, secret=SECRETS["LOCALIZER_POSTGRES_PASSWORD"])
        try:
            database.start()
            make_databases(reach)
            address, mlflow = server(folder, reach, faults.endpoint)
            try:
                mlflow.start()
                for person, word in PEOPLE.items():
                    make_user(address, person, word)
                yield Team(address, mlflow, database, faults, bucket, reach)
            finally:
                mlflow.kill()
        finally:
            database.kill()


def call(
    project: Project, around: dict[str, str], *arguments: str, limit: float = 300
) -> "subprocess.CompletedProcess[str]":
    """Run Python in the project; TimeoutExpired where it doesn't end within the limit, in seconds."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=project.root, env=around, capture_output=True, text=True, timeout=limit)


def assert_all_there(team: Team, project: Project) -> list[Run]:
    """Return the server's runs of the project: each is there once."""
    kept = {run.info.run_id for run in project.runs()}
    arrived = [run for run in team.runs() if run.data.tags["origin"] in kept]
    assert sorted(run.data.tags["origin"] for run in arrived) == sorted(kept)
    return arrived


def assert_all_arrived_once(team: Team, project: Project) -> list[Run]:
    """Return the server's runs of the project: each is there once, and whole."""
    kept = {run.info.run_id: run for run in project.runs()}
    arrived = assert_all_there(team, project)
    for run in arrived:
        own = kept[run.data.tags["origin"]]
        assert (run.info.status, run.info.end_time) == (own.info.status, own.info.end_time)
        assert (run.data.params, run.data.metrics) == (own.data.params, own.data.metrics)
    return arrived


def stages(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.data.tags["kind"] == "stage"]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as logs, shared_mlflow(Path(logs)) as team:
        told = {name: value for name, value in team.around().items() if name.startswith("MLFLOW_TRACKING_")}
        for name, value in (told | team.bucket.environment).items():
            print(f"export {name}={shlex.quote(value)}")
        print(
            f"# S3 at {team.bucket.endpoint}, with an empty bucket `{team.bucket.bucket}`; Ctrl-C ends all", flush=True
        )
        with suppress(KeyboardInterrupt):
            signal.pause()
