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
        image = as_text(line.get("source-ref"))
        jobs = [key for key, value in line.items() if "annotations" in as_dict(value)]
        if not jobs:
            left.add("images without boxes of a labelling job")
        rows = [row for job in jobs for row in _rows(file, document.line, image, job, line)]
        yield from rows
        if jobs and not rows:
            yield BackgroundImage(image, *_size(line[jobs[0]]))
    yield from left.items()


def _rows(file: str, number: int | None, image: str, job: str, line: dict[str, Any]) -> Iterator[Row]:
    """Yield the boxes of one labelling job, whose name is their key."""
    labels = as_dict(as_dict(line.get(f"{job}-metadata")).get("class-map"))
    for index, box in enumerate(map(as_dict, as_list(line[job].get("annotations")))):
        label = as_text(box.get("class_id"))
        values = [*texts(box, "left", "top", "width", "height"), *_size(line[job])]
        yield Row(file, number, f"{job}.annotations[{index}]", image, as_text(labels.get(label)) or label, "", *values)


def _size(job: dict[str, Any]) -> list[str]:
    return texts(as_dict(next(iter(as_list(job.get("image_size"))), None)), "width", "height")
