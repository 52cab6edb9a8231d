"""Choosing where to compute."""

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


def describe(device: torch.device) -> str:
    """Return the device in words, for people to read."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} threads"
