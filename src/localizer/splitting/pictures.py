"""The clusters that a split kept whole, in pictures."""

import textwrap
from pathlib import Path

import pandas as pd
from PIL import Image

from localizer.drawing import BACKGROUND, LINE_PX, MARGIN_PX, TILE_PX, TRUE, tile, write_text
from localizer.files import replacing_folder
from localizer.images.decoding import ImageError
from localizer.tables import EDGES, write_table

SHEETS, TILES, COLUMNS = 30, 12, 4  # clusters that are drawn, images of each, images side by side
CAPTION = 34  # letters that fit below a tile
CELL_PX = (TILE_PX + MARGIN_PX, TILE_PX + 4 * LINE_PX)  # a tile, its name and three lines


def draw_clusters(images: pd.DataFrame, table: pd.DataFrame, folder: Path) -> None:
    """Write NNN.jpg, a sheet a cluster of the table in its order, at most SHEETS, into the folder, emptied before.

    index.csv tells which is which; it is there, too, where no cluster is: DVC warns of an empty folder.
    """
    boxes = images.set_index("image")[["path", *EDGES]]
    names = {name: f"{number:03d}.jpg" for number, name in enumerate(table["cluster"].unique()[:SHEETS], start=1)}
    with replacing_folder(folder) as made:
        for number, (name, picture) in enumerate(names.items(), start=1):
            cluster = table[table["cluster"] == name].join(boxes, on="image")
            _sheet(cluster, number).save(made / picture, quality=85)
        write_table(pd.DataFrame({"picture": [*names.values()], "cluster": [*names]}), made / "index.csv")


def title(cluster: pd.DataFrame, number: int) -> str:
    """Return what a cluster is called."""
    sides = " and ".join(sorted(set(cluster["split"])))
    return f"Cluster {number}: {len(cluster)} images, all in {sides}"


def _sheet(cluster: pd.DataFrame, number: int) -> Image.Image:
    """Return the first TILES images of a cluster side by side, with boxes, names and reasons."""
    shown = cluster[:TILES]
    columns = max(2, min(COLUMNS, len(shown)))  # so that the title has room
    rows = -(-len(shown) // columns)
    size = (MARGIN_PX + columns * CELL_PX[0], 2 * LINE_PX + rows * CELL_PX[1])
    sheet = Image.new("RGB", size, "white")
    more = f", the first {TILES}" if len(cluster) > TILES else ""
    write_text(sheet, (MARGIN_PX, 10), f"{title(cluster, number)}{more}; green: the annotated box", size=14)
    for place, (_, row) in enumerate(shown.iterrows()):
        left, top = MARGIN_PX + place % columns * CELL_PX[0], 2 * LINE_PX + place // columns * CELL_PX[1]
        sheet.paste(_tile(Path(row["path"]), row[EDGES].tolist()), (left, top))
        caption = [row["image"][-CAPTION:], *textwrap.wrap(row["reason"], CAPTION)[:3]]
        write_text(sheet, (left, top + TILE_PX + 2), "\n".join(caption))
    return sheet


def _tile(path: Path, box_px: list[float]) -> Image.Image:
    try:
        return tile(path, {TRUE: box_px})
    except ImageError as error:  # the split is as good without its picture
        blank = Image.new("RGB", (TILE_PX, TILE_PX), BACKGROUND)
        write_text(blank, (MARGIN_PX, MARGIN_PX), "\n".join(textwrap.wrap(error.reason, CAPTION - 4)))
        return blank
