"""Small annotations and images that break the rules: docs/findings.py runs `localizer` on them.

Each case is a command and the files in its working folder. It may break many rules; a rule's block is that of the
first case that breaks it.
"""

import gzip
import json
import os
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Content = str | bytes | Callable[[Path], object]  # of a file; or what makes it
WIDTH, HEIGHT = SIZE = (120, 100)  # of a photo, in pixels
ORIENTATION = 0x0112  # the tag of EXIF


@dataclass(frozen=True)
class Case:
    """A command, and the files in its working folder by path."""

    command: str
    files: Mapping[str, Content] = field(default_factory=dict)


def photo(seed: int, *, kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = SIZE, **options: Any) -> bytes:
    """Return an image file that looks like no other seed's."""
    tiles = np.random.default_rng(seed).integers(0, 256, (10, 12, 3), dtype=np.uint8)
    image, content = Image.fromarray(tiles).resize(size, Image.Resampling.NEAREST).convert(mode), BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def turned(seed: int) -> bytes:
    """Return a JPEG that is stored on its side; upright it has SIZE."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return photo(seed, size=(HEIGHT, WIDTH), exif=exif)


def moving() -> bytes:
    """Return a GIF of two frames."""
    frames = [Image.new("L", SIZE, color) for color in (0, 255)]
    content = BytesIO()
    frames[0].save(content, "GIF", save_all=True, append_images=frames[1:])
    return content.getvalue()


def photos(count: int) -> dict[str, Content]:
    """Return the files photos/01.jpg, photos/02.jpg and so on."""
    return {f"photos/{number:02d}.jpg": photo(number) for number in range(1, count + 1)}


def table(header: str, rows: Iterable[str]) -> str:
    """Return a CSV; a row that begins with a number is of that photo."""
    numbered = [f"{row[:2]}.jpg{row[2:]}" if row[:2].isdigit() else row for row in rows]
    return "".join(f"{line}\n" for line in (header, *numbered))


def csv_case(options: str, rows: Iterable[str], *, header: str = "image,xmin,ymin,xmax,ymax") -> Case:
    """Return the validation of a CSV that has one row for each of some photos."""
    lines = list(rows)
    files = photos(len(lines)) | {"boxes.csv": table(header, lines)}
    return Case(f"validate boxes.csv --images photos {options}", files)


def card(**values: Any) -> str:
    """Return a dataset.yaml of a CSV."""
    columns = {"image": "image", "box": ["xmin", "ymin", "xmax", "ymax"]}
    usual = {"title": "mine", "format": "csv", "annotations": "boxes.csv", "images": "photos", "columns": columns}
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in (usual | values).items())


def coco(annotations: Iterable[Mapping[str, Any]], **lists: Any) -> str:
    """Return COCO's JSON with a category and twelve images, where `lists` has no others."""
    annotations = [{"id": 40 + n, "category_id": 1} | dict(values) for n, values in enumerate(annotations, start=1)]
    images = [{"id": n, "file_name": f"{n:02d}.jpg"} for n in range(1, 13)]
    usual = {"images": images, "categories": [{"id": 1, "name": "cat"}], "annotations": annotations}
    return json.dumps(usual | lists, indent=1)


def repository(file: Path) -> None:
    """Make the folder of the file a git repository with one commit, which has no file."""
    who = (
        "-c",
        "user.name=me",
        "-c",
        "user.email=me@example.org",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "core.hooksPath=",
    )
    for command in (("init", "--quiet"), ("commit", "--quiet", "--allow-empty", "--message", "one")):
        subprocess.run(["git", *who, *command], cwd=file.parent, check=True)


HEADER, LABELED = "image,xmin,ymin,xmax,ymax\n", "image,label,xmin,ymin,xmax,ymax"
GOOD = "cat,10,20,60,70,120,100,train,"
ROWS = [
    *(f"{number:02d},{GOOD}" for number in range(1, 11)),
    f"lost.jpg,{GOOD}",
    "11,cat,10,,60,70,120,100,train,",
    "12,cat,10,20,6O,70,120,100,train,",
    "13,cat,10,20,128,70,120,100,train,",
    "14,cat,10,20,60,70,100,120,train,",
    "15,,10,20,60,70,120,100,train,",
    "16,=1+1,10,20,60,70,120,100,train,",
    f"01,{GOOD}",
    "17,cat,10,20,60,70,120,100,train,",
    "17,dog,20,20,60,70,120,100,test,",
    "18,cat,-4,20,60,70,120,100,train,",
    "19,cat,60,20,10,70,120,100,train,",
    "20,cat,10,20,11,70,120,100,train,",
    "21,cat,0,0,120,100,120,100,train,",
    "22,Cat,10,20,60,70,120,100,train,",
    "dot.png,cat,0,0,1,0.9,1,1,train,",
    *(f"{name},{GOOD}" for name in ("cut.jpg", "moving.gif", "23", "copy.jpg", "new.png", "old.png", "A.png", "a.png")),
    *(f"{name},{GOOD}" for name in ("saved.jpg", "turned.jpg", "gray.png")),
]
PICTURES: dict[str, bytes] = {
    "cut.jpg": b"",
    "moving.gif": moving(),
    "dot.png": photo(30, kind="PNG", size=(1, 1)),
    "copy.jpg": photo(23),
    "new.png": photo(31, kind="PNG"),
    "old.png": photo(31, kind="PNG", compress_level=0),
    "A.png": photo(32, kind="PNG"),
    "a.png": photo(33, kind="PNG"),
    "saved.jpg": photo(34, kind="PNG"),
    "turned.jpg": turned(35),
    "gray.png": photo(36, kind="PNG", mode="L"),
    "extra.jpg": photo(37),
}
ALL_PHOTOS = photos(23) | {f"photos/{name}": content for name, content in PICTURES.items()}
ALL_ROWS = {"boxes.csv": table("image,label,xmin,ymin,xmax,ymax,width,height,split,note", ROWS)}
ALIKE = [f"{n:02d},cat,{10 + n % 5},{20 + n % 4},{60 + n % 7},{70 + n % 3}" for n in range(1, 37)]
ODD = ["37,cat,10,20,118,99", "38,cat,10,40,110,46", "39,cat,70,0,118,50"]
FIVE = range(1, 6)

OF_ROWS = (
    Case("validate boxes.csv --images photos --box-format xyxy", ALL_PHOTOS | ALL_ROWS),
    csv_case("--box-format xyxy", [*ALIKE, *ODD], header=LABELED),
    csv_case("--clip-px 2 --on-bad-row quarantine", ["01,10,20,121,70", "02,60,20,10,70", "03,10,,60,70"]),
)
OF_ENCODING = (
    csv_case("--box-units pixel --label dog", [f"{n:02d},cat,0.1,0.2,0.5,0.{n + 2}" for n in FIVE], header=LABELED),
    csv_case("--box-units unit --box-format xyxy", [f"{n:02d},10,20,60,{70 + n}" for n in FIVE]),
    csv_case("--box-origin 0 --box-format xyxy", [f"{n:02d},1,1,{60 + n},100" for n in FIVE]),
    csv_case("--box-format xyxy", [f"{n:02d},60,50,{40 + n},60" for n in FIVE]),  # centers
    csv_case("--box-format xywh", [f"{n:02d},10,20,{60 + 10 * n},{70 + 5 * n}" for n in FIVE]),  # corners
    csv_case("--box-format xywh", [f"{n:02d},20,20,15,{80 + n}" for n in FIVE]),  # x, y, height, width, or y before x
    csv_case("", [f"{n:02d},{10 + n},{20 + n},{40 + n},{45 + n}" for n in FIVE], header="image,a,b,c,d"),
    csv_case("", [f"{n:02d},1200,{20 + n},1260,70" for n in range(1, 13)]),
    csv_case("", ["01,10,20,cat"], header="photo,x,y,kind"),
)

LATIN = f"{HEADER}caf\xe9.jpg,10,20,60,70\n".encode("latin-1")
BROKEN: dict[str, Content] = {
    "my.yaml": card(),
    "boxes/blank.csv": "",
    "boxes/packed.csv": gzip.compress(b"", mtime=0),
    "boxes/excel.csv": b"PK\x03\x04",
    "boxes/unicode.csv": f"{HEADER}01.jpg,10,20,60,70\n".encode("utf-16"),
    "boxes/latin.csv": LATIN,
    "boxes/nul.csv": f"{HEADER}01.jpg\0,10,20,60,70\n",
    "boxes/quote.csv": f'{HEADER}"01.jpg,10,20,60,70\n',
    "boxes/german.csv": HEADER.replace(",", ";"),
    "boxes/short.csv": f"{HEADER}01.jpg,10,20,60\n02.jpg,10,20,60,70,80\n",
    "boxes/header.csv": "image,xmin,xmin, ymin,xmax\n01.jpg,10,10,20,60\n",
    "boxes/locked.csv": lambda path: path.symlink_to("/proc/self/mem"),  # which root can't read either
}
OF_FILES = (
    Case("validate boxes --config my.yaml", BROKEN),
    Case("validate boxes --config my.yaml", {"boxes/notes.md": "", "my.yaml": card()}),
    Case("validate boxes.csv --encoding ascii", {"boxes.csv": LATIN}),
    Case("validate boxes.csv", {"boxes.csv": os.mkfifo}),
    Case("validate boxes.xlsx", {"boxes.xlsx": b"PK\x03\x04"}),
    Case("validate data/mine", {"data/mine/dataset.yaml": card()}),
    Case("validate data/mine", {"data/mine/dataset.yaml": card(colums={}, clip_px=-1)}),
)

BNDBOX = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>60</xmax><ymax>70</ymax></bndbox>"
VOC = {
    "voc/01.xml": f"<annotation><object><name>cat</name>{BNDBOX}</object></annotation>\n",
    "voc/02.xml": "<annotation>\n<filename>02.jpg\n</annotation>\n",
    "voc/03.xml": '<!DOCTYPE a [<!ENTITY b "c">]>\n<annotation/>\n',
    "voc/04.xml": "<html></html>\n",
}
YOLO: dict[str, Content] = {
    "labels/01.txt": "cat 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n",
    "labels/02.txt": "0 0.5 0.5 0.2 0.2\n",
    "photos/02.jpg": photo(2),
    "photos/02.png": photo(3, kind="PNG"),
    "classes.txt": "cat\ndog\n",
}
COCO_IDS = coco(
    [
        {"image_id": 1, "bbox": [10, 20, 50, 50]},
        {"image_id": 9, "bbox": [10, 20, 50, 50]},
        {"image_id": 1, "bbox": None},
    ],
    images=[{"id": 1, "file_name": "01.jpg"}, {"id": 1, "file_name": "02.jpg"}, {"id": 3}],
)
POLYGON = {"bbox": [10, 20, 10, 10], "segmentation": [[60, 50, 90, 50, 90, 80]]}
OUTSIDE = coco({"image_id": n, "bbox": [400, 20, 50, 60]} for n in range(1, 13))
OF_FORMATS = (
    Case("validate voc", VOC),
    Case("validate boxes.xml", {"boxes.xml": '<annotations><track id="0"/></annotations>'}),
    Case("validate boxes.json", {"boxes.json": '{"images": [}\n'}),
    Case("validate boxes.json --from coco", {"boxes.json": "[]"}),
    Case("validate boxes.json --from coco", {"boxes.json": '{"images": [], "images": [7], "annotations": {"1": 2}}'}),
    Case("validate boxes.json", {"boxes.json": COCO_IDS}),
    Case("validate boxes.json", {"boxes.json": coco({"image_id": n} | POLYGON for n in FIVE)}),
    Case("convert boxes.json --images photos --to csv --output new.csv", photos(12) | {"boxes.json": OUTSIDE}),
    Case("validate boxes.json --from records", {"boxes.json": '{"image": "01.jpg"}'}),
    Case("validate labels --images photos", YOLO),
    Case("validate labels", {"labels/01.txt": "0 0.5 0.5 0.2 0.2\n", "data.yaml": "names: 2\n"}),
    Case("validate boxes.txt --from yolo", {"boxes.txt": "0 0.5 0.5 0.2 0.2\n"}),
    Case("validate labels --from kitti", {"labels/01.txt": "car 10 20 60 70\n"}),
)

ACCEPTED = table(LABELED, [f"{n:02d},cat,10,20,60,{70 + n}" for n in range(1, 11)])
MOVED = [f"{n:02d},cat,15,20,60,{70 + n}" for n in range(3, 7)]
CHANGED = table(LABELED, [*MOVED, *(f"{n:02d},dog,10,20,100,{70 + n}" for n in range(7, 20))])
OF_CHANGES = (
    Case("validate new.csv --against boxes.csv", {"boxes.csv": ACCEPTED, "new.csv": CHANGED}),
    Case(
        "validate --since HEAD",
        {
            "README.md": repository,
            "data/mine/dataset.yaml": card(),
            "data/mine/raw/boxes.csv": f"{HEADER}01.jpg,10,20,60,70\n",
        },
    ),
)
CASES = (*OF_ROWS, *OF_ENCODING, *OF_FILES, *OF_FORMATS, *OF_CHANGES)
