"""A stand-in before an S3 server, for a server alone: it passes all on, or refuses uploads when told."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from s3_faults import Forwarding
from servers import answering

FULL = (403, "QuotaExceeded", "the bucket is full")  # as Ceph says it


@dataclass
class Faulty:
    """The stand-in's address, and what it answers to uploads below a folder: status, code, message."""

    endpoint: str = ""
    fault: tuple[int, str, str] | None = None
    below: str = ""


@contextmanager
def faulty(endpoint: str) -> Iterator[Faulty]:
    """Give a stand-in before the S3 server at the endpoint."""
    state = Faulty()

    class Switched(Forwarding):
        address = urlsplit(endpoint).netloc

        def upload(self) -> None:
            if state.fault and state.below in self.path:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.refuse(*state.fault)
            else:
                self.forward()

        def download(self) -> None:
            if "X-Amz-Signature=" in self.path:  # an address for people, who can't reach the team's bucket
                self.refuse(403, "AccessDenied", "not for others than the server")
            else:
                self.forward()

        do_GET, do_PUT = download, upload  # noqa: N815

    with answering(Switched) as address:
        state.endpoint = f"http://{urlsplit(address).netloc.rpartition('@')[2]}"
        yield state
