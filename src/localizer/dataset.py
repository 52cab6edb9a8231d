"""A data set: what data/NAME/dataset.yaml says of it, and where its files are."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from localizer.boxes import BoxFormat
from localizer.config import Record, parse, read_yaml

DATA_SET_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # it names a folder, and stands in dvc.yaml
Name = Annotated[str, Field(min_length=1)]
Inside = Annotated[Name, AfterValidator(lambda path: _inside(path))]  # a path below raw/
Columns = Annotated[list[Name], Field(min_length=4, max_length=4)]
Share = Annotated[float, Field(ge=0, le=1)]
Units = Literal["pixel", "unit"]

# How the boxes of a format are written, where the format itself says so.
WRITTEN: dict[str, tuple[BoxFormat, Units]] = {
    "voc": ("xyxy", "pixel"),
    "coco": ("xywh", "pixel"),
    "yolo": ("cxcywh", "unit"),
}


class CsvColumns(Record):
    """Which columns of a CSV hold what; `box` names four, in the order of the card's `box_format`.

    `group` is what must not be split: a video, a patient, a site.
    """

    image: Name
    box: Columns
    label: Name | None = None
    group: Name | None = None
    width: Name | None = None
    height: Name | None = None


class GitSource(Record):
    """Files of a public git repository at one commit, `digest` being that of their list (see `sources`)."""

    repository: Name
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    paths: Annotated[list[Inside], Field(min_length=1)]
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Drift(Record):
    """How far changed annotations may be from the accepted ones before that is critical; see `drift`."""

    added: Annotated[float, Field(ge=0)] = 0.5
    removed: Share = 0.05
    moved: Share = 0.05
    labels: Share = 0.1
    sizes: Share = 0.1


class DatasetConfig(Record):
    """A data set: paths are below data/NAME/raw; fractions are in [0, 1].

    `box_origin: 1` is Pascal VOC's habit: pixels are counted from 1 and a box ends on its last pixel, so
    that the box 1, 1, 10, 10 covers ten pixels and becomes 0, 0, 10, 10. `clip_px`: a box that sticks out
    of its image by no more is clipped. `show_images: false` keeps the pictures out of every report.
    """

    title: Name
    format: Literal["csv", "voc", "coco", "yolo"]
    annotations: Inside
    images: Inside
    columns: CsvColumns | None = None
    label: Name | None = None
    box_format: BoxFormat = "xyxy"
    box_units: Units = "pixel"
    box_origin: Literal[0, 1] = 0
    multiple: Literal["error", "largest", "drop"] = "error"
    on_bad_row: Literal["fail", "quarantine"] = "fail"
    max_bad_fraction: Share = 0.01
    clip_px: Annotated[float, Field(ge=0)] = 0
    show_images: bool = True
    drift: Drift = Drift()
    licence: Name | None = None
    source: str | GitSource | None = None

    @model_validator(mode="before")
    @classmethod
    def _as_its_format_writes_boxes(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("format") in WRITTEN:
            box_format, units = WRITTEN[values["format"]]
            return {"box_format": box_format, "box_units": units} | values
        return values

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.format == "csv") != (self.columns is not None):
            raise ValueError("`columns` belongs to format csv, and format csv needs it")
        written = (self.box_format, self.box_units)
        if WRITTEN.get(self.format, written) != written:
            raise ValueError(
                f"{self.format} boxes are {' in '.join(WRITTEN[self.format])}s; remove box_format and box_units"
            )
        if self.box_origin == 1 and (self.box_format == "cxcywh" or self.box_units == "unit"):
            raise ValueError("box_origin 1 counts pixels from a corner; it does not go with cxcywh or unit")
        return self


def read_config(name: str, *, root: Path = Path("data")) -> DatasetConfig:
    """Return the card of data set `name`; ValueError names each wrong key, or the sets that there are."""
    path = root / name / "dataset.yaml"
    if not path.is_file():
        known = ", ".join(sorted(card.parent.name for card in root.glob("*/dataset.yaml")))
        raise ValueError(f"{path}: no such data set; there are: {known or 'none'} (make one with `localizer init`)")
    return read_config_file(path)


def read_config_file(path: Path) -> DatasetConfig:
    """Return the card that a file holds; ValueError names each wrong key."""
    return parse(DatasetConfig, read_yaml(path), where=path.as_posix())


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise ValueError(f"a path below raw/, with /, was expected, got {path!r}")
    return path


@dataclass(frozen=True)
class Dataset:
    """Annotations, the card by which they are read, and the folder of their images, None where nobody has them.

    config_path: the file that holds the card, if one does.
    """

    card: DatasetConfig
    annotations: Path
    images: Path | None
    config_path: Path | None = None


def open_dataset(folder: Path) -> Dataset:
    """Return what data/NAME holds; ValueError names each wrong key of its card."""
    card = read_config(folder.name, root=folder.parent)
    images = folder / "raw" / card.images
    return Dataset(
        card, folder / "raw" / card.annotations, images if images.is_dir() else None, folder / "dataset.yaml"
    )
