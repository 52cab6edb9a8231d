"""VoTT 2: one JSON export with all assets, or a JSON file per asset; its CSV is read as any CSV."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "VoTT JSON"
PATTERN = "*.json"


def sniff(path: Path) -> bool:
    tops = [as_dict(value) for value in sniffed(path)]
    return any({"asset", "regions"} <= set(as_dict(asset)) for top in tops for asset in [top, *_assets(top)])


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per rectangle, and the visited images without a region."""
    file, left = source.as_posix(), LeftOut()
    for document in documents(source):
        top = as_dict(document.value)
        for asset in [top] if "regions" in top else _assets(top):
            about = as_dict(asset.get("asset"))
            name, size = as_text(about.get("name")), texts(as_dict(about.get("size")), "width", "height")
            for index, region in enumerate(map(as_dict, as_list(asset.get("regions")))):
                kind = (as_text(region.get("type")) or "RECTANGLE").lower()
                if kind not in ("rectangle", "square") and config.shapes != "bounds":
                    left.add(f"{kind} shapes")
                    continue
                label = as_text(next(iter(as_list(region.get("tags"))), ""))
                box = texts(as_dict(region.get("boundingBox")), "left", "top", "width", "height")
                yield Row(file, document.line, f"{name}.regions[{index}]", name, label, "", *box, *size)
            if not as_list(asset.get("regions")):
                yield BackgroundImage(name, *size)
    yield from left.items()


def _assets(top: dict[str, object]) -> list[dict[str, object]]:
    return [as_dict(asset) for asset in as_list(top.get("assets"))]
