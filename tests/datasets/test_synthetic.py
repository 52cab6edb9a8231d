"""The demo data set: the same for the same seed, and boxes that hold their ink tightly."""

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from localizer.config import load
from localizer.datasets import synthetic
from localizer.datasets.synthetic import HEADER, INK, SIDES_PX, DemoParams, render_scene, write_scenes

SCENES = 12


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    write_scenes(folder, scenes=SCENES, seed=3)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "annotations.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_same_seed_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, scenes=SCENES, seed=3)
    assert files(tmp_path) == files(made)


def test_another_seed_gives_other_images_and_boxes(made: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, scenes=SCENES, seed=4)
    first, second = files(made), files(tmp_path)
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_a_larger_set_begins_with_the_smaller_one(made: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path, scenes=5, seed=3)
    smaller, larger = files(tmp_path), files(made)
    images = [name for name in smaller if name.startswith("images/")]
    assert len(images) == 5
    assert all(smaller[name] == larger[name] for name in images)
    assert larger["annotations.csv"].startswith(smaller["annotations.csv"])


def test_the_table_has_one_row_per_image_with_its_true_size(made: Path) -> None:
    table = rows(made)
    assert tuple(table[0]) == HEADER
    assert [row["image"] for row in table] == [f"{index:06d}.jpg" for index in range(SCENES)]
    for row in table:
        with Image.open(made / "images" / row["image"]) as image:
            assert (image.width, image.height, image.mode) == (int(row["width"]), int(row["height"]), "RGB")


def test_every_box_has_an_area_and_lies_within_its_image(made: Path) -> None:
    for row in rows(made):
        xmin, ymin, xmax, ymax, width, height = (int(row[name]) for name in HEADER[2:])
        assert 0 <= xmin < xmax <= width
        assert 0 <= ymin < ymax <= height


def test_images_and_boxes_come_in_several_sizes(made: Path) -> None:
    table = rows(made)
    assert len({(row["width"], row["height"]) for row in table}) > SCENES / 2
    assert all(SIDES_PX[0] <= int(row[side]) <= SIDES_PX[1] for row in table for side in ("width", "height"))
    assert len({int(row["xmax"]) - int(row["xmin"]) for row in table}) > SCENES / 2


def test_digits_lie_everywhere_and_not_only_in_the_center(made: Path) -> None:
    centres = [(int(row["xmin"]) + int(row["xmax"])) / 2 / int(row["width"]) for row in rows(made)]
    assert min(centres) < 0.4
    assert max(centres) > 0.6


def test_the_box_contains_all_ink_and_each_of_its_sides_touches_some(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = np.full((400, 600, 3), 128, dtype=np.uint8)
    digit = np.zeros((8, 8))
    digit[1:7, 2:5] = 1  # a bar with empty borders, which a box around the whole stamp would take in
    monkeypatch.setattr(synthetic, "_clutter", lambda rng, canvas: None)
    for index in range(20):
        image, box_px = render_scene(np.random.default_rng([0, index]), photos=[photo], digits=[digit])
        xmin, ymin, xmax, ymax = box_px
        changed = ink(image)
        strong = changed >= INK * changed.max()
        assert changed[outside(changed.shape, box_px)].max() == 0
        inside = strong[ymin:ymax, xmin:xmax]
        assert all(side.any() for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))


def ink(image: Image.Image) -> NDArray[np.float64]:
    """Return how far each pixel is from the plain background."""
    return np.abs(np.asarray(image, dtype=np.float64) - 128).max(axis=2)


def outside(shape: tuple[int, ...], box_px: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.ones(shape, dtype=bool)
    mask[box_px[1] : box_px[3], box_px[0] : box_px[2]] = False
    return mask


def test_the_digits_color_is_far_from_what_is_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "_clutter", lambda rng, canvas: None)
    photo = np.full((400, 600, 3), 128, dtype=np.uint8)
    for index in range(20):
        image, box_px = render_scene(np.random.default_rng(index), photos=[photo], digits=[np.ones((8, 8))])
        left, top, right, bottom = box_px
        color = np.asarray(image.crop((left, top, right, bottom)), dtype=np.float64).reshape(-1, 3).mean(axis=0)
        assert np.linalg.norm(color - 128) > 146  # a third of the RGB diagonal, less the rounding


@pytest.mark.parametrize("wrong", ["scenes: 0", "scenes: 1.5", "scenes: 2000000"])
def test_a_wrong_number_of_scenes_is_refused(tmp_path: Path, wrong: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(f"demo: {{seed: 0, {wrong}}}")
    with pytest.raises(ValueError, match=r"demo\.scenes: "):
        load("demo", DemoParams, path=path)


def test_the_stage_makes_what_its_params_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text("demo: {scenes: 2, seed: 3}\n")
    synthetic.main()
    assert (synthetic.RAW / "images" / "000001.jpg").read_bytes() == (made / "images" / "000001.jpg").read_bytes()
    assert len(rows(synthetic.RAW)) == 2
