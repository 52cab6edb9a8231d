"""Choosing a device; the GPU is a pretence, so that both answers are tested everywhere."""

import pytest
import torch

from localizer.device import Device, Precision, choose_device, describe, fits_on_gpu, use_bf16


@pytest.mark.parametrize(
    ("name", "there", "expected"),
    [("auto", True, "cuda"), ("auto", False, "cpu"), ("cpu", True, "cpu"), ("cuda", True, "cuda")],
)
def test_the_device_is_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch, name: Device, there: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device(name).type == expected


def test_a_missing_gpu_is_an_error_and_not_a_silent_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match=r"expected a usable GPU, got none .*cpu \(\d+ threads?\)"):
        choose_device("cuda")


@pytest.mark.parametrize(("count", "expected"), [(1, "cpu, 1 thread"), (2, "cpu, 2 threads")])
def test_a_cpu_is_described_by_its_threads(monkeypatch: pytest.MonkeyPatch, count: int, expected: str) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert describe(torch.device("cpu")) == expected


@pytest.mark.parametrize(
    ("kind", "precision", "has", "expected"),
    [
        ("cpu", "auto", True, True),
        ("cpu", "auto", False, False),
        ("cpu", "fp32", True, False),
        ("cpu", "bf16", True, True),
        ("cuda", "auto", True, True),
        ("cuda", "auto", False, False),
        ("cuda", "fp32", True, False),
    ],
)
def test_bfloat16_is_used_where_there_are_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, precision: Precision, has: bool, expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has)
    assert use_bf16(precision, torch.device(kind)) is expected


def test_bfloat16_is_never_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    with pytest.raises(ValueError, match=r"cpu, \d+ threads? has no instructions for it; set fp32 or auto"):
        use_bf16("bf16", torch.device("cpu"))


def test_images_are_held_on_a_gpu_while_they_take_less_than_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (200, 1000))
    cuda = torch.device("cuda")
    assert fits_on_gpu(torch.zeros(99, dtype=torch.uint8), cuda)
    assert not fits_on_gpu(torch.zeros(100, dtype=torch.uint8), cuda)
    assert not fits_on_gpu(torch.zeros(1, dtype=torch.uint8), torch.device("cpu"))
