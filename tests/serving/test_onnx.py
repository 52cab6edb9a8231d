"""`localizer export --onnx`: small networks of random weights as ONNX, and the standalone example that runs them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

from localizer.calibration import Calibration
from localizer.cli import main
from localizer.images.decoding import PREPROCESSING
from localizer.model.localizer import Architecture, Localizer
from localizer.model.saving import save
from localizer.predictor import Predictor, predict_with_flip, to_tensor
from localizer.serving import onnx as serving
from localizer.serving.onnx import FlipModel, comparison_images, difference_from_torch, export

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SIZE = 64
BASIC, BOTTLENECK = Architecture(depth=18), Architecture(depth=50)
CALIBRATION = Calibration(images=20, margin=0.25, agreement=0.6)
PARAMS = {"lr": 0.1, "deterministic": True, "epochs": 3}
CPU = torch.device("cpu")


def saved(path: Path, architecture: Architecture, calibration: Calibration) -> Path:
    """Save a network whose output depends on the image, and whose BatchNorm is not the identity, unlike a new one's."""
    torch.manual_seed(1)
    model = Localizer(architecture)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1)
            module.momentum = None  # the statistics become those of the next batch
    with torch.inference_mode():
        model.train()(to_tensor(comparison_images(SIZE)))
    std = 1.8 / architecture.depth  # 50 layers of random weights give features that differ more, and round more
    torch.nn.init.normal_(model.get_parameter("backbone.fc.cell.weight"), std=std)
    fields: dict[str, Any] = {"label": "cat", "best_epoch": 1, "val_iou": 0.5, "params": PARAMS}
    save(path, model, image_size=SIZE, calibration=calibration, **fields)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("models") / "basic.safetensors", BASIC, CALIBRATION)


@pytest.fixture(scope="module")
def exported(weights: Path) -> Path:
    export(weights, weights.with_suffix(".onnx"))
    return weights.with_suffix(".onnx")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the weights of a model with bottleneck blocks and no calibration."""
    path = saved(tmp_path_factory.mktemp("bare") / "bottleneck.safetensors", BOTTLENECK, Calibration(0, None, None))
    export(path, path.with_suffix(".onnx"))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("photos")
    pixels = np.zeros((400, 1000, 3), dtype=np.uint8)
    pixels[40:120, 50:300], pixels[200:390, 700:760] = (255, 40, 10), (20, 200, 255)
    image = Image.fromarray(pixels)
    turned = Image.Exif()
    turned[0x0112] = 6
    transparent = image.convert("RGBA")
    transparent.putalpha(Image.fromarray(pixels[..., 2]))
    image.save(folder / "photo.jpg")
    image.save(folder / "photo.png")
    image.convert("L").save(folder / "grey.png")
    image.convert("P").save(folder / "palette.png")
    image.convert("P").save(folder / "transparent palette.png", transparency=bytes(range(256)))
    image.convert("CMYK").save(folder / "cmyk.jpg")
    transparent.save(folder / "transparent.png")
    image.save(folder / "turned.jpg", exif=turned)
    image.crop((60, 0, 61, 400)).save(folder / "narrow.png")
    image.crop((0, 60, 1000, 61)).save(folder / "flat.png")
    return sorted(folder.iterdir())


def run_example(model: Path, photos: list[Path], *, blocked: str = "", status: int = 0) -> list[dict[str, Any]]:
    script = str(ROOT / "examples/onnx_predict.py")
    start = f"import runpy, sys; sys.modules[{blocked!r}] = None; runpy.run_path({script!r}, run_name='__main__')"
    how = ["-c", start] if blocked else [script]
    done = subprocess.run([sys.executable, *how, str(model), *map(str, photos)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def predictions(exported: Path, photos: list[Path]) -> dict[str, dict[str, Any]]:
    return {Path(row["image"]).name: row for row in run_example(exported, photos)}


def infer(path: Path, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    boxes, agreement = onnxruntime.InferenceSession(path).run(["boxes", "agreement"], {"pixels": pixels})
    return boxes, agreement


@pytest.mark.parametrize("count", [0, 1, 5])
def test_any_batch_size_gives_pytorchs_boxes_and_agreement(weights: Path, exported: Path, count: int) -> None:
    pixels = comparison_images(SIZE)[8 : 8 + count]
    boxes, agreement = infer(exported, pixels)
    expected = predict_with_flip(Predictor.load(weights, device=CPU).model, to_tensor(pixels))
    assert (boxes.shape, agreement.shape) == ((count, 4), (count,))
    np.testing.assert_allclose(boxes, expected.boxes, atol=1e-5)
    np.testing.assert_allclose(agreement, expected.agreement, atol=1e-4)


def test_the_output_depends_on_the_image(exported: Path) -> None:
    boxes, agreement = infer(exported, comparison_images(SIZE))
    assert boxes.std(axis=0).min() > 0.01  # else the tests of this module would compare constants
    assert agreement.std() > 0.01


def test_bottleneck_blocks_give_pytorchs_output(bare: Path) -> None:
    pixels = comparison_images(SIZE)
    boxes, agreement = infer(bare.with_suffix(".onnx"), pixels)
    expected = predict_with_flip(Predictor.load(bare, device=CPU).model, to_tensor(pixels))
    np.testing.assert_allclose(boxes, expected.boxes, atol=1e-5)
    np.testing.assert_allclose(agreement, expected.agreement, atol=1e-4)


def test_a_zero_area_box_has_agreement_zero() -> None:
    boxes = torch.tensor([[0.5, 0.2, 0.5, 0.6], [0.2, 0.2, 0.6, 0.6], [0.4, 0.2, 0.8, 0.6]])
    mirrored = torch.tensor([[0.5, 0.2, 0.5, 0.6], [0.2, 0.2, 0.6, 0.6], [0.2, 0.2, 0.6, 0.6]])
    stub: Any = torch.nn.Module()
    stub.forward = lambda pixels: torch.cat([boxes, mirrored])
    _, agreement = FlipModel(stub)(torch.zeros(3, 8, 8, 3, dtype=torch.uint8))
    # The second's mirror image is mirrored back to 0.4..0.8: 0.2 of 0.6 is shared. The third's fits.
    torch.testing.assert_close(agreement, torch.tensor([0, 1 / 3, 1]))


def test_batch_norm_is_folded_and_no_convolution_is_duplicated(exported: Path) -> None:
    kinds = [node.op_type for node in onnx.load(exported).graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Conv") == 25  # ResNet-18: a stem, 16 in its blocks, 3 shortcuts; the head: 3, 1 and 1


def test_the_file_is_self_contained_and_of_the_documented_opset(exported: Path) -> None:
    model = onnx.load(exported, load_external_data=False)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 18)]
    assert not [tensor for tensor in model.graph.initializer if tensor.external_data]


def test_the_file_has_the_ir_version_of_its_opset(exported: Path) -> None:
    model = onnx.load(exported)
    # ONNX 1.13 has IR version 8 and opset 18; torch writes 10, which onnxruntime 1.17 refuses.
    assert model.ir_version == 8
    onnx.checker.check_model(model, full_check=True)


def test_the_metadata_are_those_of_the_model_card(weights: Path, exported: Path) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(exported).metadata_props}
    digest = json.loads(weights.with_suffix(".json").read_text())["weights_sha256"]
    assert metadata == {
        "preprocessing": "RGB, upright, stretched to a square, antialiased bilinear",
        "image_size": "64",
        "box_format": "xyxy, shares of the upright image's width and height",
        "label": "cat",
        "margin": "0.25",
        "agreement_threshold": "0.6",
        "coverage": "0.9",
        "calibration_images": "20",
        "architecture": '{"depth": 18}',
        "params": '{"lr": 0.1, "deterministic": true, "epochs": 3}',
        "weights_sha256": digest,
        "weights_md5": hashlib.md5(weights.read_bytes()).hexdigest(),
        "card_version": "4",
        "localizer_version": "0.1.0",
    }


def test_no_path_is_in_the_file(exported: Path) -> None:
    model = onnx.load(exported)
    for tensor in model.graph.initializer:
        tensor.ClearField("raw_data")
    assert "/" not in str(model)
    assert model.graph.node[0].name in str(model)  # a control: names are included


def test_another_process_writes_the_same_bytes(weights: Path, exported: Path, tmp_path: Path) -> None:
    again = tmp_path / "new" / "again.onnx"
    command = ["export", "--onnx", str(again), "--model", str(weights)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "7"}
    subprocess.run([sys.executable, "-W", "error", "-m", "localizer.cli", *command], check=True, env=environment)
    assert again.read_bytes() == exported.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "cmyk.jpg",
        "flat.png",
        "grey.png",
        "narrow.png",
        "palette.png",
        "photo.jpg",
        "photo.png",
        "transparent palette.png",
        "transparent.png",
        "turned.jpg",
    ],
)
def test_the_example_predicts_what_localizer_predicts(
    weights: Path, predictions: dict[str, dict[str, Any]], photos: list[Path], name: str
) -> None:
    expected = Predictor.load(weights, device=CPU).predict(photos[0].with_name(name))
    prediction = predictions[name]
    assert prediction["box_xyxy_px"] == pytest.approx(expected.box_xyxy_px, abs=0.03)
    assert prediction["margin_px"] == pytest.approx(expected.margin_px, abs=0.02)
    assert prediction["confident"] is expected.confident
    assert (prediction["image"], prediction["label"]) == (expected.image, "cat")


def test_the_photos_have_different_predictions(predictions: dict[str, dict[str, Any]]) -> None:
    assert {row["confident"] for row in predictions.values()} == {True, False}
    upright, turned = (np.array(predictions[name]["box_xyxy_px"]) for name in ("photo.jpg", "turned.jpg"))
    assert np.abs(upright - turned).max() > 50


def test_the_example_needs_no_localizer(exported: Path, photos: list[Path]) -> None:
    (prediction,) = run_example(exported, photos[:1], blocked="localizer")
    assert prediction["label"] == "cat"


def test_the_example_without_calibration_has_no_confidence(bare: Path, photos: list[Path]) -> None:
    (prediction,) = run_example(bare.with_suffix(".onnx"), [photos[0].with_name("photo.png")])
    assert (prediction["margin_px"], prediction["confident"]) == (1000, None)  # the longer side contains any box


def test_the_example_refuses_a_model_of_another_preprocessing(exported: Path, photos: list[Path]) -> None:
    model = onnx.load(exported)
    onnx.helper.set_model_props(model, {"preprocessing": "RGB, cropped"})
    onnx.save(model, "cropped.onnx")
    command = [sys.executable, str(ROOT / "examples/onnx_predict.py"), "cropped.onnx", str(photos[0])]
    done = subprocess.run(command, capture_output=True, text=True)
    error = f"cropped.onnx: expected preprocessing {PREPROCESSING}; got RGB, cropped\n"
    assert (done.returncode, done.stderr) == (1, error)


HIGH_BIT_DEPTH = {"16.png": np.uint16, "16.tif": np.uint16, "32.tif": np.int32, "float.tif": np.float32}


@pytest.mark.parametrize("name", sorted(HIGH_BIT_DEPTH))
def test_the_example_refuses_gray_of_high_bit_depth_as_localizer_does(weights: Path, exported: Path, name: str) -> None:
    Image.fromarray(np.full((8, 8), 300, dtype=HIGH_BIT_DEPTH[name])).save(name)
    (prediction,) = run_example(exported, [Path(name)], status=1)
    with pytest.raises(
        ValueError, match=r"mode (I;16|I|F) has more than 8 bits per channel; save it with 8"
    ) as refused:
        Predictor.load(weights, device=CPU).predict(Path(name))
    assert prediction == {"image": name, "error": str(refused.value).removeprefix(f"{name}: ")}


def test_the_example_prints_what_is_wrong_with_a_photo_and_goes_on(exported: Path, photos: list[Path]) -> None:
    good = photos[0].with_name("photo.jpg")
    Path("cut.jpg").write_bytes(good.read_bytes()[:-900])
    missing, cut, prediction = run_example(exported, [Path("missing.jpg"), Path("cut.jpg"), good], status=1)
    assert missing == {"image": "missing.jpg", "error": "[Errno 2] No such file or directory: 'missing.jpg'"}
    assert cut["error"].startswith("image file is truncated")
    assert len(prediction["box_xyxy_px"]) == 4


def test_export_prints_size_and_difference(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--onnx", "out/model.onnx", "--model", str(weights)]) == 0
    size, difference = capsys.readouterr().out.splitlines()
    assert size == "out/model.onnx: 45.8 MB, opset 18"  # 4 bytes for each of 11.43 million weights
    assert difference.startswith("largest difference of onnxruntime from PyTorch: ")
    assert sorted(path.name for path in Path("out").iterdir()) == ["model.onnx"]


def test_the_file_of_another_model_is_too_far(weights: Path, exported: Path) -> None:
    predictor = Predictor.load(weights, device=CPU)
    torch.nn.init.zeros_(predictor.model.get_parameter("backbone.fc.cell.weight"))
    assert difference_from_torch(exported.read_bytes(), predictor).box_px > 0.5


def test_the_file_of_the_same_model_is_near(weights: Path, exported: Path) -> None:
    difference = difference_from_torch(exported.read_bytes(), Predictor.load(weights, device=CPU))
    assert difference.box_px < 0.05
    assert difference.agreement < 0.001


def test_weights_that_change_during_the_export_stop_it(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.safetensors"
    shutil.copy(weights, mine)
    shutil.copy(weights.with_suffix(".json"), mine.with_suffix(".json"))
    graph = serving._graph

    def slow(predictor: Predictor) -> Any:
        mine.write_bytes(b"from a later training")
        return graph(predictor)

    monkeypatch.setattr(serving, "_graph", slow)
    with pytest.raises(ValueError, match=r"mine\.safetensors: changed during the export"):
        export(mine, tmp_path / "mine.onnx")
    assert not (tmp_path / "mine.onnx").exists()


def test_a_file_that_is_too_far_is_not_written(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serving, "MAX_BOX_PX", -1.0)
    assert main(["export", "--onnx", "out/model.onnx", "--model", str(weights)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("localizer export: out/model.onnx: not written: onnxruntime ")
    assert "px on an image of 1000 px (at most -1.0 allowed)" in error
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("folder.onnx", "folder.onnx: expected a file name that ends in .onnx"),
        ("model.safetensors", "model.safetensors: expected a file name that ends in .onnx"),
        ("file/model.onnx", "file: not writable"),
    ],
)
def test_a_path_that_cannot_be_written_is_an_error(
    weights: Path, path: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder.onnx").mkdir()
    Path("file").touch()
    assert main(["export", "--onnx", path, "--model", str(weights)]) == 1
    assert capsys.readouterr().err.startswith(f"localizer export: {message}")


def test_a_missing_model_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--onnx", "out/model.onnx"]) == 1
    assert capsys.readouterr().err.startswith("localizer export: models/localizer.safetensors: no such file")
    assert not Path("out").exists()


def test_a_missing_library_is_an_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert main(["export", "--onnx", "model.onnx"]) == 1
    message = "localizer export: onnxscript: not installed; pip install '.[onnx]' in Localizer's checkout\n"
    assert capsys.readouterr().err == message
