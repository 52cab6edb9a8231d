"""The tables that the rules are asked of: boxes joined with their images' facts, images with their boxes."""

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
from localizer.validation.duplicate_boxes import agreement, looks_like
from localizer.validation.rules.outliers import with_scores
from localizer.validation.rules.rule import CARD, SIZES, name_some

FACTS = ["image", "path", "exists", "problem", "width", "height", "orientation"]


def box_table(annotations: Table, images: Table, card: DatasetConfig) -> Table:
    """Return a row a box, as the rules want it: null for empty text, NaN for unknown numbers.

    of_task: the row has the card's label. judged: so it has, or it has none. The four values as numbers go
    by their names in the box format. place: where the box stands, to be told to a person.
    """
    facts = images[FACTS].rename(columns={"width": "image_width", "height": "image_height"})
    table = annotations.rename(columns=SIZES).merge(facts, on="image", how="left", validate="many_to_one")
    table = _nulled(table, ["label", "exists", *BOX, *SIZES.values()])
    table["of_task"] = True if card.label is None else (table["label"] == card.label).fillna(False).astype(bool)
    table["judged"] = table["of_task"] | table["label"].isna()
    table["place"] = _places(table)
    table = with_scores(_clipped(_with_numbers(table, card), card))
    table = table.assign(
        share_within=table["box_share"].where(table["box_share"] <= 1),
        smallest_share=_smallest_share(table),
        size_fix=_size_fix(table),
        edge_fix=_edge_fix(table, card),
    )
    return _with_neighbours(table, card).assign(row=range(len(table)))


def image_table(images: Table, boxes: Table) -> Table:
    """Return a row an image, as the rules want it; an image is judged if a judged box names it."""
    table = _nulled(images, ["sha256", "exists", "decodes"]).assign(
        row=range(len(images)), file=images["path"], line=""
    )
    table["place"] = table["image"]
    table["decodes"] = table["decodes"].where(table["exists"] == "True")
    whole = table["decodes"] == "True"
    table["judged"] = table["image"].isin(boxes.loc[boxes["judged"], "image"])
    table["mode"] = table["mode"].where(whole, "")  # of a refused file nothing is converted
    table["suffix_fits"] = _suffix_fits(table[whole])
    table["shorter_side"] = table[["width", "height"]].apply(pd.to_numeric).min(axis=1).where(whole)
    rows = _names(boxes[boxes["image"].isin(_troubled(table))], by="image", column="place")
    table["and_rows"] = [f" and its rows: {rows[name]}" if name in rows else "" for name in table["image"]]
    table["in_rows"] = [f": {rows[name]}" if name in rows else "" for name in table["image"]]
    return _with_likes(table, boxes)


def column_table(columns: Table) -> Table:
    """Return a row a column of the annotation file, as the rules want it."""
    table = _nulled(columns, ["used_as"])
    return table.assign(row=range(len(table)), image=table["column"], place=table["column"], judged=True)


def _suffix_fits(table: Table) -> "pd.Series[str]":
    """Return whether each name's suffix is one of its file's format, as text; one that tells no format fits."""
    told = table["image"].str.lower().str.extract(r"(\.[a-z0-9]+)$", expand=False).map(Image.registered_extensions())
    told, format_ = (kind.replace("MPO", "JPEG") for kind in (told, table["format"]))  # one with others behind it
    return (told.isna() | (told == format_)).astype(str)


def _troubled(table: Table) -> "pd.Series[str]":
    return table.loc[(table[["decodes", "suffix_fits"]] == "False").any(axis=1) | (table["shorter_side"] < 2), "image"]


def _with_likes(table: Table, boxes: Table) -> Table:
    """Return the images with those that are, look or are called the same, and how far their boxes agree."""
    table["same_as"] = _shared(table, by="sha256", column="path")
    names = table["image"].str.lower()
    other = ~names.str.isascii()
    names = names.mask(other, table.loc[other, "image"].map(folded))
    table["folded"] = names.where(table["exists"] != "False")  # a missing file's finding names one that is alike
    several = table[table["folded"].notna() & table["folded"].duplicated(keep=False)]
    table["alike"] = _shared(several.assign(spelt=several["image"].map(_spelt)), by="folded", column="spelt")
    pairs = near_duplicates(table["phash"])
    table["looks_like"] = looks_like(table, pairs)
    return table.assign(agreement=agreement(table["image"], pairs, boxes))


def _spelt(name: str) -> str:
    """Return a name so that it differs from one that only looks the same: e\\u0301 for an e and an accent."""
    return name if unicodedata.is_normalized("NFC", name) else ascii(name)[1:-1]


def _shared(table: Table, *, by: str, column: str) -> "pd.Series[str]":
    """Return, for rows that share a value of `by`, the names of them all."""
    several = table[table[by].notna() & table[by].duplicated(keep=False)]
    return table[by].map(_names(several, by=by, column=column))


def _places(table: Table) -> "pd.Series[str]":
    before = "line " if table["file"].nunique() == 1 else table["file"] + ":"
    place = before + table["line"].astype(str)
    return place.where(table["element"] == "", table["element"])  # of a JSON file, whose lines are unknown


def _nulled(table: Table, columns: list[str]) -> Table:
    return table.assign(**{name: table[name].where(table[name] != "") for name in columns})


def _names(table: Table, *, by: str, column: str) -> dict[str, str]:
    return {str(key): name_some(list(group)) for key, group in table.groupby(by)[column]}


def _with_numbers(table: Table, card: DatasetConfig) -> Table:
    numbers = parse_coordinates(table.fillna(dict.fromkeys(BOX, "")))
    table = table.assign(**dict(zip(FORMATS[card.box_format], numbers.T, strict=True)))
    table["largest_value"] = np.fmax.reduce(numbers, axis=1)
    # Centre + width / 2 misses the image's edge by a rounding error, never by a millionth of a pixel.
    table[EDGES] = table[EDGES].apply(pd.to_numeric, errors="coerce").round(6)
    for side, text in SIZES.items():
        size = pd.to_numeric(table[f"image_{side}"], errors="coerce")
        table[f"image_{side}"] = size.where(size > 0)
        given = pd.to_numeric(table[text], errors="coerce")
        table[f"annotated_{side}"] = given.where(np.isfinite(given))
    return table


def _clipped(table: Table, card: DatasetConfig) -> Table:
    """Return the table with boxes clipped that stick out by no more than the card allows, and by how much they did."""
    if not card.clip_px:
        return table
    edges, size = _edges_and_size(table)
    inside = np.clip(edges, 0, np.tile(size, 2))
    beyond = np.abs(edges - inside).max(axis=1)
    # Images that nobody looked at may have no size in pixels.
    repaired = (beyond > 0) & (beyond <= card.clip_px) & (area(inside) > 0) & table["exists"].notna().to_numpy()
    table[EDGES] = np.where(repaired[:, None], inside, edges)
    return table.assign(clipped_px=np.where(repaired, beyond, np.nan))


def _edges_and_size(table: Table) -> tuple[Array, Array]:
    return table[EDGES].to_numpy(dtype=np.float64), table[["image_width", "image_height"]].to_numpy(dtype=np.float64)


def _smallest_share(table: Table) -> "pd.Series[float]":
    """Return the shorter of the box's two sides, each as a share of the image's; NaN for an empty box."""
    across = (table["xmax_px"] - table["xmin_px"]) / table["image_width"]
    down = (table["ymax_px"] - table["ymin_px"]) / table["image_height"]
    share = across.where(across < down, down)
    return share.where(share > 0)


def _is_turned(table: Table) -> "pd.Series[bool]":
    """Return which rows are of images whose EXIF orientation swaps width and height."""
    return table["orientation"].isin(["5", "6", "7", "8"])


def _size_fix(table: Table) -> "pd.Series[str]":
    """Return what to do about an annotated size that is not the image's; null for the other rows."""
    differs = (table["annotated_width"] != table["image_width"]) | (table["annotated_height"] != table["image_height"])
    wrong = table[differs]
    swapped = wrong["annotated_width"] == wrong["image_height"]
    swapped &= wrong["annotated_height"] == wrong["image_width"]
    fix = pd.Series("correct the size; is the box of this image?", index=wrong.index)
    fix = fix.mask(swapped, "width and height are swapped; are the box's values swapped too?")
    turned = "size and box were taken before the EXIF rotation; take them from the upright image"
    return fix.mask(swapped & _is_turned(wrong), turned).reindex(table.index)


def _edge_fix(table: Table, card: DatasetConfig) -> "pd.Series[str]":
    """Return what to do about a box that sticks out of its image; null for the other rows."""
    edges, size = _edges_and_size(table)
    outside = table.loc[np.flatnonzero(((edges < 0) | (edges > np.tile(size, 2))).any(axis=1))]
    edges, size = _edges_and_size(outside)
    fix = pd.Series(_edge_doubt(card), index=outside.index)
    within = (edges >= 0) & (edges <= np.tile(size[:, ::-1], 2))
    fits_unturned = pd.Series(within.all(axis=1), index=outside.index)
    turned = "the box fits the picture before its EXIF rotation: draw it on the upright view, as viewers show it"
    return fix.mask(_is_turned(outside) & fits_unturned, turned).reindex(table.index)


def _edge_doubt(card: DatasetConfig) -> str:
    """Return what to do about a box beyond its image: correct it, or what the card may say otherwise."""
    if card.box_origin == 1:
        doubt = "counted from 0 (box_origin)"
    elif card.format != "csv":
        return "correct the box"  # the format itself says how boxes are written
    else:
        doubt = "in pixels (box_units)" if card.box_units == "unit" else "of another kind (box_format)"
    return f"correct the box; or is it {doubt}? see {CARD}"


def _with_neighbours(table: Table, card: DatasetConfig) -> Table:
    """Return the table with what the rules for repeated rows and several boxes need to know and to tell."""
    equal = ["image", "label", *BOX]
    table["is_repeat"] = table.duplicated(equal)
    repeated = table[table.duplicated(equal, keep=False)]
    table["first_place"] = repeated.groupby(equal, dropna=False)["place"].transform("first")
    counted = table[table["of_task"] & ~table["is_repeat"]]
    several = counted[counted["image"].duplicated(keep=False)]
    table["boxes_in_image"] = 1.0
    table.loc[counted.index, "boxes_in_image"] = counted["image"].map(counted["image"].value_counts()).astype(float)
    table["places"] = table["image"].map(_names(several, by="image", column="place"))
    table["is_surplus"] = True
    if card.multiple == "largest":
        table.loc[_largest(several), "is_surplus"] = False
    return table


def _largest(several: Table) -> "pd.Index[int]":
    """Return the index of each image's largest box, the first of equals; one beyond its image is no choice."""
    edges, size = _edges_and_size(several)
    inside = (edges >= 0).all(axis=1) & (edges[:, 2:] <= size).all(axis=1)
    areas = np.where(inside, area(edges), -1)
    order = several.assign(area=areas).sort_values("area", ascending=False, kind="stable")
    return order.drop_duplicates("image").index
