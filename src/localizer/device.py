"""Choosing where to compute."""

import os
from typing import Literal

import torch

Device = Literal["auto", "cpu", "cuda"]


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
            f"there is: cpu ({torch.get_num_threads()} threads); set device to auto or cpu"
        )
    return torch.device("cuda")


def set_deterministic(wanted: bool) -> None:
    """Let torch refuse what doesn't give the same bits each time, or not; call it before CUDA computes anything."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(wanted)
    torch.backends.cudnn.benchmark = not wanted


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory was what was lacking: on a CPU torch has no exception of its own for it."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)


def describe(device: torch.device) -> str:
    """Return the device in words, for people to read."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"
