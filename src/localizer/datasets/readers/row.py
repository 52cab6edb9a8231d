"""A box as it stands in a file: what every reader of a format yields."""

from typing import NamedTuple


class Row(NamedTuple):
    """One box: its place, and the values as text, empty where the file has none.

    element: where the line alone does not tell, as in a JSON file: `annotations[17]`. box_1 to box_4: in
    the order of the card's box_format. width, height: of the image, as annotated.
    """

    file: str
    line: int
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
