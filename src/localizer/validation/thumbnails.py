"""Thumbnails of the most important findings, each with its box, for the Markdown summary."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from localizer.dataset import DatasetConfig
from localizer.drawing import draw_boxes
from localizer.files import replacing_folder
from localizer.findings import Finding
from localizer.images.decoding import ImageError, open_rgb
from localizer.tables import EDGES, write_table
from localizer.validation.result import ValidationResult

MAX_THUMBNAILS = 12
SIDE_PX = 240
BOX_COLOR = "#e6007e"


def write_thumbnails(result: ValidationResult, config: DatasetConfig, folder: Path) -> list[tuple[str, Finding]]:
    """Write the thumbnails into the folder, which is replaced; return their paths from the folder's parent.

    There are none where the config has `show_images: false`. index.csv has the finding of each; without it DVC would
    warn of an empty folder.
    """
    shown: list[tuple[str, Finding]] = []
    with replacing_folder(folder) as new_folder:
        for finding, path, box_px in _candidates(result) if config.show_images else ():
            try:
                image = open_rgb(path)
            except ImageError:
                continue
            name = f"{len(shown) + 1:02d}.jpg"
            _thumbnail(image, box_px).save(new_folder / name, quality=85)
            shown.append((f"{folder.name}/{name}", finding))
            if len(shown) == MAX_THUMBNAILS:
                break
        rows = [
            (Path(path).name, finding.rule, finding.file, finding.line or finding.column) for path, finding in shown
        ]
        write_table(pd.DataFrame(rows, columns=["picture", "rule", "file", "line"]), new_folder / "index.csv")
    return shown


def _candidates(result: ValidationResult) -> Iterator[tuple[Finding, Path, list[float]]]:
    """Yield findings with image path and box, one per row: critical ones first, rules in turn."""
    boxes = result.boxes
    edges = boxes[EDGES].to_numpy(dtype=np.float64)
    can_be_shown = (boxes["exists"] == "True").to_numpy() & np.isfinite(edges).all(axis=1)
    turns = defaultdict[str, Iterator[int]](count)
    ranked = [(finding.severity, next(turns[finding.rule]), finding) for finding in result.ranked()]
    rows = set()
    for _, _, finding in sorted(ranked, key=lambda item: item[:2]):
        if finding.row is not None and finding.row not in rows and can_be_shown[finding.row]:
            rows.add(finding.row)
            yield finding, Path(str(boxes["path"].iat[finding.row])), edges[finding.row].tolist()


def _thumbnail(image: Image.Image, box_px: list[float]) -> Image.Image:
    """Return the image with its box, on gray where the box is outside, at most half the image's side away."""
    size = np.array(image.size, dtype=np.float64)
    corners = np.array(box_px).reshape(2, 2)
    low = np.clip(corners[0], -size / 2, 0)
    high = np.clip(corners[1], size, size * 1.5)
    scale = SIDE_PX / (high - low).max()
    canvas_size, image_size, offset = (np.round(values * scale).astype(int) for values in (high - low, size, -low))
    canvas = Image.new("RGB", tuple(np.maximum(canvas_size, 1).tolist()), "#bbbbbb")
    canvas.paste(image.resize(tuple(np.maximum(image_size, 1).tolist())), tuple(offset.tolist()))
    ordered = np.clip(np.sort(corners, axis=0), low, high)
    return draw_boxes(canvas, {BOX_COLOR: ((ordered - low) * scale).ravel().tolist()})
