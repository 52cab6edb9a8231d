"""What the certificate of `localizer verify` says of the machine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from localizer.verification.certificate import write_certificate
from localizer.verification.reproduce import Reproduction


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def environment(threads: Any) -> dict[str, Any]:
    reproduction = Reproduction("0" * 40, {}, device="cpu", threads=threads, reruns=(), differences=("a",))
    write_certificate(Path("certificate.json"), reproduction)
    values = dict(json.loads(Path("certificate.json").read_text())["environment"])
    return {name: values[name] for name in ("device", "threads")}


def test_the_certificate_has_the_threads_of_the_training() -> None:
    assert environment(3) == {"device": "cpu, 3 threads", "threads": 3}


@pytest.mark.parametrize("threads", ["auto", 0, None])
def test_the_certificate_has_torchs_threads_where_the_params_name_none(threads: Any) -> None:
    torch.set_num_threads(2)
    assert environment(threads) == {"device": "cpu, 2 threads", "threads": 2}
