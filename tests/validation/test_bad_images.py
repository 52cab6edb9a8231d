"""Image files that can't be used, checked once together; and those of which one rule says how they are read."""

import io
from collections.abc import Callable, Iterable
from contextlib import chdir
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from bad_inputs import BOX, HEADER, Outcome, add_pictures, boxes_in, key, picture, png, table, validate_text
from PIL import Image, ImageDraw

from localizer.images.decoding import open_rgb

FRAMES = "several frames; expected a single image"
UNKNOWN = "not an image of a supported format (JPEG, PNG, WEBP, BMP, TIFF, GIF, PPM, AVIF"
ORIENTATION = 0x0112
TURNED = {  # what is stored, so that a viewer that heeds the orientation shows the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
PAINTED = (120, 10, 190, 90)  # of an upright picture of 200 x 100


def encoded(image: Image.Image, kind: str, *, more: Iterable[Image.Image] = ()) -> bytes:
    content = io.BytesIO()
    frames = {"save_all": True, "append_images": list(more)} if more else {}
    image.save(content, kind, **frames)
    return content.getvalue()


def two_frames(kind: str) -> bytes:
    return encoded(picture(1), kind, more=[picture(2)])


def cut(kind: str) -> bytes:
    content = encoded(picture(3), kind)
    return content[: len(content) * 6 // 10]


def corrupt_png() -> bytes:
    content = bytearray(encoded(picture(4), "PNG"))
    content[len(content) // 2] ^= 0xFF
    return bytes(content)


def deep_grey() -> bytes:
    return encoded(Image.fromarray(np.arange(8000, dtype=np.uint16).reshape(80, 100)), "PNG")


def deep_colour() -> bytes:
    return png(100, 80, depth=16, pixels=(b"\0" + bytes(range(200)) * 3) * 80)


class Fault(NamedTuple):
    """A file, the rule that it breaks, and what the finding got."""

    content: Callable[[], bytes]
    rule: str
    got: str


def undecodable(content: Callable[[], bytes], got: str) -> Fault:
    return Fault(content, "image_undecodable", f"one that does not (line {{line}}): {got}")


FAULTS = {
    "zero.jpg": undecodable(lambda: b"", "an empty file"),
    "html.jpg": undecodable(lambda: b"<!doctype html><title>404</title>", UNKNOWN),
    "cut.jpg": undecodable(lambda: cut("JPEG"), "image file is truncated"),
    "cut.png": undecodable(lambda: cut("PNG"), "image file is truncated"),
    "corrupt.png": undecodable(corrupt_png, "broken data stream"),
    "frames.gif": undecodable(lambda: two_frames("GIF"), FRAMES),
    "frames.tif": undecodable(lambda: two_frames("TIFF"), FRAMES),
    "frames.webp": undecodable(lambda: two_frames("WEBP"), FRAMES),
    "frames.png": undecodable(lambda: two_frames("PNG"), FRAMES),
    "bomb.png": undecodable(
        lambda: png(50_000, 50_000, depth=8, pixels=b"\0"), "50000 x 50000 pixels, over the limit of 40 megapixels"
    ),
    "large.png": undecodable(
        lambda: encoded(Image.new("1", (6400, 6400)), "PNG"), "6400 x 6400 pixels, over the limit of 40 megapixels"
    ),
    "one.png": Fault(
        lambda: encoded(Image.new("RGB", (1, 1)), "PNG"),
        "image_tiny",
        "1 x 1 pixels (line {line})",
    ),
    "grey.png": undecodable(deep_grey, "mode I;16 has more than 8 bits per channel; save it with 8"),
    "colour.png": undecodable(deep_colour, "mode RGB has more than 8 bits per channel; save it with 8"),
}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with chdir(tmp_path_factory.mktemp("images")):
        add_pictures("sound.png")
        for name, fault in FAULTS.items():
            Path("images", name).write_bytes(fault.content())
        return validate_text(boxes_in(["sound.png", *FAULTS]))


def test_bad_images_fail_the_command(outcome: Outcome) -> None:
    assert outcome.status == 1
    assert outcome.about("images/sound.png") == []
    assert outcome.at(2) == []


@pytest.mark.parametrize(("line", "name"), [*enumerate(FAULTS, start=3)], ids=FAULTS)
def test_a_bad_image_is_named_with_its_row(outcome: Outcome, line: int, name: str) -> None:
    critical = [finding for finding in outcome.about(f"images/{name}") if finding.severity == "critical"]
    (finding,) = critical
    assert key(finding) == (f"images/{name}", None, "", FAULTS[name].rule, "critical")
    assert finding.got.startswith(FAULTS[name].got.format(line=line))
    assert finding.fix == "replace the file, or remove it and its rows"


def test_only_images_that_decode_are_reported_as_converted() -> None:
    add_pictures("sound.png")
    Path("images/palette.gif").write_bytes(encoded(picture(5), "GIF"))
    Path("images/grey.png").write_bytes(deep_grey())
    outcome = validate_text(boxes_in(["sound.png", "palette.gif", "grey.png"]))
    (finding,) = outcome.of("image_mode")
    assert finding.got == "1 image in another mode: palette.gif"


def test_an_image_with_the_suffix_of_another_format_is_used_with_one_warning_for_all() -> None:
    misnamed = {"png.jpg": "PNG", "webp.jpg": "WEBP", "jpeg.png": "JPEG", "bmp.tif": "BMP"}
    add_pictures("sound.png")
    for seed, (name, kind) in enumerate(misnamed.items(), start=5):
        Path("images", name).write_bytes(encoded(picture(seed), kind))
    outcome = validate_text(boxes_in(["sound.png", *misnamed]))
    assert outcome.status == 0
    (finding,) = outcome.findings
    assert key(finding) == ("images", None, "", "image_suffix", "warning")
    assert finding.got == "4 images in another: png.jpg, webp.jpg, jpeg.png and 1 more"
    assert finding.fix == "nothing: an image is decoded by its content; but other programs may go by the suffix"


def test_a_16_bit_colour_png_without_exif_is_refused_and_one_of_8_bits_is_not() -> None:
    add_pictures("deep.png", "flat.png")
    Path("images/deep.png").write_bytes(deep_colour())
    Path("images/flat.png").write_bytes(png(100, 80, depth=8, pixels=(b"\0" + bytes(range(100)) * 3) * 80))
    outcome = validate_text(boxes_in(["deep.png", "flat.png"]))
    assert [finding.file for finding in outcome.of("image_undecodable")] == ["images/deep.png"]


def test_modes_other_than_rgb_are_accepted_with_a_warning_of_their_conversion() -> None:
    modes = {"CMYK.jpg": "CMYK", "RGBA.png": "RGBA", "P.png": "P", "L.png": "L"}
    add_pictures(*modes)
    for seed, (name, mode) in enumerate(modes.items()):
        picture(seed).convert(mode).save(Path("images", name))
    outcome = validate_text(boxes_in(modes))
    assert outcome.status == 0
    (finding,) = outcome.findings
    assert key(finding) == ("images", None, "", "image_mode", "warning")
    assert finding.got == "4 images in another mode: CMYK.jpg, RGBA.png, P.png and 1 more"
    assert finding.fix == "nothing: they are converted, gray to three equal channels, and alpha is dropped"


def test_equal_files_are_a_warning_that_names_both() -> None:
    add_pictures("0.png")
    Path("images/copy.png").write_bytes(Path("images/0.png").read_bytes())
    outcome = validate_text(boxes_in(["0.png", "copy.png"]))
    assert outcome.status == 0
    assert [key(finding) for finding in outcome.findings] == [
        (f"images/{name}", None, "", "duplicate_content", "warning") for name in ("0.png", "copy.png")
    ]
    assert outcome.findings[0].got.startswith("equal files: images/0.png, images/copy.png")


def test_the_same_pixels_in_two_files_are_a_warning_that_names_both() -> None:
    add_pictures("0.png")
    picture(0).save("images/0.bmp")
    outcome = validate_text(boxes_in(["0.png", "0.bmp"]))
    assert outcome.status == 0
    assert {key(finding): finding.got for finding in outcome.findings} == {
        (f"images/{name}", None, "", "near_duplicate", "warning"): (
            f"one that looks like {other} (0 of 256 hash bits differ); their boxes agree at an IoU of 1.00"
        )
        for name, other in (("0.png", "0.bmp"), ("0.bmp", "0.png"))
    }


def turned(orientation: int) -> str:
    """Write a picture with the box PAINTED in white, stored turned as its EXIF orientation says; return its name."""
    image = Image.new("RGB", (200, 100))
    left, top, right, bottom = PAINTED
    ImageDraw.Draw(image).rectangle((left, top, right - 1, bottom - 1), fill="white")
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    name = f"{orientation}.png"
    Path("images").mkdir(exist_ok=True)
    image.transpose(TURNED[orientation]).save(Path("images", name), exif=exif)
    return name


def test_boxes_on_the_upright_view_fit_each_exif_orientation() -> None:
    names = [turned(orientation) for orientation in TURNED]
    box = ",".join(map(str, PAINTED))
    text = table([f"{name},cat,{box},200,100" for name in names], header=f"{HEADER},width,height")
    outcome = validate_text(text)
    assert outcome.status == 0
    assert [finding for finding in outcome.findings if finding.line] == []
    (finding,) = outcome.of("exif_rotated")
    assert key(finding) == ("images", None, "", "exif_rotated", "warning")
    assert finding.got == "7 images with an EXIF orientation: 2.png, 3.png, 4.png and 4 more"
    assert finding.fix.startswith("nothing, if your tool shows them upright, as most do")


@pytest.mark.parametrize("orientation", TURNED)
def test_the_box_is_where_it_was_painted_in_the_pixels_that_are_read(orientation: int) -> None:
    pixels = np.array(open_rgb(Path("images", turned(orientation))))
    assert pixels.shape == (100, 200, 3)
    left, top, right, bottom = PAINTED
    assert (pixels[top:bottom, left:right] == 255).all()
    assert pixels.sum() == 255 * 3 * (right - left) * (bottom - top)


def test_exif_that_stands_behind_the_pixels_of_a_png_turns_it_too() -> None:
    path = Path("images", turned(6))
    content = path.read_bytes()
    start = content.index(b"eXIf") - 4
    exif = content[start : content.index(b"IDAT") - 4]
    path.write_bytes(content.replace(exif, b"").replace(content[-12:], exif + content[-12:]))
    outcome = validate_text(table(["6.png,cat,120,10,190,90"]))
    assert outcome.status == 0
    assert [finding.rule for finding in outcome.findings] == ["exif_rotated"]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_box_on_the_view_before_the_exif_rotation_is_reported_as_such(orientation: int) -> None:
    add_pictures("0.png")
    turned(orientation)  # stored as 100 x 200
    outcome = validate_text(table([f"0.png,{BOX}", f"{orientation}.png,cat,10,10,90,190"]))
    assert outcome.status == 1
    (finding,) = outcome.at(3)
    assert key(finding) == ("boxes.csv", 3, "ymax", "outside_image", "critical")
    assert finding.got == "the bottom edge at 190 px"
    assert finding.expected == "at most 100, the image's height"
    assert finding.fix == (
        "the box fits the image before its EXIF rotation: draw it on the upright image, as viewers show it"
    )


def test_a_box_that_protrudes_from_a_mirrored_image_is_not_blamed_on_exif() -> None:
    add_pictures("0.png")
    turned(2)
    outcome = validate_text(table([f"0.png,{BOX}", "2.png,cat,10,10,90,190"]))
    (finding,) = outcome.at(3)
    assert finding.fix.startswith("correct the box; or are the boxes in another format? pass --box-format")


def test_a_size_before_the_exif_rotation_is_reported_as_such() -> None:
    add_pictures("0.png")
    turned(6)
    rows = [f"0.png,{BOX},100,80", "6.png,cat,10,10,90,90,100,200"]
    outcome = validate_text(table(rows, header=f"{HEADER},width,height"))
    assert outcome.status == 1
    assert {key(finding) for finding in outcome.at(3)} == {
        ("boxes.csv", 3, side, "size_disagrees", "critical") for side in ("width", "height")
    }
    assert {finding.fix for finding in outcome.at(3)} == {
        "size and box are from before the EXIF rotation; take them from the upright image"
    }
