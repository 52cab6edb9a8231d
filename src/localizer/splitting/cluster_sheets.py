"""Contact sheets of the clusters that a split keeps together."""

import textwrap
from pathlib import Path

import pandas as pd
from PIL import Image

from localizer.drawing import BACKGROUND, LINE_PX, MARGIN_PX, TILE_PX, TRUE_COLOR, tile, write_text
from localizer.files import replacing_folder
from localizer.images.decoding import ImageError
from localizer.tables import EDGES, write_table

MAX_SHEETS, MAX_TILES, COLUMNS = 30, 12, 4  # clusters that are drawn, images of each, images in a row
CAPTION = 34  # letters that fit below a tile
CELL_PX = (TILE_PX + MARGIN_PX, TILE_PX + 4 * LINE_PX)  # a tile, its name and three lines


def draw_clusters(images: pd.DataFrame, table: pd.DataFrame, folder: Path) -> None:
    """Write a sheet NNN.jpg for each of the table's first MAX_SHEETS clusters into the folder, which is replaced.

    index.csv has the cluster of each, and exists without a cluster, too: DVC warns of an empty folder.
    """
    boxes = images.set_index("image")[["path", *EDGES]]
    sheets = {name: f"{number:03d}.jpg" for number, name in enumerate(table["cluster"].unique()[:MAX_SHEETS], start=1)}
    with replacing_folder(folder) as new_folder:
        for number, (name, file) in enumerate(sheets.items(), start=1):
            cluster = table[table["cluster"] == name].join(boxes, on="image")
            _sheet(cluster, number).save(new_folder / file, quality=85)
        write_table(pd.DataFrame({"picture": [*sheets.values()], "cluster": [*sheets]}), new_folder / "index.csv")


def cluster_title(cluster: pd.DataFrame, number: int) -> str:
    """Return a cluster's heading."""
    splits = sorted(set(cluster["split"]))
    return f"Cluster {number}: {len(cluster)} images, {'all in' if len(splits) == 1 else 'in'} {' and '.join(splits)}"


def _sheet(cluster: pd.DataFrame, number: int) -> Image.Image:
    """Return the first MAX_TILES images of a cluster, with boxes, names and reasons."""
    shown = cluster[:MAX_TILES]
    columns = max(2, min(COLUMNS, len(shown)))  # so that the title fits
    rows = -(-len(shown) // columns)
    size = (MARGIN_PX + columns * CELL_PX[0], 2 * LINE_PX + rows * CELL_PX[1])
    sheet = Image.new("RGB", size, "white")
    more = f", the first {MAX_TILES}" if len(cluster) > MAX_TILES else ""
    write_text(sheet, (MARGIN_PX, 10), f"{cluster_title(cluster, number)}{more}; green: the annotated box", size=14)
    for position, (_, row) in enumerate(shown.iterrows()):
        left, top = MARGIN_PX + position % columns * CELL_PX[0], 2 * LINE_PX + position // columns * CELL_PX[1]
        sheet.paste(_tile(Path(row["path"]), row[EDGES].tolist()), (left, top))
        caption = [row["image"][-CAPTION:], *textwrap.wrap(row["reason"], CAPTION)[:3]]
        write_text(sheet, (left, top + TILE_PX + 2), "\n".join(caption))
    return sheet


def _tile(path: Path, box_px: list[float]) -> Image.Image:
    try:
        return tile(path, {TRUE_COLOR: box_px})
    except ImageError as error:  # an image that is gone doesn't affect the split
        blank = Image.new("RGB", (TILE_PX, TILE_PX), BACKGROUND)
        write_text(blank, (MARGIN_PX, MARGIN_PX), "\n".join(textwrap.wrap(error.reason, CAPTION - 4)))
        return blank
