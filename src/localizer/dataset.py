"""A data set: its configuration, data/NAME/dataset.yaml, and the paths of its files."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from localizer.boxes import BoxFormat
from localizer.config import Record, parse, read_yaml

DATASET_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"  # the name of a folder, used in dvc.yaml
Name = Annotated[str, Field(min_length=1)]
Inside = Annotated[Name, AfterValidator(lambda path: _inside(path))]  # a path below raw/
Columns = Annotated[list[Name], Field(min_length=4, max_length=4)]
Share = Annotated[float, Field(ge=0, le=1)]
Units = Literal["pixel", "unit", "percent", "thousandth"]
SCALES: dict[Units, float] = {"unit": 1, "percent": 100, "thousandth": 1000}  # what a whole side of the image is

# The annotation formats, and the box format and units that each fixes; None: `columns` says where the values are.
FORMATS: dict[str, tuple[BoxFormat, Units] | None] = {
    "csv": None,
    "records": None,
    "voc": ("xyxy", "pixel"),
    "coco": ("xywh", "pixel"),
    "yolo": ("cxcywh", "unit"),
    "labelstudio": ("xywh", "percent"),
    "cvat": ("xyxy", "pixel"),
    "labelme": ("xyxy", "pixel"),
    "via": ("xywh", "pixel"),
    "vott": ("xywh", "pixel"),
    "createml": ("cxcywh", "pixel"),
    "supervisely": ("xyxy", "pixel"),
    "sagemaker": ("xywh", "pixel"),
    "labelbox": ("xywh", "pixel"),
    "huggingface": ("xywh", "pixel"),
    "kitti": ("xyxy", "pixel"),
    "dlib": ("xywh", "pixel"),
}
FIXED_ENCODING = {name: encoding for name, encoding in FORMATS.items() if encoding}


class CsvColumns(Record):
    """Names of a table's columns; `box` has four, in the order of `box_format`.

    Without a header, columns are called 1, 2, 3. A value in a list or an object is a column, too: `bbox[0]`, `bbox.x`.

    group: images with the same value stay in one split: frames of a video, photographs of a patient, of a site.
    """

    image: Name
    """the image's path, relative to `images`"""
    box: Columns
    """four columns, in the order of `box_format`"""
    label: Name | None = None
    """the class name"""
    group: Name | None = None
    """what a split must keep together: a video, a patient, a site"""
    width: Name | None = None
    """the image's annotated width, to be checked"""
    height: Name | None = None
    """the image's annotated height, to be checked"""
    split: Name | None = None
    """the split that the file assigns the image to"""


class ImageNames(Record):
    """How annotated names differ from those of the files below `images`; else both must be equal.

    `\\` counts as `/`, and of an address or an absolute path only the path below its root counts.
    """

    parts: Annotated[int, Field(ge=0)] = 0
    """compare only the last so many parts of the paths; 0: all"""
    suffix: Literal["same", "ignore"] = "same"
    """`ignore` compares without the suffix: `a` is `a.png`"""
    case: Literal["same", "ignore"] = "same"
    """`ignore` takes `A.JPG` for `a.jpg`"""
    escapes: Literal["same", "decode"] = "same"
    """`decode` takes `%20` in annotated names for a blank"""
    upload_prefix: Literal["keep", "drop"] = "keep"
    """`drop` leaves out the eight hexadecimal digits and the hyphen that Label Studio puts before a name"""


class GitSource(Record):
    """Files of a public git repository at one commit; `digest` is that of their list (see `download.list_digest`)."""

    repository: Name
    """address that `git clone` takes"""
    commit: Annotated[str, Field(pattern="^[0-9a-f]{40}$")]
    """full hash of the commit"""
    paths: Annotated[list[Inside], Field(min_length=1)]
    """files and folders to fetch"""
    digest: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    """SHA-256 of the sorted list of `sha256sum` lines"""


class Drift(Record):
    """Limits of drift: how far annotations may change from the accepted version before that is critical."""

    added: Annotated[float, Field(ge=0)] = 0.5
    """added rows, as a fraction of the accepted rows"""
    removed: Share = 0.05
    """fraction of the accepted rows that were removed"""
    moved: Share = 0.05
    """fraction of the accepted rows whose box moved to an IoU below 0.999"""
    labels: Share = 0.1
    """total variation distance between the label distributions"""
    sizes: Share = 0.1
    """Kolmogorov-Smirnov distance between the distributions of box areas"""


class DatasetConfig(Record):
    """The keys of dataset.yaml; paths are relative to data/NAME/raw, fractions in [0, 1].

    box_origin: 1 counts pixels from 1 and includes the last one, as Pascal VOC does: the box 1, 1, 10, 10 covers ten
    pixels and becomes 0, 0, 10, 10. clip_px: boxes that exceed their image by up to this much are clipped.
    show_images: false keeps images out of all reports.
    """

    title: Name
    """name for reports"""
    format: Annotated[str, AfterValidator(lambda name: _known(name))]
    """format of the annotations: see [Formats](formats.md)"""
    annotations: Inside
    """a file or a folder of the format"""
    images: Inside
    """the folder that image paths are relative to"""
    encoding: Name = "utf-8"
    """for `csv` and `records`: of the text"""
    separator: Literal[",", ";", "\t", "|"] = ","
    """for `csv`: between two fields"""
    decimal: Literal[".", ","] = "."
    """for `csv`: the decimal mark of numbers"""
    header: bool = True
    """for `csv`: whether the first row names the columns"""
    strip: bool = False
    """for `csv`: whether blanks around names and values are left out"""
    columns: CsvColumns | None = None
    """for `csv` and `records`, and required there: which column holds what"""
    image_names: ImageNames | None = None
    """how annotated names of images differ from those of their files"""
    shapes: Literal["ignore", "bounds"] = "ignore"
    """what polygons, ellipses and rotated boxes are: left out, and counted, or taken by their bounds"""
    label: Name | None = None
    """the label of the object; without it, boxes of every label"""
    box_format: BoxFormat = "xyxy"
    """for `csv` and `records`: the order of the four numbers; `xyhw` is x, y, height, width"""
    box_units: Units = "pixel"
    """for `csv` and `records`: `unit` means fractions of width and height, in [0, 1]; `percent` and `thousandth` of 100
    and 1000"""
    box_origin: Literal[0, 1] = 0
    """1: pixels are counted from 1 and a box includes its last pixel, as in Pascal VOC"""
    corners: Literal["ordered", "any"] = "ordered"
    """for `xyxy`: `any` takes a box's two corners in any order, as a mouse drew them"""
    multiple: Literal["error", "largest", "drop"] = "error"
    """for images with several boxes of the label, bad ones included; `largest` selects among those within the image"""
    on_bad_row: Literal["fail", "quarantine"] = "fail"
    """`fail` stops at a critical finding; `quarantine` sets its row aside in `reports/validate/quarantine.csv`"""
    max_bad_fraction: Share = 0.01
    """with `quarantine`: a larger fraction of bad rows, if it is more than one row, stops the pipeline"""
    clip_px: Annotated[float, Field(ge=0)] = 0
    """boxes that exceed their image by at most this many pixels are clipped, and reported"""
    show_images: bool = True
    """`false` keeps images out of all reports; names and boxes of test images are in git all the same"""
    drift: Drift = Drift()
    """limits for changed annotations"""
    licence: Name | None = None
    """license of the data"""
    source: str | GitSource | None = None
    """where the data come from: text, or files of a git repository that can be fetched"""

    @model_validator(mode="before")
    @classmethod
    def _fill_fixed_encoding(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("format") in FIXED_ENCODING:
            box_format, units = FIXED_ENCODING[values["format"]]
            return {"box_format": box_format, "box_units": units} | values
        return values

    @model_validator(mode="after")
    def _check_consistent(self) -> Self:
        if (self.format not in FIXED_ENCODING) != (self.columns is not None):
            raise ValueError("`columns` is required with the formats csv and records, and allowed with them alone")
        encoding = (self.box_format, self.box_units)
        if FIXED_ENCODING.get(self.format, encoding) != encoding:
            raise ValueError(
                f"{self.format} boxes are {' in '.join(FIXED_ENCODING[self.format])}s; remove box_format and box_units"
            )
        if self.box_origin == 1 and (self.box_format == "cxcywh" or self.box_units != "pixel"):
            raise ValueError("box_origin 1 counts pixels from a corner; it is allowed with xyxy and xywh in pixels")
        return self


def read_config(name: str, *, root: Path = Path("data")) -> DatasetConfig:
    """Return the configuration of the data set `name`; ValueError names each wrong key, or the known data sets."""
    path = root / name / "dataset.yaml"
    if not path.is_file():
        known = ", ".join(sorted(path.parent.name for path in root.glob("*/dataset.yaml")))
        raise ValueError(f"{path}: no such data set; known: {known or 'none'} (create one with `localizer init`)")
    return read_config_file(path)


def read_config_file(path: Path) -> DatasetConfig:
    """Return the configuration in a file; ValueError names each wrong key."""
    return parse(DatasetConfig, read_yaml(path), where=path.as_posix())


def _known(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"expected one of {', '.join(FORMATS)}, got {name!r}")
    return name


def _inside(path: str) -> str:
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts or "\\" in path:
        raise ValueError(f"expected a path below raw/, with /, got {path!r}")
    return path


@dataclass(frozen=True)
class Dataset:
    """A data set's configuration and paths; `images` is None if the folder is missing.

    config_path: the file of the configuration, None if it comes from the command line.
    """

    config: DatasetConfig
    annotations: Path
    images: Path | None
    config_path: Path | None = None


def open_dataset(folder: Path) -> Dataset:
    """Return the data set in the folder data/NAME; ValueError names each wrong key of its dataset.yaml."""
    config = read_config(folder.name, root=folder.parent)
    images = folder / "raw" / config.images
    return Dataset(
        config, folder / "raw" / config.annotations, images if images.is_dir() else None, folder / "dataset.yaml"
    )
