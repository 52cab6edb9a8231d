"""`localizer predict`, called as a function, with a small network that predicts the centered half of any image."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from localizer.calibration import Calibration
from localizer.cli import main
from localizer.images.decoding import MAX_PIXELS
from localizer.model.localizer import Architecture, Localizer
from localizer.model.saving import save
from localizer.predictor import Predictor
from localizer.serving import prediction_drawing

SMALL = Architecture(depth=18)
SOURCES = Path(prediction_drawing.__file__).parents[2]
MAGENTA, WHITE = (230, 0, 126), (255, 255, 255)
HEAD = "image,xmin_px,ymin_px,xmax_px,ymax_px,margin_px,confident,width,height,error"
# A new head predicts the centered half; the margin is 0.25 of (40 + 20) / 2.
PREDICTION = {"box_xyxy_px": [20.0, 10.0, 60.0, 30.0], "margin_px": 7.5, "confident": True, "width": 80, "height": 40}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "localizer.safetensors"
    fields: dict[str, Any] = {"params": {}, "calibration": Calibration(20, 0.25, 0.9)}
    save(path, Localizer(SMALL), image_size=32, label="cat", best_epoch=1, val_iou=0.5, **fields)
    return path


@pytest.fixture(autouse=True)
def _default_model(weights: Path, tmp_path: Path) -> None:
    """Link the model where `predict` finds it without --model."""
    (tmp_path / "models").mkdir()
    for path in (weights, weights.with_suffix(".json")):
        (tmp_path / "models" / path.name).symlink_to(path)


def photo(name: str = "photo.jpg") -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (80, 40), "white").save(name)
    return name


def broken(name: str = "bad.jpg") -> str:
    Path(name).write_bytes(Path(photo(name)).read_bytes()[:-20])
    return name


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def prediction(name: str) -> dict[str, Any]:
    return {"image": name} | PREDICTION


def pixel(path: str, xy: tuple[int, int]) -> object:
    with Image.open(path) as image:
        return image.getpixel(xy)


def test_one_line_per_image_is_printed_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo("b.jpg"), photo("a.jpg"), "b.jpg"]) == 0
    assert rows(capsys.readouterr().out) == [prediction("b.jpg"), prediction("a.jpg"), prediction("b.jpg")]


def test_another_model_is_used(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("models/localizer.safetensors").unlink()
    assert main(["predict", photo(), "--model", str(weights)]) == 0
    assert rows(capsys.readouterr().out) == [prediction("photo.jpg")]


def test_a_missing_model_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("models/localizer.safetensors").unlink()
    assert main(["predict", photo()]) == 1
    error = capsys.readouterr().err
    assert error.startswith("localizer predict: models/localizer.safetensors: no such file; train it with `dvc repro`")
    assert error.count("\n") == 1


def test_a_model_among_the_images_is_refused_with_the_right_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "models/localizer.safetensors", "a b.jpg", "--draw", "drawn"]) == 1
    assert capsys.readouterr().err.endswith("write: localizer predict 'a b.jpg' --model models/localizer.safetensors\n")
    assert not Path("drawn").exists()


def test_images_after_a_bad_one_are_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", broken(), "missing.jpg", photo()]) == 1
    bad, missing, good = rows(capsys.readouterr().out)
    assert "truncated" in bad["error"]
    assert missing == {"image": "missing.jpg", "error": "no such file"}
    assert good == prediction("photo.jpg")


def test_folders_globs_and_standard_input_are_predicted_in_order(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("in/1.jpg", "in/2/3.jpg", "4.jpg", "5.jpg"):
        photo(name)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"5.jpg\n")))
    assert main(["predict", "in", "[0-4].jpg", "-"]) == 0
    images = [row["image"] for row in rows(capsys.readouterr().out)]
    assert images == ["in/1.jpg", "in/2/3.jpg", "4.jpg", "5.jpg"]


def test_a_folder_without_images_is_a_failure_among_the_predictions(capsys: pytest.CaptureFixture[str]) -> None:
    Path("empty").mkdir()
    assert main(["predict", "empty", photo()]) == 1
    empty, good = rows(capsys.readouterr().out)
    assert (empty["image"], empty["error"][:23]) == ("empty", "a folder without images")
    assert good == prediction("photo.jpg")


@pytest.mark.parametrize("batch", ["1", "2", "5"])
def test_predictions_are_the_same_in_batches_of_any_size(batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    images = [photo("1.jpg"), "none.jpg", photo("2.jpg"), photo("3.jpg")]
    assert main(["predict", *images, "--batch", batch]) == 1
    missing = {"image": "none.jpg", "error": "no such file"}
    assert rows(capsys.readouterr().out) == [prediction("1.jpg"), missing, prediction("2.jpg"), prediction("3.jpg")]


def test_a_batch_is_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    compute = Predictor._predict_batch

    def recorded(self: Predictor, some: Any) -> Any:
        sizes.append(len(some))
        return compute(self, some)

    monkeypatch.setattr(Predictor, "_predict_batch", recorded)
    assert main(["predict", photo(), "photo.jpg", "photo.jpg", "--batch", "2"]) == 0
    assert sizes == [2, 1]


def test_a_batch_that_does_not_fit_into_memory_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def compute(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(Predictor, "_predict_batch", compute)
    assert main(["predict", photo(), "--batch", "7"]) == 1
    assert "out of memory: --batch 7 on cpu" in capsys.readouterr().err


@pytest.mark.parametrize("batch", ["0", "-1", "x", "99999999999999999999"])
def test_a_batch_size_out_of_range_is_refused(batch: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "a.jpg", "--batch", batch])
    assert "localizer predict: Invalid value for '--batch': " in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--output", "--draw"])
def test_an_empty_name_is_not_the_working_directory(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict", "a.jpg", option, ""])
    assert f"Invalid value for '{option}': an empty name" in capsys.readouterr().err


@pytest.mark.parametrize(("stream", "message"), [("stdin", "-: standard input is"), ("stdout", "standard output is")])
def test_a_closed_stream_that_is_needed_is_an_error(
    stream: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, stream, None)
    assert main(["predict", "-"]) == 1
    assert capsys.readouterr().err.startswith(f"localizer predict: {message} closed; ")


def test_csv_has_one_column_per_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo(), "gone.jpg", "--format", "csv"]) == 1
    box = "photo.jpg,20.0,10.0,60.0,30.0,7.5,true,80,40,"
    assert capsys.readouterr().out.splitlines() == [HEAD, box, "gone.jpg,,,,,,,,,no such file"]


def test_csv_leaves_confident_empty_without_calibration(capsys: pytest.CaptureFixture[str]) -> None:
    card = Path("models/localizer.json")
    text = card.read_text().replace('"agreement": 0.9', '"agreement": null')
    card.unlink()
    card.write_text(text)
    assert main(["predict", photo(), "--format", "csv"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "photo.jpg,20.0,10.0,60.0,30.0,7.5,,80,40,"


def test_any_name_survives_json_and_csv() -> None:
    odd = [photo(name) for name in ('a,"b".jpg', "two\nlines.jpg", "carriage\rreturn.jpg", "ünï 图.jpg", " .jpg")]
    assert main(["predict", *odd, "--output", "a.jsonl"]) == 0
    assert main(["predict", *odd, "--output", "a.csv", "--format", "csv"]) == 0
    assert rows(Path("a.jsonl").read_text("utf-8")) == [prediction(name) for name in odd]
    with Path("a.csv").open(encoding="utf-8", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == odd


def test_a_name_that_is_not_utf_8_is_escaped() -> None:
    name = os.fsdecode(b"\xff.jpg")
    Path(photo()).rename(name)
    assert main(["predict", name, "--output", "a.jsonl"]) == 0
    assert main(["predict", name, "--output", "a.csv", "--format", "csv"]) == 0
    assert rows(Path("a.jsonl").read_text("ascii")) == [prediction(name)]
    assert Path("a.csv").read_text("utf-8").splitlines()[1].startswith(r"\udcff.jpg,20.0,")


def test_an_output_file_has_what_would_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", photo(), broken()]
    assert main(command) == 1
    printed = capsys.readouterr().out
    assert main([*command, "--output", "new/a.jsonl"]) == 1
    assert Path("new/a.jsonl").read_text() == printed
    assert capsys.readouterr().out == ""


def test_an_output_file_is_replaced_atomically(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(*_: object) -> None:
        raise ValueError("the network returns NaN")

    Path("a.jsonl").write_text("before")
    monkeypatch.setattr(Predictor, "_predict_batch", compute)
    assert main(["predict", "gone.jpg", photo(), "--output", "a.jsonl", "--batch", "1"]) == 1
    assert Path("a.jsonl").read_text() == "before"
    assert sorted(path.name for path in Path().iterdir()) == ["a.jsonl", "models", "photo.jpg"]


@pytest.mark.parametrize("output", ["photo.jpg", "link.jsonl", "models/localizer.safetensors"])
def test_an_output_file_never_overwrites_an_image_or_a_model(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(photo()).read_bytes()
    Path("link.jsonl").symlink_to("photo.jpg")
    assert main(["predict", "photo.jpg", "--output", output]) == 1
    assert f"--output {output}: a model, or one of the images; name another file" in capsys.readouterr().err
    assert Path("photo.jpg").read_bytes() == before


def test_an_output_that_is_a_folder_is_refused_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("models/localizer.safetensors").unlink()
    assert main(["predict", photo(), "--output", "models"]) == 1
    assert "--output models: not a regular file" in capsys.readouterr().err


def test_an_output_that_is_a_loop_of_links_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    Path("loop").symlink_to("loop")
    assert main(["predict", photo(), "--output", "loop"]) == 1
    assert "--output loop: a loop of links; name another file" in capsys.readouterr().err


@pytest.mark.parametrize("output", [[], ["--output", "a.jsonl"]])
def test_the_number_of_failures_is_printed_unless_the_output_is_a_terminal(
    output: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "gone.jpg", photo(), *output]) == 1
    message = "localizer predict: 1 of 2 images failed; see `error` in the output\n"
    assert capsys.readouterr().err == message


def test_pillows_warnings_about_metadata_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    Image.new("RGB", (80, 40)).save("photo.jpg", exif=exif)
    content = Path("photo.jpg").read_bytes()
    assert content.count(b"\x00\x08\x00\x01\x01\x12") == 1  # one entry, a tag of EXIF
    Path("photo.jpg").write_bytes(content.replace(b"\x00\x08\x00\x01\x01\x12", b"\x00\x08\x00\xff\x01\x12"))
    assert main(["predict", "photo.jpg"]) == 0
    assert rows(capsys.readouterr().out) == [prediction("photo.jpg")]


def test_there_is_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo(), "--output", "a.jsonl"]) == 0
    assert capsys.readouterr().err == ""


def test_the_progress_bar_on_a_terminal_counts_images(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["predict", photo(), "photo.jpg", "--output", "a.jsonl"]) == 0
    progress = capsys.readouterr().err
    assert "2/2" in progress


def test_a_closed_pipe_ends_it_quietly(weights: Path) -> None:
    photo()
    command = [sys.executable, "-m", "localizer.cli", "predict", *["photo.jpg"] * 5, "--batch", "1"]
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "PYTHONUNBUFFERED": ""}  # else nothing remains to flush
    with subprocess.Popen([*command, "--model", str(weights)], env=environment, **streams) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        errors = process.stderr.read()
    assert (process.returncode, errors) == (141, b"")


def test_the_box_is_drawn_and_the_rest_of_the_image_unchanged() -> None:
    assert main(["predict", photo(), "--draw", "drawn"]) == 0
    assert pixel("drawn/photo.png", (20, 20)) == MAGENTA
    assert pixel("drawn/photo.png", (40, 20)) == WHITE
    assert pixel("drawn/photo.png", (12, 20)) == WHITE


def test_the_margin_is_drawn_around_the_box() -> None:
    assert main(["predict", photo(), "--draw", "drawn", "--margin"]) == 0
    dashes = {(12, 2), (67, 2), (12, 37), (12, 20 - 4)}  # from 20 - 7.5, 10 - 7.5 to 60 + 7.5, 30 + 7.5, each 7 pixels
    assert {pixel("drawn/photo.png", xy) for xy in dashes} == {MAGENTA}
    assert pixel("drawn/photo.png", (12 + 4, 2)) == WHITE
    assert pixel("drawn/photo.png", (20, 20)) == MAGENTA


def test_a_margin_outside_the_image_is_drawn_along_its_edge() -> None:
    card = Path("models/localizer.json")
    text = card.read_text().replace('"margin": 0.25', '"margin": 9.0')
    card.unlink()
    card.write_text(text)
    assert main(["predict", photo(), "--draw", "drawn", "--margin"]) == 0
    assert {pixel("drawn/photo.png", xy) for xy in {(0, 0), (79, 0), (0, 39), (0, 21), (42, 39)}} == {MAGENTA}


def test_a_margin_without_drawings_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo(), "--margin"]) == 1
    assert "add --draw DIR" in capsys.readouterr().err


def test_an_image_without_a_box_is_not_drawn() -> None:
    assert main(["predict", broken(), photo(), "--draw", "drawn"]) == 1
    assert [path.name for path in Path("drawn").iterdir()] == ["photo.png"]


def test_an_image_that_is_deleted_before_it_is_drawn_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compute = Predictor._predict_batch

    def gone(self: Predictor, some: Any) -> Any:
        Path("photo.jpg").unlink()
        return compute(self, some)

    monkeypatch.setattr(Predictor, "_predict_batch", gone)
    assert main(["predict", photo(), "--draw", "drawn"]) == 1
    assert rows(capsys.readouterr().out) == [{"image": "photo.jpg", "error": "can't be drawn: no such file"}]


def test_drawings_of_a_folder_keep_its_sub_folders() -> None:
    for name in ("in/1/a.jpg", "in/2/a.jpg"):
        photo(name)
    assert main(["predict", "in", "--draw", "drawn"]) == 0
    assert sorted(path.as_posix() for path in Path("drawn").rglob("*.png")) == ["drawn/1/a.png", "drawn/2/a.png"]


def test_drawings_of_images_that_differ_in_their_suffix_keep_it() -> None:
    for name in ("in/a.jpg", "in/a.bmp", "in/b.jpg"):
        photo(name)
    assert main(["predict", "in", "--draw", "drawn"]) == 0
    assert sorted(path.name for path in Path("drawn").iterdir()) == ["a.bmp.png", "a.jpg.png", "b.png"]


def test_no_drawing_overwrites_another(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", photo("1/a.jpg"), photo("2/a.jpg"), "--draw", "drawn"]) == 1
    assert "two images of the same name, 1/a.jpg and 2/a.jpg" in capsys.readouterr().err
    assert not Path("drawn").exists()


def test_an_image_that_is_given_twice_is_drawn_once() -> None:
    assert main(["predict", photo(), "photo.jpg", "--draw", "drawn"]) == 0
    assert [path.name for path in Path("drawn").iterdir()] == ["photo.png"]


@pytest.mark.parametrize("image", ["in/photo.png", "photo.jpg"])
def test_no_drawing_overwrites_its_image(image: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(photo("in/photo.png")).read_bytes()
    Path("photo.jpg").symlink_to("in/photo.png")
    assert main(["predict", image, "--draw", "in"]) == 1
    assert "in/photo.png is one of the images" in capsys.readouterr().err
    assert Path("in/photo.png").read_bytes() == before


def test_no_drawing_overwrites_a_file_that_is_no_drawing(capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(photo("in/photo.png")).read_bytes()
    assert main(["predict", photo("in/photo.jpg"), "--draw", "in"]) == 1
    assert "in/photo.png exists and was not drawn by predict" in capsys.readouterr().err
    assert Path("in/photo.png").read_bytes() == before


def test_the_same_command_overwrites_its_drawings() -> None:
    for _ in range(2):
        assert main(["predict", photo(), "--draw", "drawn"]) == 0
    Image.new("RGB", (80, 40), "black").save("photo.jpg")
    assert main(["predict", "photo.jpg", "--draw", "drawn"]) == 0
    assert pixel("drawn/photo.png", (40, 20)) == (0, 0, 0)


@pytest.mark.parametrize("draw", ["in", "in/drawn"])
def test_drawings_in_the_images_folder_are_not_predicted_by_the_next_run(
    draw: str, capsys: pytest.CaptureFixture[str]
) -> None:
    photo("in/a.jpg")
    for _ in range(2):
        assert main(["predict", "in", "--draw", draw]) == 0
        assert rows(capsys.readouterr().out) == [prediction("in/a.jpg")]
    assert main(["predict", "in/**", "--draw", draw]) == 0
    assert rows(capsys.readouterr().out) == [prediction("in/a.jpg")]


def test_a_drawing_that_can_not_be_written_is_a_failure_and_the_rest_is_predicted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "x" * 247 + ".jpg"  # too long a name with the suffix of temporary files
    assert main(["predict", photo(long), photo(), "--draw", "drawn"]) == 1
    failed, good = rows(capsys.readouterr().out)
    assert failed == {"image": long, "error": "can't be drawn: File name too long"}
    assert good == prediction("photo.jpg")


def test_names_too_long_for_drawings_are_failures(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["x" * 251 + suffix for suffix in (".jpg", ".bmp")]  # both of which keep their suffix
    assert main(["predict", *map(photo, names), "--draw", "drawn"]) == 1
    assert [row["error"] for row in rows(capsys.readouterr().out)] == ["can't be drawn: File name too long"] * 2


def test_a_folder_for_drawings_that_is_a_file_is_refused_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("models/localizer.safetensors").unlink()
    assert main(["predict", photo(), "--draw", "photo.jpg"]) == 1
    assert "--draw photo.jpg: not a folder; name another" in capsys.readouterr().err


def test_a_folder_for_drawings_that_can_not_be_made_is_refused_before_the_model_is_loaded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("models/localizer.safetensors").unlink()
    assert main(["predict", photo(), "--draw", "photo.jpg/drawn"]) == 1
    assert "photo.jpg/drawn: not writable: Not a directory" in capsys.readouterr().err


def test_an_image_over_the_size_limit_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("1", (MAX_PIXELS // 1000, 1001)).save("large.png")
    assert main(["predict", "large.png"]) == 1
    assert "over the limit of 40 megapixels" in capsys.readouterr().out


def test_no_images_is_a_usage_error() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["predict"])
