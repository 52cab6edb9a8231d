"""The command `localizer`, called as a function."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from localizer.calibration import Calibration
from localizer.cli import main
from localizer.model.localizer import Architecture, Localizer
from localizer.predictor import save

SMALL = Architecture(depth=18, head="grid", grid=1)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "localizer.safetensors"
    told = {"params": {}, "calibration": Calibration(20, 0.25, 0.9)}
    save(path, Localizer(SMALL), image_size=32, label="cat", best_epoch=1, val_iou=0.5, **told)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (80, 40), "white").save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_predict_prints_a_line_an_image(weights: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(weights), str(photo), str(photo)]) == 0
    told = {"margin_px": 7.5, "confident": True}  # 0.25 of (40 + 20) / 2
    wanted = {"image": str(photo), "box_xyxy_px": [20.0, 10.0, 60.0, 30.0], **told, "width": 80, "height": 40}
    assert lines(capsys) == [wanted, wanted]  # a fresh head answers the centred half


def test_predict_goes_on_after_a_bad_image(weights: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo.with_name("bad.jpg").write_bytes(photo.read_bytes()[:-20])
    assert main(["predict", str(weights), str(photo.with_name("bad.jpg")), "missing.jpg", str(photo)]) == 1
    bad, missing, good = lines(capsys)
    assert "truncated" in str(bad["error"])
    assert missing == {"image": "missing.jpg", "error": "no such file"}
    assert "box_xyxy_px" in good


def test_predict_draws_the_box(weights: Path, photo: Path, tmp_path: Path) -> None:
    assert main(["predict", str(weights), str(photo), "--draw", str(tmp_path / "drawn")]) == 0
    picture = Image.open(tmp_path / "drawn" / "photo.png")
    assert picture.getpixel((20, 20)) == (230, 0, 126)
    assert picture.getpixel((40, 20)) == (255, 255, 255)


def test_predict_draws_no_picture_over_another(
    weights: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(weights), str(photo), "other/photo.png", "--draw", str(tmp_path / "drawn")]) == 1
    assert "two images of the same name" in capsys.readouterr().err
    assert not (tmp_path / "drawn").exists()


def test_predict_draws_no_picture_over_its_image(
    weights: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = photo.rename(tmp_path / "photo.png")
    before = own.read_bytes()
    assert main(["predict", str(weights), str(own), "--draw", str(tmp_path)]) == 1
    assert "photo.png is one of the images" in capsys.readouterr().err
    assert own.read_bytes() == before


def test_a_missing_model_is_one_line(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "none.safetensors", str(photo)]) == 1
    assert capsys.readouterr().err.startswith("localizer predict: none.json: no such file")


def test_init_names_the_columns_that_it_cannot_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "boxes.csv").write_text("photo,a,b,c\nx,1,2,3\n")
    assert main(["init", "mine", "--annotations", str(tmp_path / "boxes.csv"), "--images", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "boxes.csv:1: columns_unknown got the columns photo, a, b, c, wanted" in error
    assert "; say --image-column and --box-columns, in the order of --box-format" in error


def test_a_missing_csv_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "mine", "--annotations", "none.csv", "--images", str(tmp_path)]) == 1
    assert "none.csv: no" in capsys.readouterr().err


def test_wrong_use_exits_with_2() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict"])
