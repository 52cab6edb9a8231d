"""The rules for image files, and for the columns of the annotation file."""

from localizer.probing.duplicates import MAX_DISTANCE
from localizer.probing.hamming import BITS
from localizer.validation.rules.rule import DATASET_YAML, Rule, between, expect, in_set, not_null

MIN_SIDE = 2  # pixels
KEEP_ONE = "keep the one with the better box; as long as both are here, they are in one split"
REPLACE = "replace the file, or remove it and its rows"

# fmt: off
IMAGE_RULES = (
    Rule("image_undecodable", "critical", "image", in_set(column="decodes", value_set=["True"]),
         description="an image file must decode completely",
         expected="an image that decodes completely", got="one that does not{rows}: {problem}", fix=REPLACE),
    Rule("image_tiny", "critical", "image", between(column="shorter_side", min_value=MIN_SIDE),
         description=f"an image's sides must be {MIN_SIDE} pixels or more",
         expected=f"sides of {MIN_SIDE} pixels or more", got="{width} x {height} pixels{rows}", fix=REPLACE),
    Rule("path_collision", "critical", "image", expect("ExpectColumnValuesToBeUnique", column="folded"),
         description="no two image paths may be equal but for case or Unicode normalization",
         expected="paths that differ in more than case or Unicode normalization",
         got="paths that are one file on some systems: {colliding_paths}", fix="rename one of them"),
    Rule("duplicate_content", "warning", "image", expect("ExpectColumnValuesToBeUnique", column="sha256"),
         description="no two image files should be equal, byte for byte",
         expected="one file per image", got="equal files: {equal_files}{box_iou}", fix=KEEP_ONE),
    Rule("near_duplicate", "warning", "image", expect("ExpectColumnValuesToBeNull", column="near_duplicates"),
         description=f"the perceptual hashes of two images should differ in more than {MAX_DISTANCE} of {BITS} bits",
         expected="one file per image", got="one that looks like {near_duplicates}{box_iou}", fix=KEEP_ONE),
    Rule("image_suffix", "warning", "file", in_set(column="suffix_fits", value_set=["True"]),
         description="an image file's suffix should be one of its format",
         expected="images in the format of their suffix", got="{images} in another: {first}",
         fix="nothing: an image is decoded by its content; but other programs may go by the suffix"),
    Rule("exif_rotated", "warning", "file",
         in_set(column="orientation", value_set=["1", ""]),
         description="an image should need no EXIF rotation",
         expected="images stored upright", got="{images} with an EXIF orientation: {first}",
         fix="nothing, if your tool shows them upright, as most do; else redraw their boxes on the upright image"),
    Rule("image_mode", "warning", "file", in_set(column="mode", value_set=["RGB", ""]),
         description="an image should be in RGB",
         expected="images in RGB", got="{images} in another mode: {first}",
         fix="nothing: they are converted, gray to three equal channels, and alpha is dropped"),
    Rule("image_not_annotated", "warning", "file", in_set(column="annotated", value_set=["True"]),
         description="each image file should have a box",
         expected="a box for each image", got="{images} without one: {first}",
         fix="annotate them, or remove them; they are not used"),
)

COLUMN_RULES = (
    Rule("column_unknown", "warning", "column", not_null(column="used_as"),
         description=f"each column of the file should be used by {DATASET_YAML}",
         expected="only columns that are used", got="the column {column!r}",
         fix=f"nothing, if it is not needed; else name it under `columns` in {DATASET_YAML}"),
)
# fmt: on
