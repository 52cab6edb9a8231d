"""The items that a reader yields: boxes, background images and ignored content; values are text."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from localizer.dataset import DatasetConfig


class Row(NamedTuple):
    """One box: its place in the file, and its values as text, empty where the file has none.

    line: None in a JSON file. element: there, the place in its lists: `annotations[17] (id 42)`. box_1 to box_4: in the
    order of the config's `box_format`. width, height: of the image, as annotated. given_split: that the file assigns the
    image to.
    """

    file: str
    line: int | None
    element: str = ""
    image: str = ""
    label: str = ""
    group: str = ""
    box_1: str = ""
    box_2: str = ""
    box_3: str = ""
    box_4: str = ""
    width: str = ""
    height: str = ""
    given_split: str = ""


class BackgroundImage(NamedTuple):
    """An annotated image without a box; its size as annotated, as text."""

    image: str
    width: str = ""
    height: str = ""


class Ignored(NamedTuple):
    """Content of the annotations that Localizer does not read, in words."""

    content: str


Item = Row | BackgroundImage | Ignored


class Reader(Protocol):
    """A format's module. PATTERN: the glob of its files in a folder of annotations."""

    PATTERN: str

    def sniff(self, path: Path) -> bool:
        """Return whether an existing file or folder looks like the format."""

    def read(self, source: Path, config: DatasetConfig, images: Path | None) -> Iterator[Item]:
        """Yield the contents, given the folder of the images, if any; BadFileError lists all faults of the file."""
