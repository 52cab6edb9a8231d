"""The same images through all that looks at them: what training and evaluation see is what a user gets."""

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
    """Images of every kind that is taken, each of other pixels."""
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
    noise(8000, 5000).save(folder / "huge.jpg", quality=60)  # 40 megapixels: the most that is taken
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose boxes differ from image to image."""
    torch.manual_seed(0)
    model = Localizer(Architecture(18, "heatmap", 1))
    model.train()(torch.randint(0, 256, (8, 3, SIDE, SIDE)))  # else BatchNorm is the identity
    for parameter in model.backbone.fc.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    told: dict[str, Any] = {"label": "", "best_epoch": 1, "val_iou": 0.0, "params": {}}
    save(path, model, image_size=SIDE, calibration=Calibration(20, 0.3, 0.6), **told)
    return path


@pytest.fixture(scope="module")
def golden(weights: Path, images: list[Path]) -> list[dict[str, Any]]:
    """What the predictor answers, by name of the image."""
    answers = Predictor.load(weights, device=CPU).predict_all([ImageSource(str(path), path) for path in images])
    found = [vars(answer) for answer in answers]
    assert len({answer["box_xyxy_px"] for answer in found}) == len(images)  # a control: no two boxes are the same
    return found


def boxes(answers: list[dict[str, Any]]) -> Array:
    return np.array([answer["box_xyxy_px"] for answer in answers])


def in_pixels(shares: Array, golden: list[dict[str, Any]]) -> Array:
    width, height = (np.array([answer[side] for answer in golden]) for side in ("width", "height"))
    return to_pixels(shares, width, height).round(2)


def test_training_sees_the_pixels_that_give_these_boxes(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], tmp_path: Path
) -> None:
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in images]
    pixels = to_tensor(load_pixels(images, digests, SIDE, folder=tmp_path))
    seen = predict_with_flip(Predictor.load(weights, device=CPU).model, pixels)
    np.testing.assert_array_equal(in_pixels(seen.boxes, golden), boxes(golden))


def test_evaluation_gives_them(weights: Path, images: list[Path], golden: list[dict[str, Any]]) -> None:
    seen = Predictor.load(weights, device=CPU).predict_with_flip(images)
    np.testing.assert_array_equal(in_pixels(seen.boxes, golden), boxes(golden))


def test_the_command_gives_them_as_lines_of_json(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", *map(str, images), "--model", str(weights), "--device", "cpu"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert answers == [answer | {"box_xyxy_px": list(answer["box_xyxy_px"])} for answer in golden]


def test_the_command_gives_them_as_csv(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], tmp_path: Path
) -> None:
    table = tmp_path / "boxes.csv"
    options = ["--model", str(weights), "--device", "cpu", "--format", "csv", "--output", str(table)]
    assert main(["predict", *map(str, images), *options]) == 0
    rows = [*csv.DictReader(table.read_text(encoding="utf-8").splitlines())]
    told = [[float(row[f"{edge}_px"]) for edge in ("xmin", "ymin", "xmax", "ymax")] for row in rows]
    np.testing.assert_array_equal(np.array(told), boxes(golden))


@pytest.fixture(scope="module")
def served(weights: Path, images: list[Path]) -> Iterator[list[dict[str, Any]]]:
    """What MLflow's server, on the model as the pipeline logs it, answers over HTTP."""
    with server(weights) as ask:
        yield ask([ImageSource(path.name, path.read_bytes()) for path in images])


def test_mlflows_model_gives_them_over_http(served: list[dict[str, Any]], golden: list[dict[str, Any]]) -> None:
    for row, answer in zip(served, golden, strict=True):
        assert tuple(row[f"{edge}_px"] for edge in ("xmin", "ymin", "xmax", "ymax")) == answer["box_xyxy_px"]
        assert {name: row[name] for name in ("margin_px", "confident", "width", "height")} == {
            name: answer[name] for name in ("margin_px", "confident", "width", "height")
        }


def test_the_page_gives_them_one_by_one(weights: Path, images: list[Path], golden: list[dict[str, Any]]) -> None:
    """An image alone goes through the network otherwise than in a batch, which may turn the last digit."""
    page = TestClient(
        make_app(Predictor.load(weights, device=CPU), some=[], host="127.0.0.1"), base_url="http://127.0.0.1"
    )
    answers = [page.post("/predict", content=path.read_bytes()).json() for path in images]
    np.testing.assert_allclose(boxes(answers), boxes(golden), atol=0.0101)
    assert [answer["confident"] for answer in answers] == [answer["confident"] for answer in golden]


def test_onnx_gives_them_within_half_a_pixel_without_localizer(
    weights: Path, images: list[Path], golden: list[dict[str, Any]], tmp_path: Path
) -> None:
    export(weights, tmp_path / "m.onnx")
    command = [sys.executable, str(ROOT / "examples/onnx_predict.py"), str(tmp_path / "m.onnx"), *map(str, images)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    np.testing.assert_allclose(boxes(answers), boxes(golden), atol=0.5)
