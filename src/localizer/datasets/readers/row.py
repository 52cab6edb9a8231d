"""The items that a reader yields: boxes, background images and ignored content; values are text."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from localizer.dataset import DatasetConfig


class Row(NamedTuple):
    """One box: its place in the file, and its values as text, empty where the file has none.

    line: None in a JSON file. element: there, the place in its lists: `annotations[17] (id 42)`. box_1 to box_4: in the
    order of the config's `box_format`. width, height: of the image, as annotated. given_split: the split that
    the file assigns the image to.
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
    """A format's module. TITLE: its name for people. PATTERN: the glob of its files in a folder of annotations."""

    TITLE: str
    PATTERN: str

    def sniff(self, path: Path) -> bool:
        """Return whether a file is of the format; or a folder, if the format is one of folders."""

    def read(self, source: Path, config: "DatasetConfig", images: Path | None) -> Iterator[Item]:
        """Yield the contents of what `sniff` takes, given the folder of the images, if any.

        BadFileError lists all faults of the file.
        """


class LeftOut:
    """Counts what a file has beside boxes: yields `Ignored`, once for each kind."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def add(self, kind: str, count: int = 1) -> None:
        self._counts[kind] += count

    def items(self) -> Iterator[Ignored]:
        for kind, count in sorted(self._counts.items()):
            if count:
                yield Ignored(f"{count} {kind}")
