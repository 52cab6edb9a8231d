"""How fast a trained model answers: `python -m bench.using`, some minutes on two cores.

The same photographs, JPEGs in memory, go through the predictor, an ONNX file and MLflow's server, in turn in one
process, beside torchvision's resnet50 forward on pixels that are ready: the floor, which nothing here can be under. Our
answer looks at each image and at its mirror image: two forward passes, so that it can be 0.5 of the floor at best.
"""

import argparse
import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from socket import socket
from typing import Any

import numpy as np
import onnxruntime
import torch
import torchvision
from PIL import Image

from bench import kept, turns
from bench.turns import Row, in_turn, ratios, row
from bench.works import photographs, where
from localizer.calibration import Calibration
from localizer.device import choose_device
from localizer.images.decoding import THREADS, Pixels, open_rgb, to_square
from localizer.model import saving
from localizer.model.localizer import Architecture, Localizer
from localizer.predictor import ImageSource, Predictor, predict_boxes, predict_with_flip, to_tensor
from localizer.serving.onnx import export

BATCH = 32
WIDE, SMALL = 640, 320  # widths of the photographs in pixels: 640 x 427 and 320 x 214
ONE_AGAIN = 5  # times as many rounds for the request of one image, which is short
Work = Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="96 px and few rounds, without a server")
    options = parser.parse_args()
    device, rows = choose_device("auto"), list[Row]()
    for side, rounds in ((96, 2),) if options.quick else ((224, 3), (64, 7)):
        with tempfile.TemporaryDirectory() as folder:
            rows += measured(Path(folder), device, side=side, rounds=rounds)
            rows += [] if options.quick else over_http(Path(folder), device, side=side, rounds=rounds)
    turns.show(rows)
    name = "quick_using" if options.quick else f"using_{device.type}"
    kept.write(kept.RESULTS / f"{name}.json", [asdict(one) for one in rows])


def measured(folder: Path, device: torch.device, *, side: int, rounds: int) -> list[Row]:
    """Return the rows of one size of the network's squares, for a batch, one image, and a batch of smaller images."""
    weights = made(folder, side)
    plain, _ = saving.load(weights)
    predictor, network = Predictor.load(weights, device=device), plain.to(device).to(memory_format=torch.channels_last)
    session = session_of(weights)
    floor = torchvision.models.resnet50().eval().to(device).to(memory_format=torch.channels_last)
    rows = []
    for count, width in ((BATCH, WIDE), (1, WIDE), (BATCH, SMALL)):
        some = photos(folder, count, width)
        squares = squares_of(some, side)
        pixels, images = to_tensor(squares).to(device), to_tensor(squares).to(device).float()
        works: dict[str, Work] = {
            "floor": lambda images=images: forward(floor, images),  # type: ignore[misc]
            "unfolded": lambda pixels=pixels: predict_boxes(network, pixels),  # type: ignore[misc]
            "folded": lambda pixels=pixels: predict_boxes(predictor.model, pixels),  # type: ignore[misc]
            "both": lambda pixels=pixels: predict_with_flip(predictor.model, pixels),  # type: ignore[misc]
            "predictor": lambda some=some: [*predictor.predict_all(some)],  # type: ignore[misc]
            "onnx": lambda some=some: session.run(None, {"pixels": squares_of(some, side)}),  # type: ignore[misc]
        }
        took = in_turn(works, device, rounds=rounds)
        rows += told(took, of=f"{side}_{count}{'' if width == WIDE else f'_of_{width}'}")
    return rows


def session_of(weights: Path) -> onnxruntime.InferenceSession:
    """Return the weights in onnxruntime; its threads wait asleep, since spinning slows whatever is timed next."""
    path, options = weights.with_suffix(".onnx"), onnxruntime.SessionOptions()
    export(weights, path)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def told(took: dict[str, list[float]], *, of: str) -> list[Row]:
    """Return the ratios of what was timed; of: side, number and, if they are smaller, width of the images."""
    rates = {
        "folded_over_floor": ("floor", "folded", "rate of one forward pass over torchvision's"),
        "folded_over_unfolded": ("unfolded", "folded", "rate of one forward pass over the same with BatchNorm"),
        "predictor_over_floor": ("floor", "predictor", "rate of whole answers, from JPEG to box, over torchvision's"),
        "onnx_over_predictor": ("predictor", "onnx", "rate of whole answers over the predictor's"),
    }
    rows = [
        row(f"{name}_{of}", ratios(took[above], took[below]), unit=unit, device=where())
        for name, (above, below, unit) in rates.items()
    ]
    beyond = [whole / passes - 1 for whole, passes in zip(took["predictor"], took["both"], strict=True)]
    unit = "what an answer takes beyond its two forward passes, as a share of them"
    return [*rows, row(f"overhead_{of}", beyond, unit=unit, device=where())]


def over_http(folder: Path, device: torch.device, *, side: int, rounds: int) -> list[Row]:
    """Return what MLflow's server takes for a batch and for one image, as times of the predictor's own time."""
    weights, rows = made(folder, side), []
    predictor = Predictor.load(weights, device=device)
    with server(weights) as ask:
        for count, rounds_ in ((BATCH, rounds), (1, ONE_AGAIN * rounds)):
            some = photos(folder, count, WIDE)
            works: dict[str, Work] = {
                "alone": lambda some=some: [*predictor.predict_all(some)],  # type: ignore[misc]
                "served": lambda some=some: ask(some),  # type: ignore[misc]
            }
            took = in_turn(works, device, rounds=rounds_)
            note = f"a request takes {1000 * statistics.median(took['served']):.0f} ms"
            unit, name = "time of a request over the predictor's own", f"served_over_predictor_{side}_{count}"
            rows.append(row(name, ratios(took["served"], took["alone"]), unit=unit, device=where(), note=note))
    return rows


def made(folder: Path, side: int) -> Path:
    """Return a ResNet-50 of random weights in two files."""
    weights = folder / "m.safetensors"
    if not weights.is_file():
        torch.manual_seed(0)
        told = {"label": "", "best_epoch": 1, "val_iou": 0.0, "params": {}, "calibration": Calibration(100, 0.1, 0.5)}
        saving.save(weights, Localizer(Architecture(50)), image_size=side, **told)
    return weights


def photos(folder: Path, count: int, width: int) -> list[ImageSource]:
    """Return photographs of a width in pixels, JPEGs in memory."""
    _, paths, _ = photographs(folder / "photos", count)
    return [ImageSource(path.name, scaled(path, width)) for path in paths]


def scaled(path: Path, width: int) -> bytes:
    """Return a JPEG's bytes, as they are where it has the width."""
    with Image.open(path) as photo:
        if photo.width == width:
            return path.read_bytes()
        smaller = BytesIO()
        photo.resize((width, round(photo.height * width / photo.width))).save(smaller, "JPEG", quality=90)
    return smaller.getvalue()


def squares_of(sources: Sequence[ImageSource], side: int) -> Pixels:
    """Return the network's squares, decoded by as many threads as the predictor's are."""
    with ThreadPoolExecutor(THREADS) as pool:
        return np.stack([*pool.map(partial(square_of, side=side), sources)])


def square_of(source: ImageSource, *, side: int) -> Pixels:
    content = source.image if isinstance(source.image, bytes) else source.image.read_bytes()
    return to_square(open_rgb(Path(source.name), content), side)


@torch.inference_mode()
def forward(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    return network(images).cpu()


@contextmanager
def server(weights: Path) -> Iterator[Callable[[Sequence[ImageSource]], list[dict[str, Any]]]]:
    """Give a function that asks MLflow's server for the boxes of images, a row each; the server runs meanwhile."""
    import mlflow.pyfunc

    from localizer.tracking import logged_model

    folder = weights.with_name("served")
    mlflow.pyfunc.save_model(folder, **logged_model.pyfunc_arguments(weights))
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts uvicorn by name
    ours = os.environ | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (weights.with_name("log")).open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=ours, stdout=log, stderr=log
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/ping", process)
        yield lambda sources: post(f"{address}/invocations", sources)
    finally:
        process.terminate()
        process.wait()


def wait_for(address: str, process: "subprocess.Popen[bytes]") -> None:
    """Return when a server answers; ValueError where it has ended."""
    while process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(address, timeout=5):
            return
        time.sleep(0.5)
    raise ValueError(f"the server ended with status {process.returncode}")


def post(address: str, sources: Sequence[ImageSource]) -> list[dict[str, Any]]:
    """Return a server's answers, a row an image; ValueError where one of them has no box."""
    images = [[base64.b64encode(content).decode()] for _, content in sources if isinstance(content, bytes)]
    body = json.dumps({"dataframe_split": {"columns": ["image"], "data": images}}).encode()
    asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=300) as answer:
        rows: list[dict[str, Any]] = json.load(answer)["predictions"]
    if len(rows) != len(images) or any(one["error"] for one in rows):
        raise ValueError(f"{address}: {len(rows)} answers for {len(images)} images, or errors among them")
    return rows


if __name__ == "__main__":
    main()
