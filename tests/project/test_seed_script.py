"""One test for each defect of the one-file script that this project grew from: none may return."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from localizer.boxes import to_fractions
from localizer.calibration import Calibration
from localizer.dataset import DatasetConfig
from localizer.datasets.coordinates import with_edges
from localizer.evaluation.metrics import constant_iou, mean_box, per_image, summarize
from localizer.images.decoding import read_squares
from localizer.model.augmentation import DRAWS, Augmentation, augment
from localizer.model.localizer import RGB_MEAN, RGB_STD, Architecture, Localizer
from localizer.model.resnet import Bottleneck, _layer
from localizer.model.saving import save
from localizer.predictor import predict_boxes
from localizer.splitting.assignment import split_by_hash
from localizer.tables import BOX, EDGES, SPLITS

pytestmark = pytest.mark.slow

SMALL = Architecture(depth=18)
PLACES = (ast.Attribute, ast.Import, ast.ImportFrom)  # where a library's function is named
ROOT = Path(__file__).resolve().parents[2]
BEFORE = "import torch; before = torch.get_rng_state();"
FRACTIONS = {"train": 0.7, "validation": 0.1, "calibration": 0.1, "test": 0.1}


def test_1_a_flip_moves_the_box_with_the_image() -> None:
    image = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    image[..., 8:16, 0:8] = 255
    draws = torch.full((1, DRAWS), 0.5).index_fill(1, torch.tensor([0]), 0.0)  # a flip, and nothing else
    pixels, boxes = augment(
        image, torch.tensor([[0, 0.25, 0.25, 0.5]]), draws, strength=Augmentation(horizontal_flip=1)
    )
    assert boxes.tolist() == [[0.75, 0.25, 1.0, 0.5]]
    assert pixels[0, 0, 8:16, 24:32].min() > (254 / 255 - RGB_MEAN[0]) / RGB_STD[0]


def test_2_a_box_is_scaled_by_its_own_image_whatever_other_rows_hold() -> None:
    small = to_fractions(np.array([[10.0, 20.0, 30.0, 40.0]]), np.array([100.0]), np.array([50.0]))
    both = to_fractions(
        np.array([[10.0, 20.0, 30.0, 40.0], [0.0, 0.0, 9000.0, 9000.0]]),
        np.array([100.0, 9000.0]),
        np.array([50.0, 9000.0]),
    )
    assert small.tolist() == [[0.1, 0.4, 0.3, 0.8]]
    assert both[0].tolist() == small[0].tolist()


def test_3_no_image_of_test_is_one_of_train() -> None:
    names = [f"{number:04d}" for number in range(500)]
    images = pd.DataFrame({"image": names, "sha256": [name[:3] for name in names]})  # ten copies of each picture
    side = split_by_hash(images["sha256"], fractions=FRACTIONS, seed=0)
    pictures = [set(images.loc[side == name, "sha256"]) for name in SPLITS]
    assert all(pictures)
    assert sum(map(len, pictures)) == len(set.union(*pictures))


def test_3_prediction_sees_an_image_as_it_is_every_time() -> None:
    torch.manual_seed(0)
    model = Localizer(SMALL)
    torch.nn.init.normal_(model.get_parameter("backbone.fc.cell.weight"), std=0.1)
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    np.testing.assert_array_equal(predict_boxes(model, pixels), predict_boxes(model, pixels))
    assert not np.allclose(predict_boxes(model, pixels), predict_boxes(model, pixels.flip(3)))  # it does look


def test_4_results_are_iou_beside_a_baseline() -> None:
    boxes = np.array([[0.0, 0.0, 0.5, 1.0], [0.5, 0.0, 1.0, 1.0]])
    assert mean_box(boxes).tolist() == [0.25, 0.0, 0.75, 1.0]
    assert constant_iou(mean_box(boxes), boxes) == pytest.approx([1 / 3, 1 / 3])  # 0.25 shared of 0.75 covered
    assert summarize(per_image(boxes[::-1].copy(), boxes), np.arange(2))["mean_iou"].value == 0


def test_5_a_model_is_kept_as_tensors_and_never_pickled(tmp_path: Path) -> None:
    told = {"params": {}, "calibration": Calibration(0, None, None)}
    save(tmp_path / "m.safetensors", Localizer(SMALL), image_size=32, label="a", best_epoch=1, val_iou=0.5, **told)
    assert (tmp_path / "m.safetensors").read_bytes()[8:9] == b"{"  # safetensors: a length, then JSON
    code = [path.read_text(encoding="utf-8") for folder in ("src", "stages") for path in (ROOT / folder).rglob("*.py")]
    used = {ast.unparse(node) for text in code for node in ast.walk(ast.parse(text)) if isinstance(node, PLACES)}
    assert "torch.load" in used  # the control
    assert not used & {"torch.save", "import pickle"}


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA", "1"])
def test_6_an_image_of_any_mode_gives_three_channels(tmp_path: Path, mode: str) -> None:
    suffix = "tiff" if mode == "CMYK" else "png"
    Image.new("RGB", (20, 10), "white").convert(mode).save(tmp_path / f"a.{suffix}")
    pixels = read_squares([tmp_path / f"a.{suffix}"], 32)
    assert pixels.shape == (1, 32, 32, 3)
    assert pixels.min() > 250


@pytest.mark.parametrize(("box_format", "edges"), [("xyhw", [1, 2, 5, 5]), ("xywh", [1, 2, 4, 6])])
def test_7_height_before_width_is_declared_and_obeyed(box_format: str, edges: list[float]) -> None:
    columns = {"image": "i", "box": ["a", "b", "c", "d"]}
    declared = {"title": "t", "format": "csv", "annotations": "a.csv", "images": "i", "columns": columns}
    config = DatasetConfig.model_validate({**declared, "box_format": box_format})
    rows = pd.DataFrame([["x", "1", "2", "3", "4"]], columns=["image", *BOX])
    assert with_edges(rows, pd.DataFrame({"image": ["x"], "width": [9], "height": [9]}), config)[
        EDGES
    ].to_numpy().tolist() == [edges]


def test_8_a_layer_that_needs_no_projection_still_has_all_its_blocks() -> None:
    layer = _layer(Bottleneck, 256, 64, blocks=3, stride=1)
    assert len(layer) == 3
    assert layer(torch.rand(1, 256, 4, 4)).shape == (1, 256, 4, 4)


@pytest.mark.parametrize("stage", ["train", "evaluate"])
def test_9_importing_a_stage_does_nothing(tmp_path: Path, stage: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{BEFORE} import stages.{stage}; print(torch.equal(before, torch.get_rng_state()))"],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"  # building a model would have drawn random numbers, and printing shown
    assert not list(tmp_path.iterdir())
