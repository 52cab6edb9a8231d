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
)
USUAL_BOX: tuple[tuple[BoxFormat, tuple[str, ...]], ...] = (
    *(("xyxy", (*start, *ENDS[start[0]])) for start in CORNERS if start[0] in ENDS),
    *(("xyxy", names) for names in MORE_CORNERS),
    *(("cxcywh", (*center, *sides)) for center in CENTERS for sides in SIDES),
    *(("xywh", (*start, *sides)) for start in CORNERS for sides in SIDES),
)
PREFIX = re.compile(r"^(roi|bbox|bndbox|boundingbox|box|bb|rect|region|coordinates?|geometry)(?=.)")


def shortened(name: str) -> set[str]:
    """Return the names that a column may be meant by: without punctuation, and without a prefix as `bbox`."""
    last = name.rpartition(".")[2]
    return {plain(last), PREFIX.sub("", plain(name)), PREFIX.sub("", plain(last))}


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
