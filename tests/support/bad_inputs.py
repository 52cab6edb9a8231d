"""The command `localizer validate` as it is run on boxes.csv and images/, and pictures to run it on."""

import csv
import json
import struct
import zlib
from collections.abc import Iterable
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from localizer.cli import main
from localizer.findings import Finding

HEADER = "filename,class,xmin,ymin,xmax,ymax"
BOX = "cat,10,10,60,50"  # a label and a box that fit each picture of SIZE
SIZE = (100, 80)


class Outcome(NamedTuple):
    """What one command did: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def findings(self) -> list[Finding]:
        return [Finding(**each) for each in json.loads(self.out)]

    def of(self, rule: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.rule == rule]

    def at(self, line: int) -> list[Finding]:
        return [finding for finding in self.findings if finding.line == line]

    def about(self, file: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.file == file]


def key(finding: Finding) -> tuple[str, int | None, str, str, str]:
    return finding.file, finding.line, finding.column, finding.rule, finding.severity


def run(*options: str) -> Outcome:
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main(["validate", "boxes.csv", *options])
    return Outcome(status, out.getvalue(), err.getvalue())


def validate(*options: str) -> Outcome:
    """Return what the command says of boxes.csv and images/ in the working folder."""
    return run("--images", "images", "--json", *options)


def validate_text(content: str | bytes, *options: str) -> Outcome:
    """Return what the command says of boxes.csv with that content."""
    Path("boxes.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return validate(*options)


def strict(content: str | bytes, *options: str) -> Outcome:
    """Return what the command says of boxes.csv with that content, where a dataset.yaml declares HEADER."""
    box = "[xmin, ymin, xmax, ymax]"
    Path("card.yaml").write_text(
        "{title: mine, format: csv, annotations: boxes.csv, images: images, "
        f"columns: {{image: filename, label: class, box: {box}}}}}\n"
    )
    return validate_text(content, "--config", "card.yaml", *options)


def table(rows: Iterable[str], *, header: str = HEADER) -> str:
    return "".join(f"{row}\n" for row in (header, *rows))


def boxes_in(names: Iterable[str]) -> str:
    """Return a CSV with BOX in each image, whatever its name."""
    text = StringIO(newline="")
    text.write(f"{HEADER}\n")
    csv.writer(text, lineterminator="\n").writerows([name, *BOX.split(",")] for name in names)
    return text.getvalue()


def picture(seed: int) -> Image.Image:
    """Return a picture of SIZE that looks like no other."""
    tiles = np.random.default_rng(seed).integers(0, 256, (8, 10, 3), dtype=np.uint8)
    return Image.fromarray(tiles).resize(SIZE, Image.Resampling.NEAREST)


def add_pictures(*names: str) -> None:
    for seed, name in enumerate(names):
        path = Path("images", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(seed).save(path, "PNG")


def png(width: int, height: int, *, depth: int, pixels: bytes) -> bytes:
    """Return a PNG in colour; `pixels` are its rows, each with a filter's byte before."""
    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
