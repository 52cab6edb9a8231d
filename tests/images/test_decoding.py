"""Reading images: upright RGB from every mode and orientation, and a named file for every fault."""

import io
import os
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from localizer.images import decoding
from localizer.images.decoding import (
    MAX_SCANS,
    OUT_OF_MEMORY,
    THREADS,
    ImageError,
    decode,
    open_image,
    open_rgb,
    open_upright,
    read_header,
    read_squares,
    to_square,
)

ORIENTATION = 0x0112
RED, BLUE = (255, 0, 0), (0, 0, 255)


def noise(width: int = 60, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(width: int, height: int, *, bits: int = 8, colour: int = 2, pixels: bytes = b"") -> bytes:
    """Return a PNG made by hand: a header that says what it likes, and the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return the image as a camera stores it that leaves the turning to the viewer: the inverse of EXIF's rule."""
    inverse = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored turned to the left: to be shown turned to the right
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image.transpose(inverse[orientation])


def reason(path: Path) -> str:
    """Return why the file is refused; its message names the file."""
    with pytest.raises(ImageError) as error:
        open_rgb(path)
    assert str(error.value) == f"{path}: {error.value.reason}"
    return error.value.reason


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_an_image_is_turned_upright_as_its_exif_orientation_says(tmp_path: Path, orientation: int, suffix: str) -> None:
    upright = Image.new("RGB", (64, 32), BLUE)
    upright.paste(RED, (0, 0, 16, 16))  # a red corner at the top left
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    path = tmp_path / f"a.{suffix}"
    turned(upright, orientation).save(path, exif=exif)

    found = open_rgb(path)

    assert found.size == (64, 32)
    assert np.abs(np.asarray(found, dtype=int) - np.asarray(upright, dtype=int))[2:14, 2:14].max() < 10
    red = np.asarray(found)[:, :, 0]
    corners = {(x, y): bool(red[y, x] > 128) for x, y in ((4, 4), (60, 4), (4, 28), (60, 28))}
    assert corners == {(4, 4): True, (60, 4): False, (4, 28): False, (60, 28): False}


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [
        *((3, 1, struct.pack("<HH", orientation, 0)) for orientation in (0, 1, 9, 65535)),
        *((4, 1, struct.pack("<I", orientation)) for orientation in (0, 65537)),
        (2, 2, b"6\0\0\0"),  # a text
    ],
)
def test_an_orientation_that_means_nothing_turns_nothing_and_is_1_in_the_header(
    tmp_path: Path, kind: int, count: int, value: bytes
) -> None:
    exif = b"Exif\0\0II*\0" + struct.pack("<IHHHI", 8, 1, ORIENTATION, kind, count) + value + bytes(4)
    noise().save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(np.asarray(open_rgb(tmp_path / "a.png")), np.asarray(noise()))
    with open_image(tmp_path / "a.png") as image:
        assert read_header(image).orientation == 1


@pytest.mark.parametrize(
    ("mode", "colour", "suffix", "expected"),
    [
        ("L", 100, "png", (100, 100, 100)),
        ("L", 100, "jpg", (100, 100, 100)),
        ("1", 1, "png", (255, 255, 255)),
        ("LA", (100, 7), "png", (100, 100, 100)),
        ("RGBA", (10, 20, 30, 0), "png", (10, 20, 30)),  # alpha is dropped, not laid on a colour
        ("RGBA", (10, 20, 30, 255), "png", (10, 20, 30)),
        ("RGB", (10, 20, 30), "bmp", (10, 20, 30)),
        ("RGB", (10, 20, 30), "tif", (10, 20, 30)),
        ("RGB", (10, 20, 30), "ppm", (10, 20, 30)),
        ("CMYK", (0, 255, 255, 0), "jpg", (254, 0, 0)),  # no cyan, all magenta and yellow: red
        ("CMYK", (0, 255, 255, 0), "tif", (255, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(
    tmp_path: Path, mode: str, colour: int | tuple[int, ...], suffix: str, expected: tuple[int, int, int]
) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new(mode, (8, 6), colour).save(path)
    found = open_rgb(path)
    assert (found.mode, found.size) == ("RGB", (8, 6))
    assert found.getpixel((3, 3)) == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"])
def test_a_palette_becomes_its_colours_also_where_some_are_transparent(
    tmp_path: Path, transparency: int | bytes | None
) -> None:
    image = Image.new("P", (8, 6), 1)
    image.putpalette([*BLUE, *RED])
    given: dict[str, Any] = {} if transparency is None else {"transparency": transparency}
    image.save(tmp_path / "a.png", **given)
    found = open_rgb(tmp_path / "a.png")
    assert (found.mode, found.getpixel((3, 3))) == ("RGB", RED)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGB"])
def test_an_upright_image_keeps_its_own_mode(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (8, 6)).save(tmp_path / "a.tif")
    assert open_upright(tmp_path / "a.tif").mode == mode


def test_the_content_tells_the_format_and_not_the_suffix(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.jpg", "PNG")
    assert np.array_equal(np.asarray(open_rgb(tmp_path / "a.jpg")), np.asarray(noise()))


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), RED).save(tmp_path / "a.png")
    assert open_rgb(tmp_path / "a.png").size == (1, 1)


@pytest.mark.parametrize("content", [b"<html>not found</html>", b"\xff\xd8\xff", b"GIF89a", b"BM", b"%PDF-1.4"])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    assert reason(path).startswith("not an image of a supported format (JPEG, PNG")


def test_a_format_that_is_not_listed_is_refused(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.jpg", "TGA")
    assert reason(tmp_path / "a.jpg").startswith("not an image of a supported format")


def test_a_truncated_jpeg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    noise().save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    assert "truncated" in reason(path)


def test_a_truncated_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise().save(path)
    path.write_bytes(path.read_bytes()[:2_000])
    assert "truncated" in reason(path)


def test_a_corrupt_png_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise().save(path)
    content = bytearray(path.read_bytes())
    content[2_000:2_010] = bytes(10)
    path.write_bytes(content)
    assert "broken" in reason(path)


def test_a_header_of_50_000_x_50_000_is_refused_without_making_room_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(50_000, 50_000))
    tracemalloc.start()
    try:
        assert reason(path) == "50000 x 50000 pixels, over the limit of 40 megapixels"
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_an_image_over_40_megapixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8_001, 5_000))  # without a single pixel: decoding would say truncated
    assert reason(path) == "8001 x 5000 pixels, over the limit of 40 megapixels"


def test_an_image_of_just_40_megapixels_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8_000, 5_000))
    assert "truncated" in reason(path)  # so it came to decoding


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "png", "avif"])
def test_an_image_with_several_frames_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.new("RGB", (8, 8), RED).save(path, save_all=True, append_images=[Image.new("RGB", (8, 8), BLUE)])
    assert reason(path) == "several frames; expected a single image"


def test_the_frames_of_a_tiff_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    file, small = io.BytesIO(), Image.new("L", (1, 1))
    small.save(file, "TIFF", save_all=True, append_images=[small] * 49)
    directories = []
    load = TiffImagePlugin.ImageFileDirectory_v2.load

    def noted(self: TiffImagePlugin.ImageFileDirectory_v2, fp: IO[bytes]) -> None:
        directories.append(1)
        load(self, fp)

    monkeypatch.setattr(TiffImagePlugin.ImageFileDirectory_v2, "load", noted)
    with open_image(Path("a.tif"), file.getvalue()) as image:
        assert read_header(image).frames == 2  # which stands for several
    with pytest.raises(ImageError, match="several frames"):
        open_rgb(Path("a.tif"), file.getvalue())
    assert len(directories) < 10


def progressive(*, scans: int = 10, behind_start: bytes = b"", behind_end: bytes = b"") -> bytes:
    """Return a progressive JPEG: the 10 scans that Pillow writes and then empty ones, which change nothing."""
    file = io.BytesIO()
    noise().save(file, "JPEG", progressive=True)
    content = file.getvalue()
    assert content.count(b"\xff\xda") == 10
    last = content.rindex(b"\xff\xda")
    empty = content[last : last + 10]  # marker, a length of 8, one component, its bits
    return content[:2] + behind_start + content[2:-2] + empty * (scans - 10) + content[-2:] + behind_end


def test_a_jpeg_of_more_than_100_scans_is_refused(tmp_path: Path) -> None:
    assert MAX_SCANS == 100
    (tmp_path / "a.jpg").write_bytes(progressive(scans=101))
    assert reason(tmp_path / "a.jpg") == "a JPEG of more than 100 scans; save it again with an ordinary encoder"
    (tmp_path / "a.jpg").write_bytes(progressive(scans=100))
    assert open_rgb(tmp_path / "a.jpg").size == (60, 40)


@pytest.mark.parametrize(
    "more",
    [
        {"behind_start": b"\xff\xe5\x02\x02" + b"\xff\xda" * 256},  # metadata of 512 bytes
        {"behind_end": b"\xff\xda" * 256},  # a film
    ],
)
def test_what_looks_like_scans_in_metadata_or_behind_the_picture_is_none(more: dict[str, Any]) -> None:
    found, plain = (open_rgb(Path("a.jpg"), content) for content in (progressive(**more), progressive()))
    assert np.array_equal(np.asarray(found), np.asarray(plain))


@pytest.mark.parametrize("suffix", ["gif", "webp", "tif", "avif"])
def test_the_same_formats_with_one_frame_are_read(tmp_path: Path, suffix: str) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / f"a.{suffix}")
    assert open_rgb(tmp_path / f"a.{suffix}").size == (8, 8)


def test_the_first_picture_of_an_mpo_is_the_photograph(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8), RED).save(path, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8), BLUE)])
    assert open_rgb(path).getpixel((3, 3)) == pytest.approx(RED, abs=2)


@pytest.mark.parametrize(("dtype", "suffix"), [(np.uint16, "png"), (np.uint16, "tif"), (np.float32, "tif")])
def test_grey_of_more_than_8_bits_is_refused_instead_of_clipped(tmp_path: Path, dtype: type, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.full((5, 5), 1000, dtype=dtype)).save(path)
    assert reason(path).endswith("has more than 8 bits per channel; save it with 8")


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (4, 2), (6, 4)])  # PNG's RGB, grey with alpha, RGBA
def test_a_colour_png_of_16_bits_is_refused_instead_of_cut(tmp_path: Path, colour: int, channels: int) -> None:
    for bits, name in ((16, "deep.png"), (8, "flat.png")):
        (tmp_path / name).write_bytes(png(1, 1, bits=bits, colour=colour, pixels=bytes(1 + channels * bits // 8)))
    assert reason(tmp_path / "deep.png").endswith("has more than 8 bits per channel; save it with 8")
    assert open_rgb(tmp_path / "flat.png").size == (1, 1)


def tiff(bits: int, *, planar: int = 1) -> bytes:
    """Return an RGB TIFF of one pixel made by hand; planar 2 lays each channel apart."""
    size, count = bits // 8, 3 if planar == 2 else 1
    tags = {256: 1, 257: 1, 259: 1, 262: 2, 277: 3, 278: 1, 284: planar}
    start = 8 + 2 + 12 * (len(tags) + 3) + 4
    bits_at, offsets_at, counts_at, pixels_at = start, start + 6, start + 18, start + 30
    entries = [(tag, 3, 1, struct.pack("<HH", value, 0)) for tag, value in tags.items()]
    entries.append((258, 3, 3, struct.pack("<I", bits_at)))
    offsets, counts = [pixels_at + size * index for index in range(count)], [3 * size // count] * count
    for tag, place, values in ((273, offsets_at, offsets), (279, counts_at, counts)):
        entries.append((tag, 4, count, struct.pack("<I", place if count > 1 else values[0])))
    ifd = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    arrays = struct.pack("<3H", bits, bits, bits) + b"".join(
        struct.pack("<3I", *(values * 3)[:3]) for values in (offsets, counts)
    )
    return struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + ifd + bytes(4) + arrays + bytes(3 * size)


@pytest.mark.parametrize("planar", [1, 2])
def test_a_colour_tiff_of_16_bits_is_refused_and_one_of_8_is_not(tmp_path: Path, planar: int) -> None:
    (tmp_path / "deep.tif").write_bytes(tiff(16, planar=planar))
    (tmp_path / "flat.tif").write_bytes(tiff(8, planar=planar))
    assert reason(tmp_path / "deep.tif").endswith("has more than 8 bits per channel; save it with 8")
    assert open_rgb(tmp_path / "flat.tif").size == (1, 1)


@pytest.mark.parametrize("content", [b"P6 1 1 65535\n" + bytes(6), b"P6 1 1 256\n" + bytes(6), b"P3 1 1 65535\n1 2 3"])
def test_a_colour_ppm_of_16_bits_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ppm").write_bytes(content)
    assert reason(tmp_path / "a.ppm").endswith("has more than 8 bits per channel; save it with 8")


@pytest.mark.parametrize("content", [b"P6 1 1 255\n" + bytes(3), b"P6 1 1 100\n" + bytes(3), b"P3 1 1 255\n1 2 3"])
def test_a_colour_ppm_of_8_bits_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.ppm").write_bytes(content)
    assert open_rgb(tmp_path / "a.ppm").size == (1, 1)


def test_a_bmp_whose_channels_share_16_bits_is_read(tmp_path: Path) -> None:
    header = struct.pack("<2sIIIIiiHHIIiiII", b"BM", 58, 0, 54, 40, 1, 1, 1, 16, 0, 4, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(header + struct.pack("<HH", 0b0_11111_00000_00000, 0))
    assert open_rgb(tmp_path / "a.bmp").getpixel((0, 0)) == RED


def test_colours_that_cannot_become_rgb_are_refused(tmp_path: Path) -> None:
    Image.new("LAB", (5, 5)).save(tmp_path / "a.tif")
    assert reason(tmp_path / "a.tif") == "mode LAB can't be converted to RGB; save it as RGB"


@pytest.mark.parametrize("side", [9_000, 10_000, 14_000, 60_000])  # 81, 100, 196 and 3600 megapixels
def test_every_image_over_the_cap_is_refused_in_the_same_words_and_without_a_warning(tmp_path: Path, side: int) -> None:
    (tmp_path / "a.png").write_bytes(png(side, side))
    assert reason(tmp_path / "a.png") == f"{side} x {side} pixels, over the limit of 40 megapixels"


def test_too_little_memory_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise MemoryError

    noise().save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", load)
    assert reason(tmp_path / "a.png") == OUT_OF_MEMORY


def test_bytes_that_are_read_already_are_decoded_as_the_file_would_be(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    noise().save(tmp_path / "a.png", exif=exif)
    content = (tmp_path / "a.png").read_bytes()
    from_file = np.asarray(open_upright(tmp_path / "a.png"))
    (tmp_path / "a.png").write_bytes(b"")
    assert np.array_equal(np.asarray(open_upright(tmp_path / "a.png", content)), from_file)
    with pytest.raises(ImageError, match=r"a\.png: image file is truncated|a\.png: .*broken"):
        open_upright(tmp_path / "a.png", content[: len(content) // 2])


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "avif"])
@pytest.mark.parametrize("orientation", [3, 6])
def test_the_headers_size_is_that_of_the_decoded_image(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    noise(60, 40).save(path, exif=exif)
    with open_image(path) as image:
        header = read_header(image)
        upright = decode(image)
    assert (header.width, header.height) == upright.size == ((60, 40) if orientation == 3 else (40, 60))
    assert (header.orientation, header.frames) == (orientation, 1)


def test_an_avif_has_the_same_pixels_however_many_threads_decode_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(300, 200).save(tmp_path / "a.avif", quality=90)
    found = []
    for threads in (1, 8):
        monkeypatch.setattr("PIL.AvifImagePlugin.DEFAULT_MAX_THREADS", threads)
        found.append(np.asarray(open_rgb(tmp_path / "a.avif")))
    assert np.array_equal(found[0], found[1])
    assert np.abs(found[0].astype(int) - np.asarray(noise(300, 200))).mean() < 60  # unlike pictures differ by 85


def test_an_avif_over_the_cap_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise().save(tmp_path / "a.avif")
    monkeypatch.setattr("localizer.images.decoding.MAX_PIXELS", 60 * 40 - 1)
    monkeypatch.setattr("PIL.AvifImagePlugin.AvifImageFile.load", lambda image: struct.pack("H", "decoded"))
    assert reason(tmp_path / "a.avif").startswith("60 x 40 pixels, over the limit of")


@pytest.mark.parametrize("brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"heix\0\0\0\0miafmif1"])
def test_a_heic_image_is_called_so_where_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brands: bytes
) -> None:
    monkeypatch.setattr(decoding, "FORMATS", tuple(kind for kind in decoding.FORMATS if kind != "HEIF"))
    content = struct.pack(">I4s", 8 + len(brands), b"ftyp") + brands + bytes(100)
    (tmp_path / "a.jpg").write_bytes(content)
    assert reason(tmp_path / "a.jpg") == "a HEIC image; install pillow-heif, or convert it"
    with pytest.raises(ImageError, match="a HEIC image; install"):
        open_rgb(Path("a.jpg"), content)
    (tmp_path / "a.mp4").write_bytes(content.replace(b"hei", b"iso"))
    assert reason(tmp_path / "a.mp4").startswith("not an image of a supported format")


def test_a_heic_image_is_read_where_pillow_heif_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    assert {".heic", ".heif"} < decoding.SUFFIXES
    Image.new("RGB", (64, 48), RED).save(tmp_path / "a.heic")
    found = open_rgb(tmp_path / "a.heic")
    assert (found.mode, found.size) == ("RGB", (64, 48))
    assert found.getpixel((30, 20)) == pytest.approx(RED, abs=4)
    (tmp_path / "b.heic").write_bytes((tmp_path / "a.heic").read_bytes()[:300])
    assert reason(tmp_path / "b.heic").startswith("not an image of a supported format")


PILLOW_HEIF = """
from PIL import Image, ImageFile
__version__ = "0.1"
class File(ImageFile.ImageFile):
    format = "HEIF"
    def _open(self):
        self._mode, self._size = "RGB", (20_000, 8) if self.fp.read()[-1] else (20_000, 80_000)
        self.info["exif"] = b""
        self.tile = [ImageFile._Tile("raw", (0, 0, *self.size), 0, "RGB")]
def register_heif_opener():
    Image.register_open("HEIF", File, lambda start: start[4:12] == b"ftypheic")
    Image.register_extensions("HEIF", [".heic"])
"""
USES = """
from pathlib import Path
from localizer.images.decoding import DECODER, SUFFIXES, ImageError, open_rgb
print(DECODER.split(" ", 2)[2], ".heic" in SUFFIXES)
for last in (b"\\1", b"\\0"):
    try:
        print(open_rgb(Path("a"), b"\\0\\0\\0\\x14ftypheic" + bytes(20_000 * 8 * 3) + last).size)
    except ImageError as error:
        print(error)
"""


def test_the_plugin_of_pillow_heif_is_used_as_pillows_own_are(tmp_path: Path) -> None:
    (tmp_path / "pillow_heif.py").write_text(PILLOW_HEIF)
    paths = [str(tmp_path), str(Path(decoding.__file__).parents[2])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", USES], env=environment, capture_output=True, text=True, check=True)
    limit = "a: 20000 x 80000 pixels, over the limit of 40 megapixels"
    assert done.stdout.splitlines() == ["pillow-heif 0.1 True", "(20000, 8)", limit]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert reason(tmp_path / "nope.jpg") == "no such file"


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert reason(tmp_path) == "not a regular file"


def test_a_fifo_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    assert reason(tmp_path / "a.jpg") == "not a regular file"


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "a.jpg")
    assert "symbolic links" in reason(tmp_path / "a.jpg")


def test_a_name_too_long_for_the_file_system_is_refused(tmp_path: Path) -> None:
    assert "too long" in reason(tmp_path / ("x" * 300))


def test_an_image_is_stretched_to_a_square() -> None:
    image = Image.new("RGB", (40, 10), BLUE)
    image.paste(RED, (20, 0, 40, 10))  # the right half
    square = to_square(image, 8)
    assert (square.shape, square.dtype) == ((8, 8, 3), np.dtype(np.uint8))
    assert square[:, :3].tolist() == np.full((8, 3, 3), BLUE).tolist()
    assert square[:, 5:].tolist() == np.full((8, 3, 3), RED).tolist()


def test_squares_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    greys = [10, 200, 90, 30]
    paths = [tmp_path / f"{grey}.png" for grey in greys]
    for path, grey in zip(paths, greys, strict=True):
        Image.new("L", (9, 5), grey).save(path)
    squares = read_squares(paths, 4)
    assert (squares.shape, squares.dtype) == ((4, 4, 4, 3), np.dtype(np.uint8))
    assert squares[:, 0, 0, 0].tolist() == greys


def test_few_images_are_decoded_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 <= THREADS <= 8
    counting = Counting(monkeypatch)
    noise().save(tmp_path / "a.png")
    monkeypatch.setattr(decoding, "THREADS", 2)
    read_squares([tmp_path / "a.png"] * 12, 4)
    assert (counting.most, counting.all) == (2, 12)


class Counting:
    """Counts how many images are decoded at once; each waits for another a while."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.most = self.all = 0
        self._lock = threading.Lock()
        self._decode = decoding.decode
        monkeypatch.setattr(decoding, "decode", self)

    def __call__(self, image: Image.Image) -> Image.Image:
        with self._lock:
            self.now, self.all = self.now + 1, self.all + 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        with self._lock:
            self.now -= 1
        return self._decode(image)


def test_no_paths_give_no_squares() -> None:
    assert read_squares([], 4).shape == (0, 4, 4, 3)


def test_a_bad_file_among_many_is_named(tmp_path: Path) -> None:
    noise().save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(ImageError, match=r"bad\.png: an empty file"):
        read_squares([tmp_path / "good.png", tmp_path / "bad.png"], 4)


def test_whatever_a_decoder_raises_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise().save(tmp_path / "a.png")
    monkeypatch.setattr("PIL.ImageOps.exif_transpose", lambda image, in_place: struct.pack("H", "text"))
    assert "integer" in reason(tmp_path / "a.png")
