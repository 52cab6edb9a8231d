"""The tables that the rules check: boxes with their images' metadata, images with their boxes, columns."""

import unicodedata

import numpy as np
import pandas as pd
from PIL import Image

from localizer.boxes import FORMATS, Array, area
from localizer.dataset import DatasetConfig
from localizer.datasets.coordinates import parse_coordinates
from localizer.probing.duplicates import near_duplicates
from localizer.probing.file_names import folded
from localizer.tables import BOX, EDGES, Table
from localizer.validation.duplicate_boxes import duplicate_box_iou, near_duplicate_names
from localizer.validation.outliers import with_scores
from localizer.validation.rules.rule import DATASET_YAML, SIZES, abbreviate

METADATA = ["image", "path", "exists", "problem", "width", "height", "orientation"]
ROTATED = ["5", "6", "7", "8"]  # EXIF orientations that swap width and height


def box_table(annotations: Table, images: Table, config: DatasetConfig) -> Table:
    """Return one row per box: null for empty text, NaN for unknown numbers.

    of_task: the row has the config's label. checked: it has that or none; findings on other rows are warnings. The
    four values as numbers have their names in the box format. place: the box's line, as text for findings.
    """
    metadata = images[METADATA].rename(columns={"width": "image_width", "height": "image_height"})
    table = annotations.rename(columns=SIZES).merge(metadata, on="image", how="left", validate="many_to_one")
    table = _nulled(table, ["label", "exists", *BOX, *SIZES.values()])
    table["of_task"] = True if config.label is None else (table["label"] == config.label).fillna(False).astype(bool)
    table["checked"] = table["of_task"] | table["label"].isna()
    table["place"] = _places(table)
    table = with_scores(_clipped(_with_numbers(table, config), config))
    table["share_within"] = table["box_share"].where(table["box_share"] <= 1)
    table["smallest_share"] = _smallest_share(table)
    table["size_fix"] = _size_fix(table)
    table["edge_fix"] = _edge_fix(table, config)
    table["given_splits"] = _given_splits(table)
    return _with_neighbors(table, config).assign(row=range(len(table)))


def image_table(images: Table, boxes: Table) -> Table:
    """Return one row per image; an image is checked if a checked box is in it."""
    table = _nulled(images, ["sha256", "exists", "decodes"])
    table = table.assign(row=range(len(table)), file=table["path"], line="", place=table["image"])
    table["decodes"] = table["decodes"].where(table["exists"] == "True")
    decoded = table["decodes"] == "True"
    table["checked"] = table["image"].isin(boxes.loc[boxes["checked"], "image"])
    table["mode"] = table["mode"].where(decoded, "")  # an image that does not decode is not converted
    table["suffix_fits"] = _suffix_fits(table[decoded])
    table["shorter_side"] = table[["width", "height"]].apply(pd.to_numeric).min(axis=1).where(decoded)
    bad = (table["decodes"] == "False") | (table["shorter_side"] < 2)
    rows = _names(boxes[boxes["image"].isin(table.loc[bad, "image"])], by="image", column="place")
    table["rows"] = [f" ({rows[name]})" if name in rows else "" for name in table["image"]]
    return _with_duplicates(table, boxes)


def column_table(columns: Table) -> Table:
    """Return one row per column of the annotation file."""
    table = _nulled(columns, ["used_as"])
    return table.assign(row=range(len(table)), image=table["column"], place=table["column"], checked=True)


def _suffix_fits(table: Table) -> "pd.Series[str]":
    """Return, as text, whether each name's suffix is one of its file's format; an unknown suffix fits."""
    suffix = table["image"].str.lower().str.extract(r"(\.[a-z0-9]+)$", expand=False)
    expected = suffix.map(Image.registered_extensions()).replace("MPO", "JPEG")  # an MPO begins with a JPEG
    return (expected.isna() | (expected == table["format"].replace("MPO", "JPEG"))).astype(str)


def _with_duplicates(table: Table, boxes: Table) -> Table:
    """Return the images with those of equal bytes, similar looks or colliding names, and how well their boxes agree."""
    table["equal_files"] = _shared(table, by="sha256", column="path")
    names = table["image"].str.lower()
    not_ascii = ~names.str.isascii()
    names = names.mask(not_ascii, table.loc[not_ascii, "image"].map(folded))
    table["folded"] = names.where(table["exists"] != "False")  # a missing file's finding names a similar one itself
    several = table[table["folded"].notna() & table["folded"].duplicated(keep=False)]
    table["colliding_paths"] = _shared(
        several.assign(spelled=several["image"].map(_spelled)), by="folded", column="spelled"
    )
    pairs = near_duplicates(table["phash"])
    table["near_duplicates"] = near_duplicate_names(table, pairs)
    ious = duplicate_box_iou(table["image"], pairs, boxes)
    table["box_iou"] = ["" if np.isnan(iou) else f"; their boxes agree at an IoU of {iou:.2f}" for iou in ious]
    return table


def _spelled(name: str) -> str:
    """Return a name so that it differs from one that only looks the same: e\\u0301 for an e and an accent."""
    return name if unicodedata.is_normalized("NFC", name) else ascii(name)[1:-1]


def _shared(table: Table, *, by: str, column: str) -> "pd.Series[str]":
    """Return, for rows that share a value of `by`, the names of them all."""
    several = table[table[by].notna() & table[by].duplicated(keep=False)]
    return table[by].map(_names(several, by=by, column=column))


def _names(table: Table, *, by: str, column: str) -> dict[str, str]:
    return {str(key): abbreviate(list(group)) for key, group in table.groupby(by)[column]}


def _places(table: Table) -> "pd.Series[str]":
    before = "line " if table["file"].nunique() == 1 else table["file"] + ":"
    place = before + table["line"].astype(str)
    return place.where(table["element"] == "", table["element"])  # of a JSON file, whose lines are unknown


def _nulled(table: Table, columns: list[str]) -> Table:
    return table.assign(**{name: table[name].where(table[name] != "") for name in columns})


def _with_numbers(table: Table, config: DatasetConfig) -> Table:
    """Return the table with the four values, their largest, edges and sizes as numbers."""
    numbers = parse_coordinates(table.fillna(dict.fromkeys(BOX, "")))
    table = table.assign(**dict(zip(FORMATS[config.box_format], numbers.T, strict=True)))
    table["largest_value"] = np.fmax.reduce(numbers, axis=1)
    # Center + width / 2 misses the image's edge by a rounding error, never by a millionth of a pixel.
    table[EDGES] = table[EDGES].apply(pd.to_numeric, errors="coerce").round(6)
    for side, text in SIZES.items():
        size, annotated = (pd.to_numeric(table[name], errors="coerce") for name in (f"image_{side}", text))
        table[f"image_{side}"] = size.where(size > 0)
        table[f"annotated_{side}"] = annotated.where(np.isfinite(annotated) & (annotated != 0))  # 0 means unknown
    return table


def _clipped(table: Table, config: DatasetConfig) -> Table:
    """Return the table with boxes clipped that protrude by no more than clip_px, and by how much they did."""
    if not config.clip_px:
        return table
    edges, limits = _edges_and_limits(table)
    inside = np.clip(edges, 0, limits)
    protrusion = np.abs(edges - inside).max(axis=1)
    # Without image files, sizes may be no pixels.
    is_clipped = (protrusion > 0) & (protrusion <= config.clip_px) & (area(inside) > 0) & table["exists"].notna()
    table[EDGES] = np.where(is_clipped.to_numpy()[:, None], inside, edges)
    return table.assign(clipped_px=np.where(is_clipped, protrusion, np.nan))


def _edges_and_limits(table: Table) -> tuple[Array, Array]:
    """Return the boxes' edges [N, 4], and for each how far right and down its image allows."""
    sizes = table[["image_width", "image_height"]].to_numpy(dtype=np.float64)
    return table[EDGES].to_numpy(dtype=np.float64), np.tile(sizes, 2)


def _smallest_share(table: Table) -> "pd.Series[float]":
    """Return the shorter of the box's two sides, each relative to the image's; NaN for an empty box."""
    across = (table["xmax_px"] - table["xmin_px"]) / table["image_width"]
    down = (table["ymax_px"] - table["ymin_px"]) / table["image_height"]
    share = across.where(across < down, down)
    return share.where(share > 0)


def _size_fix(table: Table) -> "pd.Series[str]":
    """Return the fix of an annotated size that is not the image's; null for the other rows."""
    differs = (table["annotated_width"] != table["image_width"]) | (table["annotated_height"] != table["image_height"])
    wrong = table[differs]
    swapped = wrong["annotated_width"] == wrong["image_height"]
    swapped &= wrong["annotated_height"] == wrong["image_width"]
    fix = pd.Series("correct the size; is the box of this image?", index=wrong.index)
    fix = fix.mask(swapped, "swap width and height; are the box's values swapped, too?")
    rotated = "size and box are from before the EXIF rotation; take them from the upright image"
    return fix.mask(swapped & wrong["orientation"].isin(ROTATED), rotated).reindex(table.index)


def _edge_fix(table: Table, config: DatasetConfig) -> "pd.Series[str]":
    """Return the fix of a box that protrudes from its image; null for the other rows."""
    edges, limits = _edges_and_limits(table)
    outside = table.loc[np.flatnonzero(((edges < 0) | (edges > limits)).any(axis=1))]
    edges, limits = _edges_and_limits(outside)
    fits_unrotated = ((edges >= 0) & (edges <= limits[:, [1, 0, 3, 2]])).all(axis=1)
    fix = pd.Series(_box_fix(config), index=outside.index)
    rotated = "the box fits the image before its EXIF rotation: draw it on the upright image, as viewers show it"
    return fix.mask(outside["orientation"].isin(ROTATED).to_numpy() & fits_unrotated, rotated).reindex(table.index)


def _box_fix(config: DatasetConfig) -> str:
    """Return the fix of a box outside its image: correct it, or what the dataset config may declare otherwise."""
    if config.box_origin == 1:
        other = f"counted from 0? set box_origin: 0 in {DATASET_YAML}"
    elif config.columns is None:
        return "correct the box"  # the format itself declares how boxes are written
    elif config.box_units == "pixel":
        other = f"in another format? set `box_format` in {DATASET_YAML}"
    else:
        other = f"in pixels? set box_units: pixel in {DATASET_YAML}"
    return f"correct the box; or are the boxes {other}"


def _with_neighbors(table: Table, config: DatasetConfig) -> Table:
    """Return the table with each row's repetitions, and the other boxes of its image."""
    equal = ["image", "label", *BOX]
    table["is_repeat"] = table.duplicated(equal)
    repeated = table[table.duplicated(equal, keep=False)]
    table["first_place"] = repeated.groupby(equal, dropna=False)["place"].transform("first")
    counted = table[table["of_task"] & ~table["is_repeat"]]
    several = counted[counted["image"].duplicated(keep=False)]
    table["boxes_in_image"] = counted.groupby("image")["place"].transform("size").astype(float)
    table["boxes_in_image"] = table["boxes_in_image"].fillna(1.0)
    table["places"] = table["image"].map(_names(several, by="image", column="place"))
    table["is_surplus"] = True
    if config.multiple == "largest":
        table.loc[_largest(several), "is_surplus"] = False
    return table


def _given_splits(table: Table) -> "pd.Series[str]":
    """Return, for rows of images that are given several splits, each of these and where; null for the other rows."""
    pairs = table[["image", "place", "given_split"]].assign(name=table["given_split"].str.strip().str.lower())
    pairs = pairs.drop_duplicates(["image", "name"])
    several = pairs[pairs["image"].duplicated(keep=False)]
    texts = several["given_split"].replace("", "none") + " (" + several["place"] + ")"
    return table["image"].map(_names(several.assign(text=texts), by="image", column="text"))


def _largest(several: Table) -> "pd.Index[int]":
    """Return the index of each image's largest box, the first of equals; boxes inside their image come first."""
    edges, limits = _edges_and_limits(several)
    inside = (edges >= 0).all(axis=1) & (edges <= limits).all(axis=1)
    order = several.assign(area=np.where(inside, area(edges), -1)).sort_values("area", ascending=False, kind="stable")
    return order.drop_duplicates("image").index
