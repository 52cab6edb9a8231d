"""The rules for image files, and for the columns of the annotation file."""

from localizer.probing.duplicates import MAX_DISTANCE
from localizer.probing.hamming import BITS
from localizer.validation.rules.rule import CARD, Ask, Rule, at_least, is_true, not_null

SMALLEST = 2  # pixels a side of an image


def image_rules() -> list[Rule]:
    """Return the rules for the table of images."""
    files = [_undecodable(), _suffix(), _tiny(), _collision()]
    return [*files, _same_bytes(), _same_picture(), _rotated(), _modes(), _not_annotated()]


def column_rules() -> list[Rule]:
    """Return the rules for the table of columns."""
    return [
        Rule(
            name="column_unknown",
            ask=not_null("used_as"),
            says="each column of the file should be one that the card uses",
            got="column {column!r}, which nothing uses",
            expected="columns that the card names",
            fix=f"nothing, if it is not needed; else name it under columns of {CARD}",
            severity="warning",
            scope="column",
        )
    ]


def _undecodable() -> Rule:
    return Rule(
        name="image_undecodable",
        ask=is_true("decodes"),
        says="an image file must decode whole",
        got="{problem}",
        expected="an image that decodes whole",
        fix="replace the file, or remove it{and_rows}",
        scope="image",
    )


def _suffix() -> Rule:
    return Rule(
        name="image_suffix",
        ask=is_true("suffix_fits"),
        says="an image file's name must end as its format's names do",
        got="a {format} file",
        expected="the format that its name tells",
        fix="rename it and correct its rows{in_rows}, or save it in that format: other programs go by the name",
        scope="image",
    )


def _tiny() -> Rule:
    return Rule(
        name="image_tiny",
        ask=at_least("shorter_side", SMALLEST),
        says=f"an image's sides must be {SMALLEST} pixels or more",
        got="{width} x {height} pixels",
        expected=f"{SMALLEST} or more a side",
        fix="replace the file, or remove it{and_rows}",
        scope="image",
    )


def _collision() -> Rule:
    return Rule(
        name="path_collision",
        ask=Ask("ExpectColumnValuesToBeUnique", {"column": "folded"}),
        says="no two image paths may be equal but for case or Unicode normalisation",
        got="paths that other systems take for one: {alike}",
        expected="paths that differ in more than case or accents' encoding",
        fix="rename one of them",
        scope="image",
    )


def _same_bytes() -> Rule:
    return Rule(
        name="duplicate_content",
        ask=Ask("ExpectColumnValuesToBeUnique", {"column": "sha256"}),
        says="no two image files should be equal, byte for byte",
        got="equal files: {same_as}{agreement}",
        expected="one file a picture",
        fix="keep one of them, with the better box; split keeps them on one side",
        severity="warning",
        scope="image",
    )


def _same_picture() -> Rule:
    return Rule(
        name="near_duplicate",
        ask=Ask("ExpectColumnValuesToBeNull", {"column": "looks_like"}),
        says=f"no two images should look the same: differ by {MAX_DISTANCE} of {BITS} bits of their hashes or less",
        got="the same picture as {looks_like}{agreement}",
        expected="one file a picture",
        fix="keep one of them, with the better box; split keeps them on one side",
        severity="warning",
        scope="image",
    )


def _rotated() -> Rule:
    return Rule(
        name="exif_rotated",
        ask=Ask("ExpectColumnValuesToBeInSet", {"column": "orientation", "value_set": ["1", ""]}),
        says="an image should need no EXIF rotation",
        got="an EXIF orientation in {count} of the images: {first}",
        expected="upright pixels",
        fix="nothing, if your tool shows them upright, as most do; else draw their boxes again on the upright view",
        severity="warning",
        scope="file",
    )


def _modes() -> Rule:
    return Rule(
        name="image_mode",
        ask=Ask("ExpectColumnValuesToBeInSet", {"column": "mode", "value_set": ["RGB", ""]}),
        says="an image should be in RGB",
        got="{count} of the images in another mode: {first}",
        expected="RGB",
        fix="nothing: they are converted, grey to three equal channels, and alpha is dropped",
        severity="warning",
        scope="file",
    )


def _not_annotated() -> Rule:
    return Rule(
        name="image_not_annotated",
        ask=is_true("annotated"),
        says="a box should name each image file",
        got="no box for {count} of the images: {first}",
        expected="a box for each image",
        fix="annotate them, or remove them; they are not used",
        severity="warning",
        scope="file",
    )
