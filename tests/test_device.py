"""Choosing a device; the GPU is a pretence, so that both answers are tested everywhere."""

import pytest
import torch

from localizer.device import Device, choose_device, describe


@pytest.mark.parametrize(
    ("name", "there", "wanted"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_the_device_is_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: Device, there: bool, wanted: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device(name).type == wanted


def test_a_missing_gpu_is_an_error_that_lists_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"no usable GPU .*there is: cpu \(\d+ threads\)"):
        choose_device("cuda")


def test_a_cpu_is_described_by_its_threads() -> None:
    assert describe(torch.device("cpu")) == f"cpu, {torch.get_num_threads()} threads"
