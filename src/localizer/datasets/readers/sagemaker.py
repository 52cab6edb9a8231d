"""SageMaker Ground Truth: an output manifest, JSON Lines with one image each."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localizer.datasets.readers.json_text import as_dict, as_list, as_text, documents, sniffed, texts
from localizer.datasets.readers.row import BackgroundImage, Item, LeftOut, Row

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig

TITLE = "SageMaker Ground Truth manifest"
PATTERN = "*.*"


def sniff(path: Path) -> bool:
    return path.suffix.lower() in (".manifest", ".json", ".jsonl") and any(
        "source-ref" in as_dict(value) for value in sniffed(path)
    )


def read(source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
    """Yield a row per box, and the images without one."""
    file, left = source.as_posix(), LeftOut()
    for document in documents(source):
        line = as_dict(document.value)
        image, job = as_text(line.get("source-ref")), _job(line)
        if job is None:
            left.add("images without boxes of a labelling job")
            continue
        labels = as_dict(as_dict(line.get(f"{job}-metadata")).get("class-map"))
        size = texts(as_dict(next(iter(as_list(line[job].get("image_size"))), None)), "width", "height")
        for index, box in enumerate(map(as_dict, as_list(line[job].get("annotations")))):
            number = as_text(box.get("class_id"))
            values = texts(box, "left", "top", "width", "height")
            place = f"{job}.annotations[{index}]"
            yield Row(file, document.line, place, image, as_text(labels.get(number)) or number, "", *values, *size)
        if not as_list(line[job].get("annotations")):
            yield BackgroundImage(image, *size)
    yield from left.items()


def _job(line: dict[str, Any]) -> str | None:
    """Return the key of the boxes, the labelling job's name."""
    return next((key for key, value in line.items() if "annotations" in as_dict(value)), None)
