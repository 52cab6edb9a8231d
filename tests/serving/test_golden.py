"""The same images through every consumer: training, evaluation, `predict`, MLflow, web app and ONNX agree."""

import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from bench.using import server
from localizer.boxes import Array, to_pixels
from localizer.calibration import Calibration
from localizer.cli import main
from localizer.images.pixel_cache import load_pixels
from localizer.model.localizer import Architecture, Localizer
from localizer.model.saving import save
from localizer.predictor import ImageSource, Predictor, predict_with_flip, to_tensor
from localizer.serving.onnx import export
from localizer.serving.web_app import make_app

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*type hint is inferred as AnyType:UserWarning"),
    pytest.mark.filterwarnings("ignore:Operation with range is deprecated"),
]

ROOT = Path(__file__).resolve().parents[2]
SIDE = 64
CPU = torch.device("cpu")
EXIF_ORIENTATION = 0x0112


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return images of every supported kind, each with different pixels."""
    folder = tmp_path_factory.mktemp("golden") / "images"
    folder.mkdir()
    random = np.random.default_rng(0)

    def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
        small = random.integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
        return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).convert(mode)

    turned = Image.Exif()
    turned[EXIF_ORIENTATION] = 6
    noise(147, 98).save(folder / "a.jpg", quality=92)
    noise(120, 90).save(folder / "b.png")
    noise(90, 120, "L").save(folder / "grey.png")
    noise(100, 80, "CMYK").save(folder / "cmyk.jpg")
    transparent = noise(80, 100)
    transparent.putalpha(noise(80, 100, "L"))
    transparent.save(folder / "alpha.png")
    noise(110, 70).quantize(64).save(folder / "palette.png", transparency=bytes(range(0, 256, 4)))
    noise(160, 90).save(folder / "turned.jpg", exif=turned)
    noise(90, 150).save(folder / "turned.png", exif=turned)
    noise(1, 50).save(folder / "narrow.png")
    noise(8000, 5000).save(folder / "huge.jpg", quality=60)  # 40 megapixels: the limit
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a network whose boxes differ between images."""
    torch.manual_seed(0)
    model = Localizer(Architecture(18))
    model.train()(torch.randint(0, 256, (8, 3, SIDE, SIDE)))  # else BatchNorm is the identity
    for parameter in model.backbone.fc.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    fields: dict[str, Any] = {"label": "", "best_epoch": 1, "val_iou": 0.0, "params": {}}
    save(path, model, image_size=SIDE, calibration=Calibration(20, 0.3, 0.6), **fields)
    return path


@pytest.fixture(scope="module")
def golden(weights: Path, images: list[Path]) -> list[dict[str, Any]]:
    """Return the predictor's predictions."""
    predictions = Predictor.load(weights, device=CPU).predict_all([ImageSource(str(path), path) for path in images])
    rows = [vars(prediction) for prediction in predictions]
    assert len({row["box_xyxy_px"] for row in rows}) == len(images)  # a control: no two boxes are equal
    return rows


def boxes(rows: list[dict[str, Any]]) -> Array:
    return np.array([row["box_xyxy_px"] for row in rows])


def in_pixels(shares: Array, golden: list[dict[str, Any]]) -> Array:
    width, height = (np.array([row[side] for row in golden]) for side in ("width", "height"))
    return to_pixels(shares, width, height).round(2)


def test_trainings_pixel_cache_gives_the_same_boxes(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], tmp_path: Path
) -> None:
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in images]
    pixels = to_tensor(load_pixels(images, digests, SIDE, folder=tmp_path))
    predicted = predict_with_flip(Predictor.load(weights, device=CPU).model, pixels)
    np.testing.assert_array_equal(in_pixels(predicted.boxes, golden), boxes(golden))


def test_evaluation_gives_the_same_boxes(weights: Path, images: list[Path], golden: list[dict[str, Any]]) -> None:
    predicted = Predictor.load(weights, device=CPU).predict_with_flip(images)
    np.testing.assert_array_equal(in_pixels(predicted.boxes, golden), boxes(golden))


def test_the_command_gives_the_same_predictions_as_json_lines(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *map(str, images), "--model", str(weights), "--device", "cpu"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows == [row | {"box_xyxy_px": list(row["box_xyxy_px"])} for row in golden]


def test_the_command_gives_the_same_boxes_as_csv(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], tmp_path: Path
) -> None:
    table = tmp_path / "boxes.csv"
    options = ["--model", str(weights), "--device", "cpu", "--format", "csv", "--output", str(table)]
    assert main(["predict", *map(str, images), *options]) == 0
    rows = [*csv.DictReader(table.read_text(encoding="utf-8").splitlines())]
    found = [[float(row[f"{edge}_px"]) for edge in ("xmin", "ymin", "xmax", "ymax")] for row in rows]
    np.testing.assert_array_equal(np.array(found), boxes(golden))


@pytest.fixture(scope="module")
def served(weights: Path, images: list[Path]) -> Iterator[list[dict[str, Any]]]:
    """Return the HTTP responses of MLflow's server for the model as the pipeline logs it."""
    with server(weights) as request:
        yield request([ImageSource(path.name, path.read_bytes()) for path in images])


def test_mlflows_server_gives_the_same_predictions(served: list[dict[str, Any]], golden: list[dict[str, Any]]) -> None:
    for row, expected in zip(served, golden, strict=True):
        assert tuple(row[f"{edge}_px"] for edge in ("xmin", "ymin", "xmax", "ymax")) == expected["box_xyxy_px"]
        assert {name: row[name] for name in ("margin_px", "confident", "width", "height")} == {
            name: expected[name] for name in ("margin_px", "confident", "width", "height")
        }


def test_the_web_app_gives_the_same_boxes(weights: Path, images: list[Path], golden: list[dict[str, Any]]) -> None:
    """Rounding in a batch of one differs from that in larger batches, which may change the last digit."""
    client = TestClient(
        make_app(Predictor.load(weights, device=CPU), examples=[], host="127.0.0.1"), base_url="http://127.0.0.1"
    )
    rows = [client.post("/predict", content=path.read_bytes()).json() for path in images]
    np.testing.assert_allclose(boxes(rows), boxes(golden), atol=0.0101)
    assert [row["confident"] for row in rows] == [row["confident"] for row in golden]


def test_onnx_without_localizer_gives_boxes_within_half_a_pixel(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], tmp_path: Path
) -> None:
    export(weights, tmp_path / "m.onnx")
    command = [sys.executable, str(ROOT / "examples/onnx_predict.py"), str(tmp_path / "m.onnx"), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(boxes(rows), boxes(golden), atol=0.5)
