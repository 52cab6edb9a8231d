"""Choosing where to compute."""

import os
import platform
from importlib.metadata import version
from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
HELD = 0.5  # of a GPU's free memory may be taken by the images; the rest is for the activations


def choose_device(name: Device) -> torch.device:
    """Return the device; `auto` takes a GPU where there is one.

    Raises ValueError, listing what there is, when `cuda` is asked for and missing: never the CPU silently.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        raise ValueError(
            f"device cuda was asked for, but there is no usable GPU (torch {torch.__version__}, built with {built}); "
            f"there is: cpu ({_threads()}); set device to auto or cpu"
        )
    return torch.device("cuda")


def set_deterministic(expected: bool) -> None:
    """Let torch refuse what doesn't give the same bits each time, or not; call it before CUDA computes anything."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(expected)
    torch.backends.cudnn.benchmark = not expected


def use_bf16(precision: Precision, device: torch.device) -> bool:
    """Return whether to compute in bfloat16; `auto` does so where GPU or processor has instructions for it.

    Raises ValueError where `bf16` is asked of one that would have to emulate it, at a fifteenth of the speed.
    """
    has = _cuda_has_bf16() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    if precision == "bf16" and not has:
        raise ValueError(f"train.precision bf16: {describe(device)} has no instructions for it; set fp32 or auto")
    return has and precision != "fp32"


def _cuda_has_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def fits(tensor: torch.Tensor, device: torch.device) -> bool:
    """Return whether to hold the tensor on the device: never on a CPU, where it may stay a mapped file."""
    return device.type == "cuda" and tensor.nbytes < HELD * torch.cuda.mem_get_info(device)[0]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory was what was lacking: on a CPU torch has no exception of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def describe(device: torch.device) -> str:
    """Return the device in words, for people to read."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {_threads()}"


def _threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'' if count == 1 else 's'}"


def environment(device: torch.device, precision: Precision, *, processes: int) -> dict[str, str]:
    """Return what weights depend on, to the last bit, beside params and data: versions, and how the devices compute."""
    computing = {"device": describe(device), "threads": str(torch.get_num_threads()), "processes": str(processes)}
    return versions() | computing | {"bf16": str(use_bf16(precision, device))}


def versions() -> dict[str, str]:
    """Return the versions that weights depend on; torchvision's, since it says which of ImageNet's are the best."""
    return {"python": platform.python_version()} | {name: version(name) for name in ("torch", "torchvision")}
