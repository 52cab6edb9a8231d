"""Usual names of columns: of the image, its label, size and split, and of the four values of a box."""

import re
from collections.abc import Sequence

from localizer.boxes import BoxFormat

# Usual names, in lower case without punctuation; the first in the header is used.
USUAL = {
    "image": (
        *("image", "filename", "imagename", "imagepath", "imagefile", "imagefilename", "file", "filepath", "path"),
        *("imageid", "imgname", "imgpath", "img", "imgid", "fname", "imageurl", "url", "name", "id"),
    ),
    "label": (
        *("label", "class", "classname", "labelname", "category", "categoryname", "classtitle", "tag", "name"),
        *("objectclass", "object", "species", "classid", "categoryid", "labelid", "type"),
    ),
    "split": ("split", "subset", "set", "partition", "mluse", "mlusage"),
    "width": ("imagewidth", "imgwidth", "originalwidth", "imgw", "width"),
    "height": ("imageheight", "imgheight", "originalheight", "imgh", "height"),
}
CENTERS = (("cx", "cy"), ("xcenter", "ycenter"), ("centerx", "centery"), ("xcentre", "ycentre"), ("centrex", "centrey"))
CORNERS = (("xmin", "ymin"), ("x1", "y1"), ("left", "top"), ("x", "y"), ("minx", "miny"), ("xtl", "ytl"), ("x0", "y0"))
SIDES = (("width", "height"), ("w", "h"))
ENDS = {
    "xmin": ("xmax", "ymax"), "x1": ("x2", "y2"), "left": ("right", "bottom"), "minx": ("maxx", "maxy"),
    "xtl": ("xbr", "ybr"), "x0": ("x1", "y1"),
}  # fmt: skip
MORE_CORNERS = (
    ("topleftx", "toplefty", "bottomrightx", "bottomrighty"),
    ("startx", "starty", "endx", "endy"),
    tuple("ltrb"),
    ("mincol", "minrow", "maxcol", "maxrow"),
    ("colmin", "rowmin", "colmax", "rowmax"),
)
USUAL_BOX: tuple[tuple[BoxFormat, tuple[str, ...]], ...] = (
    *(("xyxy", (*start, *ENDS[start[0]])) for start in CORNERS if start[0] in ENDS),
    *(("xyxy", names) for names in MORE_CORNERS),
    *(("cxcywh", (*center, *sides)) for center in CENTERS for sides in SIDES),
    *(("xywh", (*start, *sides)) for start in CORNERS for sides in SIDES),
)
PREFIX = re.compile(r"^(roi|bbox|bndbox|boundingbox|box|bb|rect|region|coordinates?|geometry)(?=.)")


def shortened(name: str) -> set[str]:
    """Return the names that a column may be meant by: without punctuation, a parent and a prefix as `bbox`."""
    return {short for _, short in parts(name)}


def parts(name: str) -> set[tuple[str, str]]:
    """Return a column's name as (group, own name): `bbox_x` is x of bbox, `nose.x` x of nose, and both without one."""
    parent, _, last = name.rpartition(".")
    found = {(plain(parent), plain(last))}
    for text in (plain(name), plain(last)):
        if prefix := PREFIX.match(text):
            found.add((prefix[0], text[prefix.end() :]))
    return found


def box_by_names(names: Sequence[str]) -> tuple[BoxFormat, list[str]] | None:
    """Return the box format and the four columns that names mean; None if they mean none, or several boxes.

    All four are of one group; one called box goes before others.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in reversed(names):
        for group, short in parts(name):
            groups.setdefault(group, {})[short] = name
    found: dict[str, tuple[BoxFormat, list[str]]] = {}
    for group, spelled in groups.items():
        fitting = (one for one in USUAL_BOX if set(one[1]) <= set(spelled) and "x3" not in spelled)  # x3: four corners
        if first := next(fitting, None):
            found[group] = first[0], [spelled[word] for word in first[1]]
    boxes = {group: box for group, box in found.items() if PREFIX.match(f"{group}x")} or found
    different = {tuple(box) for _, box in boxes.values()}
    return next(iter(boxes.values())) if len(different) == 1 else None


def plain(name: str) -> str:
    """Return a name in lower case without punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def called(key: str, names: Sequence[str]) -> str | None:
    """Return the first of the names that is usual for a key of `CsvColumns`."""
    spelled = {plain(name): name for name in reversed(names)}
    return next((spelled[usual] for usual in USUAL[key] if usual in spelled), None)


def format_of(box: Sequence[str]) -> BoxFormat | None:
    """Return the box format that the names of four columns mean, in this order; None if they mean none."""
    names = [shortened(name) for name in box]
    found = (one for one, usual in USUAL_BOX if all(word in own for word, own in zip(usual, names, strict=False)))
    return next(found, None)
