"""Copies are found however they are edited, other images are not, and clusters keep their names."""

import io
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageEnhance, ImageOps

from localizer.datasets.synthetic import write_scenes
from localizer.images.decoding import open_upright
from localizer.probing.duplicates import (
    MAX_DISTANCE,
    Pair,
    cluster_images,
    near_duplicates,
    perceptual_hash,
)

MIRROR = "LOCALIZER_MIRROR"
SCENES = 60

real = pytest.mark.skipif(MIRROR not in os.environ, reason=f"{MIRROR} names no mirror of the real sets")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> list[Image.Image]:
    folder = tmp_path_factory.mktemp("scenes")
    write_scenes(folder, scenes=SCENES, seed=0)
    return [open_upright(path) for path in sorted((folder / "images").iterdir())]


def saved(image: Image.Image, *, quality: int = 90) -> Image.Image:
    """Return what a JPEG of the image decodes to."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=quality)
    return Image.open(io.BytesIO(file.getvalue()))


def resized(image: Image.Image, rng: random.Random) -> Image.Image:
    scale = rng.uniform(0.3, 0.9)
    return saved(image.resize((int(image.width * scale), int(image.height * scale))))


def cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    """Return the image without up to 2% at each edge."""
    left, top, right, bottom = (round(rng.uniform(0, 0.02) * side) for side in image.size * 2)
    return saved(image.crop((left, top, image.width - right, image.height - bottom)))


COPIES: dict[str, Callable[[Image.Image, random.Random], Image.Image]] = {
    "resized": resized,
    "recompressed": lambda image, rng: saved(image, quality=rng.randint(30, 70)),
    "cropped": cropped,
    "brightened": lambda image, rng: saved(ImageEnhance.Brightness(image).enhance(rng.uniform(0.7, 1.3))),
    "gray": lambda image, rng: saved(image.convert("L")),
    "mirrored": lambda image, rng: saved(ImageOps.mirror(image)),
    "mirrored, resized": lambda image, rng: resized(ImageOps.mirror(image), rng),
}


@pytest.mark.parametrize("kind", COPIES)
def test_at_least_19_of_20_planted_copies_are_found_and_nothing_else(scenes: list[Image.Image], kind: str) -> None:
    rng = random.Random(0)
    hashes = [perceptual_hash(image) for image in scenes]
    hashes += [perceptual_hash(COPIES[kind](image, rng)) for image in scenes[:20]]
    pairs = {(pair.first, pair.second): pair.mirrored for pair in near_duplicates(hashes)}
    planted = {(index, SCENES + index): kind.startswith("mirrored") for index in range(20)}
    assert pairs.items() <= planted.items()
    assert len(pairs) >= 19


def test_different_scenes_are_no_duplicates(scenes: list[Image.Image]) -> None:
    assert near_duplicates([perceptual_hash(image) for image in scenes]) == []


def test_the_hash_is_that_of_imagehash_for_64_x_64_gray_pixels() -> None:
    for seed in range(20):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 64), dtype=np.uint8)
        image = Image.fromarray(pixels)
        assert perceptual_hash(image) == str(imagehash.phash(image, hash_size=16))


def test_a_symmetrical_image_has_no_bit_set_by_rounding() -> None:
    half = np.random.default_rng(0).integers(0, 256, (64, 32))
    pixels = np.concatenate([half, half[:, ::-1]], axis=1).astype(np.uint8)  # its odd horizontal frequencies are 0
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(perceptual_hash(Image.fromarray(pixels))), dtype=np.uint8))
    assert bits.reshape(16, 16)[:, 1::2].max() == bits.reshape(16, 16)[:, 1::2].min()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK"])
def test_an_image_has_a_hash_in_every_mode(scenes: list[Image.Image], mode: str) -> None:
    through = "L" if mode in ("L", "LA") else "RGB"
    image = scenes[0].convert(through).convert(mode)
    (pair,) = near_duplicates([perceptual_hash(scenes[0]), perceptual_hash(image)])
    assert pair.distance <= 10


def test_what_is_transparent_counts_as_it_does_for_the_network(scenes: list[Image.Image]) -> None:
    image = scenes[0].convert("RGBA")
    image.putalpha(0)
    assert perceptual_hash(image) == perceptual_hash(scenes[0])


@pytest.mark.parametrize("spread", [0, 1, 2])
def test_a_plain_image_has_no_hash(spread: int) -> None:
    pixels = 100 + np.random.default_rng(0).integers(-spread, spread, (64, 64), endpoint=True)
    assert perceptual_hash(Image.fromarray(pixels.astype(np.uint8))) == ""  # the last deviates by 1.4


def test_a_faint_image_has_a_hash() -> None:
    pixels = 100 + np.random.default_rng(0).integers(-5, 5, (64, 64), endpoint=True)
    assert len(perceptual_hash(Image.fromarray(pixels.astype(np.uint8)))) == 64


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2), (5000, 3)])
def test_an_image_of_any_shape_can_be_hashed(size: tuple[int, int]) -> None:
    assert len(perceptual_hash(Image.effect_noise(size, 80))) in (0, 64)


BASE = np.random.default_rng(5).integers(0, 256, 32, dtype=np.uint8)
ODD = np.tile(np.array([0, 1], dtype=np.uint8), 128)  # columns 1, 3, ... 15 of each of 16 rows


def flipped(*bits: int, mirrored: bool = False) -> str:
    """Return the base hash with these bits turned over; mirrored: those of the odd columns, too."""
    signs = np.unpackbits(BASE)
    signs[list(bits)] ^= 1
    return np.packbits(signs ^ ODD if mirrored else signs).tobytes().hex()


def test_the_distance_is_the_number_of_bits_that_differ() -> None:
    assert near_duplicates([flipped(), flipped(0, 70, 255)]) == [Pair(0, 1, 3, False)]
    assert near_duplicates([flipped(), flipped(0, 70, 255, mirrored=True)]) == [Pair(0, 1, 3, True)]


def test_the_same_hash_is_a_duplicate_and_an_empty_one_is_not() -> None:
    assert near_duplicates(["", flipped(), "", flipped(), ""]) == [Pair(1, 3, 0, False)]


@pytest.mark.parametrize("hashes", [[], [""], ["", ""], [flipped()]])
def test_fewer_than_two_hashes_make_no_pair(hashes: list[str]) -> None:
    assert near_duplicates(hashes) == []


@pytest.mark.parametrize("mirrored", [False, True])
def test_images_are_duplicates_up_to_the_limit(mirrored: bool) -> None:
    at, over = (flipped(*range(count), mirrored=mirrored) for count in (MAX_DISTANCE, MAX_DISTANCE + 1))
    assert near_duplicates([flipped(), at]) == [Pair(0, 1, MAX_DISTANCE, mirrored)]
    assert near_duplicates([flipped(), over]) == []


def test_of_images_that_are_all_alike_the_nearest_pairs_connect_them() -> None:
    # 0 to 1 and 1 to 2 differ by 5 bits, 0 to 2 by 10: the last pair is not needed.
    hashes = [flipped(), flipped(*range(5)), flipped(*range(10))]
    assert near_duplicates(hashes) == [Pair(0, 1, 5, False), Pair(1, 2, 5, False)]


def test_pairs_are_found_in_every_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(32).hex() for _ in range(40)]
    expected = [(0, 39), (3, 4), (11, 30), (12, 13), (20, 25)]
    for first, second in expected:
        hashes[second] = hashes[first]
    for rows, columns in ((256, 8192), (7, 5), (1, 1), (40, 3)):
        monkeypatch.setattr("localizer.probing.hamming.ROWS", rows)
        monkeypatch.setattr("localizer.probing.hamming.COLUMNS", columns)
        assert [pair[:2] for pair in near_duplicates(hashes)] == expected


def test_the_pairs_are_those_that_join_all_at_the_least_distance() -> None:
    """Kruskal's algorithm over every pair, in Python: the lightest first, of equal ones the first."""
    rng = np.random.default_rng(2)
    hashes = [flipped(*rng.choice(256, size=rng.integers(0, 40), replace=False)) for _ in range(50)]
    hashes += [*hashes[:10], flipped(3, mirrored=True), ""]
    expected, joined = [], list(range(len(hashes)))
    for weight, first, second in sorted(every_pair(hashes)):
        if joined[first] != joined[second]:
            expected.append(Pair(first, second, weight // 2, bool(weight % 2)))
            joined = [joined[first] if root == joined[second] else root for root in joined]
    assert near_duplicates(hashes) == sorted(expected)
    assert any(pair.distance == 0 for pair in expected)
    assert any(pair.mirrored for pair in expected)


def every_pair(hashes: list[str]) -> Iterator[tuple[int, int, int]]:
    """Yield twice the distance, plus 1 if mirrored, and the positions of near-duplicates."""
    for second, other in enumerate(hashes):
        for first, one in enumerate(hashes[:second]):
            if one and other:
                differing = int(one, 16) ^ int(other, 16)
                plain, mirrored = differing.bit_count(), (differing ^ int("5" * 64, 16)).bit_count()
                if min(plain, mirrored) <= MAX_DISTANCE:
                    yield min(2 * plain, 2 * mirrored + 1), first, second


def test_pairs_that_come_in_many_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = [flipped(*range(count)) for count in range(40)]
    at_once = near_duplicates(hashes)
    monkeypatch.setattr("localizer.probing.duplicates.MAX_EDGES", 3)
    monkeypatch.setattr("localizer.probing.hamming.ROWS", 2)
    monkeypatch.setattr("localizer.probing.hamming.COLUMNS", 3)
    assert near_duplicates(hashes) == at_once == [Pair(index, index + 1, 1, False) for index in range(39)]


def test_clusters_equal_those_of_comparing_every_pair() -> None:
    rng = np.random.default_rng(1)
    hashes = [flipped(*rng.choice(256, size=rng.integers(15, 50), replace=False)) for _ in range(60)]
    bits = np.array([list(bytes.fromhex(phash)) for phash in hashes], dtype=np.uint8)
    distance = np.bitwise_count(bits[:, None] ^ bits[None]).sum(axis=2)
    near = (distance <= MAX_DISTANCE) | np.eye(60, dtype=bool)
    for _ in range(6):  # 2^6 steps reach everything
        near = (near.astype(int) @ near.astype(int)) > 0
    names = cluster_images(table(*[("", phash, "") for phash in hashes])).names.to_numpy()
    assert np.array_equal(names[:, None] == names[None], near)
    assert 1 < len(set(names)) < 60


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Return images 0.png, 1.png, ... of sha256, phash and group."""
    images = pd.DataFrame(rows, columns=["sha256", "phash", "group"])
    return images.assign(image=[f"{index}.png" for index in range(len(rows))])


def test_a_single_image_is_named_by_its_bytes_else_by_its_name() -> None:
    assert cluster_images(table(("b", "", ""), ("", "", ""))).names.tolist() == ["b", "image:1.png"]


def test_equal_bytes_near_duplicates_and_equal_groups_are_linked_with_the_reason() -> None:
    near, mirrored = flipped(*range(12)), flipped(100, 101, 102, mirrored=True)
    clusters = cluster_images(
        table(("b", flipped(), ""), ("b", flipped(), ""), ("a", near, ""), ("d", "", "p"), ("c", mirrored, "p"))
    )
    assert clusters.names.tolist() == ["group:p"] * 5
    assert clusters.links == [
        (0, 1, "same bytes"),
        (0, 2, "looks the same (12 of 256 bits differ)"),
        (0, 4, "mirrored (3 of 256 bits differ)"),
        (3, 4, "same group p"),
    ]


def test_a_cluster_is_named_by_its_smallest_content() -> None:
    images = table(("c", flipped(), ""), ("a", flipped(1), ""), ("b", "", ""))
    assert cluster_images(images).names.tolist() == ["a", "a", "b"]


def test_twenty_of_twenty_exact_copies_are_in_one_cluster_with_their_originals() -> None:
    names = cluster_images(table(*[(f"{index % 20:02d}", "", "") for index in range(40)])).names
    assert names.tolist() == [f"{index % 20:02d}" for index in range(40)]


def test_neither_the_order_of_images_nor_other_images_change_a_clusters_name() -> None:
    rows = [("c", flipped(), ""), ("a", flipped(1), ""), ("b", "", "x"), ("d", "", "x"), ("e", "", "")]
    images = table(*rows, *[(f"new {index}", "", "") for index in range(5)])
    before = cluster_images(images[:5]).names.tolist()
    shuffled = images.sample(frac=1, random_state=3)
    assert cluster_images(shuffled).names.sort_index()[:5].tolist() == before == ["a", "a", "group:x", "group:x", "e"]


def test_images_without_hashes_are_joined_only_by_group() -> None:
    names = cluster_images(table(("", "", "v1"), ("", "", "v1"), ("", "", ""), ("", "", ""))).names
    assert names.tolist() == ["group:v1", "group:v1", "image:2.png", "image:3.png"]


def test_a_table_without_hashes_and_groups_is_joined_by_bytes() -> None:
    images = table(("b", "", ""), ("b", "", ""), ("a", "", "")).drop(columns=["phash", "group"])
    assert cluster_images(images.set_axis([7, 5, 3])).names.to_dict() == {7: "b", 5: "b", 3: "a"}


def test_no_images_have_no_clusters() -> None:
    clusters = cluster_images(table())
    assert clusters.names.empty
    assert clusters.links == []


def groups_of(folder: Path, pattern: str) -> set[frozenset[int]]:
    """Return the clusters of 2 or more near-duplicates, as the numbers in the files' names."""
    paths = sorted(folder.glob(pattern))
    assert len(paths) > 100
    numbers = [int("".join(filter(str.isdigit, path.stem))) for path in paths]
    names = cluster_images(table(*[("", perceptual_hash(open_upright(path)), "") for path in paths])).names
    groups = pd.Series(numbers).groupby(names).agg(frozenset)
    return {group for group in groups if len(group) > 1}


@real
def test_the_repeated_raccoons_are_found_and_no_other() -> None:
    folder = Path(os.environ[MIRROR], "datitran/raccoon_dataset/images")
    pairs = [{11, 116}, {83, 120}, {65, 98}, {50, 52, 74}, {21, 45}, {51, 85}]
    assert groups_of(folder, "*.jpg") == {frozenset(pair) for pair in pairs}


@real
def test_the_field_of_blood_cells_that_was_photographed_twice_is_found_and_no_other() -> None:
    """BloodImage_00037 and 00038 show one place of a slide, refocused between the two exposures."""
    folder = Path(os.environ[MIRROR], "Shenggan/BCCD_Dataset/BCCD/JPEGImages")
    assert groups_of(folder, "*.jpg") == {frozenset({37, 38})}
