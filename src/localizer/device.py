"""The device: choosing it, determinism, precision, and the environment that weights depend on."""

import os
import platform
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Annotated, Literal

import torch
from pydantic import Field

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "fp32", "bf16"]
MAX_THREADS = 1024
Threads = Literal["auto"] | Annotated[int, Field(ge=1, le=MAX_THREADS)]
IMAGES_SHARE = 0.5  # of a GPU's free memory, for the training images; the rest is for activations


def choose_device(name: Device) -> torch.device:
    """Return the device; `auto` is a GPU if there is one, else the CPU.

    On a GPU fp32 then means fp32, also in convolutions, which would take TF32 with its 10 bits by default. Raises
    ValueError if `cuda` is asked for and missing: never falls back silently.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if not torch.cuda.is_available():
        built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        raise ValueError(
            f"device cuda: expected a usable GPU, got none (torch {torch.__version__}, built with {built}); set device "
            f"to auto or cpu ({_threads()})"
        )
    torch.backends.cudnn.fp32_precision = "ieee"
    return torch.device("cuda")


def set_deterministic(deterministic: bool) -> None:
    """Enable or disable deterministic algorithms; to be called before the first use of CUDA."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    fill = "fill_uninitialized_memory"  # a pass over each new tensor, to find bugs with
    setattr(torch.utils.deterministic, fill, False)
    torch.backends.cudnn.benchmark = not deterministic


def set_threads(threads: Threads) -> None:
    """Set the number of threads that compute on the CPU; `auto` leaves torch's own: OMP_NUM_THREADS, or the cores.

    To be called before the first operation. More threads than cores are slow, and give the weights that they give on
    a machine with more cores.
    """
    if threads != "auto":
        torch.set_num_threads(threads)


def use_bf16(precision: Precision, device: torch.device) -> bool:
    """Return whether to compute in bfloat16; with `auto` if the GPU or processor has instructions for it.

    Raises ValueError if `bf16` would be emulated, at a fifteenth of the speed.
    """
    has = _cuda_has_bf16() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    if precision == "bf16" and not has:
        raise ValueError(f"train.precision bf16: {describe(device)} has no instructions for it; set fp32 or auto")
    return has and precision != "fp32"


def _cuda_has_bf16() -> bool:
    return torch.cuda.is_bf16_supported(including_emulation=False)


def fits_on_gpu(tensor: torch.Tensor, device: torch.device) -> bool:
    """Return whether to keep the tensor on the GPU; False on a CPU, where it may stay a memory-mapped file."""
    return device.type == "cuda" and tensor.nbytes < IMAGES_SHARE * torch.cuda.mem_get_info(device)[0]


@contextmanager
def explain_oom(hint: str) -> Iterator[None]:
    """Turn an out-of-memory error, for which torch has no type of its own on a CPU, into a ValueError with the hint."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "can't allocate memory" not in str(error):
            raise
        traceback.clear_frames(error.__traceback__)  # frees their tensors, so that a checkpoint can be written
        raise ValueError(f"out of memory: {hint}") from None


def describe(device: torch.device) -> str:
    """Return the device's name for people to read."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {_threads()}"


def _threads() -> str:
    count = torch.get_num_threads()
    return f"{count} thread{'' if count == 1 else 's'}"


def environment(device: torch.device, precision: Precision, *, processes: int) -> dict[str, str]:
    """Return what weights depend on to the bit, besides params and data: versions, device, threads, precision."""
    computing = {"device": describe(device), "threads": str(torch.get_num_threads()), "processes": str(processes)}
    return versions() | computing | {"bf16": str(use_bf16(precision, device))}


def versions() -> dict[str, str]:
    """Return the versions that weights depend on; torchvision's decides which ImageNet weights are the default."""
    return {"python": platform.python_version()} | {name: version(name) for name in ("torch", "torchvision")}
