"""Thumbnails of the worst findings, each with its box, for the Markdown summary."""

from collections.abc import Iterator
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
from localizer.validation.result import Verdict

MOST = 12
SIDE_PX = 240
BOX = "#e6007e"


def write_pictures(verdict: Verdict, card: DatasetConfig, folder: Path) -> list[tuple[str, Finding]]:
    """Write the thumbnails into the folder, emptied before; return their paths from the folder's parent.

    There are none where the card does not let images be shown. index.csv tells which finding each shows; without it
    DVC would warn of an empty folder.
    """
    shown: list[tuple[str, Finding]] = []
    with replacing_folder(folder) as made:
        for finding, path, box_px in _worst(verdict) if card.show_images else ():
            try:
                image = open_rgb(path)
            except ImageError:
                continue
            name = f"{len(shown) + 1:02d}.jpg"
            _thumbnail(image, box_px).save(made / name, quality=85)
            shown.append((f"{folder.name}/{name}", finding))
            if len(shown) == MOST:
                break
        rows = [(Path(path).name, one.rule, one.file, one.line or one.column) for path, one in shown]
        write_table(pd.DataFrame(rows, columns=["picture", "rule", "file", "line"]), made / "index.csv")
    return shown


def _worst(verdict: Verdict) -> Iterator[tuple[Finding, Path, list[float]]]:
    """Yield findings of rows with their image's path and box, a row once: critical ones first, rules in turn."""
    boxes = verdict.boxes
    edges = boxes[EDGES].to_numpy(dtype=np.float64)
    seen_whole = (boxes["exists"] == "True").to_numpy() & np.isfinite(edges).all(axis=1)
    seen: dict[str, int] = {}
    ranked = []
    for finding in verdict.worst(len(verdict.findings)):
        seen[finding.rule] = seen.get(finding.rule, 0) + 1
        ranked.append((finding.severity, seen[finding.rule], finding))
    rows = set()
    for _, _, finding in sorted(ranked, key=lambda item: item[:2]):
        if finding.row is not None and finding.row not in rows and seen_whole[finding.row]:
            rows.add(finding.row)
            yield finding, Path(str(boxes["path"].iat[finding.row])), edges[finding.row].tolist()


def _thumbnail(image: Image.Image, box_px: list[float]) -> Image.Image:
    """Return the image with its box, on grey where the box lies outside, at most half the image's side away."""
    reach = (image.width / 2, image.height / 2)
    low = [min(0.0, max(side, -far)) for side, far in zip(box_px[:2], reach, strict=True)]
    high = [max(full, min(side, full + far)) for side, full, far in zip(box_px[2:], image.size, reach, strict=True)]
    scale = SIDE_PX / max(high[0] - low[0], high[1] - low[1])
    size = [max(1, round((far - near) * scale)) for near, far in zip(low, high, strict=True)]
    canvas = Image.new("RGB", (size[0], size[1]), "#bbbbbb")
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    canvas.paste(small, (round(-low[0] * scale), round(-low[1] * scale)))
    near, far = np.array([low, low]).ravel(), np.array([high, high]).ravel()
    ordered = np.clip([*np.minimum(box_px[:2], box_px[2:]), *np.maximum(box_px[:2], box_px[2:])], near, far)
    return draw_boxes(canvas, {BOX: ((ordered - near) * scale).tolist()})
