"""What is installed, and what it computes on."""

import os
import platform
import sys
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib import metadata
from pathlib import Path

from localizer.commands.diagnosis.check import Check, size_text
from localizer.findings import count_of
from localizer.pipeline.git_state import git

SOURCE = Path(__file__).resolve().parents[4]  # the checkout that this code is in
FOR_TRAINING = ("torch", "torchvision", "mlflow")
FOR_ALL = ("dvc", "great-expectations", "pandas", "pillow")
EXTRAS = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "serve": ("fastapi", "uvicorn"),
    "heic": ("pillow-heif",),
    "s3": ("dvc-s3",),
}
GPU = Path("/dev/nvidia0")  # there if NVIDIA's driver has found a GPU
INSTALL = "in Localizer's checkout: pip install '.[train,validate]'"


def check_version() -> Check:
    """Return the version of the package, and the commit of its checkout."""
    text = f"{_version('localizer') or 'unknown version'}, "
    if not (SOURCE / ".git").exists():
        return Check("ok", f"{text}not from a git checkout")
    try:
        commit = git("-C", str(SOURCE), "rev-parse", "--short", "HEAD").strip()
        changed = git("-C", str(SOURCE), "status", "--porcelain", "--untracked-files=no").splitlines()
    except ValueError:  # the row on git has the cause
        return Check("ok", f"{text}commit unknown")
    return Check("ok", f"{text}commit {commit}, {count_of(len(changed), 'changed file')}")


def check_python() -> Check:
    return Check("ok", f"{platform.python_version()} in {sys.prefix}")


def check_machine() -> Check:
    from localizer.verification.certificate import cpu_name

    return Check("ok", f"{platform.system()} {platform.release()} {platform.machine()}, {cpu_name()}")


def check_libraries(libraries: Iterable[str]) -> Check:
    """Return the libraries' versions; a problem if one is missing."""
    found = {library: _version(library) for library in libraries}
    text = ", ".join(f"{library} {version or 'is missing'}" for library, version in found.items())
    return Check("ok", text) if all(found.values()) else Check("problem", text, INSTALL)


def check_extras() -> Check:
    """Return which extras are installed; no stage needs them."""
    there = {extra: all(map(_version, libraries)) for extra, libraries in EXTRAS.items()}
    missing = ",".join(extra for extra, installed in there.items() if not installed)
    text = ", ".join(extra for extra, installed in there.items() if installed) or "none"
    return Check("ok", f"{text} (to add: pip install '.[{missing}]')" if missing else text)


def check_device() -> Check:
    """Return the device that `auto` is, and whether it has bfloat16."""
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library of CUDA
        return Check("problem", f"can't import torch: {error}", INSTALL)
    from localizer.device import choose_device, describe, use_bf16

    with warnings.catch_warnings(action="ignore"):  # about the driver, which the row reports
        device = choose_device("auto")
    bf16 = "with bfloat16" if use_bf16("auto", device) else "without bfloat16"
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    if device.type == "cuda":
        memory = size_text(torch.cuda.get_device_properties(device).total_memory)
        more = f", one of {count}" if (count := torch.cuda.device_count()) > 1 else ""
        return Check("ok", f"{describe(device)}{more}, {memory}, {bf16}; {cuda}")
    if GPU.exists():
        found = f"cpu {bf16}: torch, built with {cuda}, can't use the NVIDIA GPU"
        return Check("warning", found, "update the driver: `nvidia-smi` shows the CUDA version that it has")
    return Check("ok", f"cpu {bf16}")


def check_threads() -> Check:
    """Return torch's threads; a warning if there are more than cores, which makes training slower."""
    import torch

    cores, threads = len(os.sched_getaffinity(0)), torch.get_num_threads()
    setting = os.environ.get("OMP_NUM_THREADS")
    named = f"OMP_NUM_THREADS={setting[:20]}" if setting else "OMP_NUM_THREADS is not set"
    found = f"{count_of(threads, 'thread')} of torch on {count_of(cores, 'core')}; {named}"
    if threads > cores:
        return Check("warning", f"{found}; more than cores is slow", f"export OMP_NUM_THREADS={cores}")
    return Check("ok", found)


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


CHECKS: dict[str, Callable[[], Check]] = {
    "localizer": check_version,
    "python": check_python,
    "machine": check_machine,
    "training": partial(check_libraries, FOR_TRAINING),
    "libraries": partial(check_libraries, FOR_ALL),
    "extras": check_extras,
    "device": check_device,
    "threads": check_threads,
}
