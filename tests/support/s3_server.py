"""A server that speaks S3, on the loopback address, for tests: moto's, as a process of its own."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from servers import free_port, wait_for

KEY, SECRET, REGION = "made-up-key", "made-up-secret", "us-east-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "none of whoever runs the tests",
    "AWS_SHARED_CREDENTIALS_FILE": "none of whoever runs the tests",
}


@dataclass(frozen=True)
class S3Server:
    """A running server: its address, a bucket in it that is empty at first, and the variables that a client needs."""

    endpoint: str
    bucket: str = "team"
    environment: dict[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))

    def client(self) -> Any:
        """Return boto3's client of this server."""
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
        return boto3.session.Session(region_name=REGION, **keys).client("s3", endpoint_url=self.endpoint)

    def objects(self) -> dict[str, int]:
        """Return the bytes of each object in the bucket, by its key."""
        pages = self.client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}


@contextmanager
def s3_server(folder: Path, **settings: str) -> Iterator[S3Server]:
    """Give a server with an empty bucket; its log lies in the folder, what is put into it in its memory alone.

    settings: moto's, which it takes from the environment, as INITIAL_NO_AUTH_ACTION_COUNT.
    """
    port, log = free_port(), folder / "s3.log"
    command = [str(Path(sys.executable).with_name("moto_server")), "--host", "127.0.0.1", "--port", str(port)]
    told = log.open("w")
    with told, subprocess.Popen(command, env=os.environ | settings, stdout=told, stderr=told) as process:
        try:
            wait_for(port, process, log)
            server = S3Server(f"http://127.0.0.1:{port}")
            server.client().create_bucket(Bucket=server.bucket)
            yield server
        finally:
            process.send_signal(signal.SIGKILL)
