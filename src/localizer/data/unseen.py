"""The facts of images that nobody looked at: what the annotations themselves say of them."""

import pandas as pd

from localizer.data.card import Card
from localizer.data.probe import ImageFacts
from localizer.data.sizes import first_sizes
from localizer.data.tables import Table


def facts_of_unseen(annotations: Table, card: Card) -> Table:
    """Return the table of `probe_images` for images that are not there: sizes as annotated, the rest empty.

    The path is the name, which is all there is to tell a person. An empty `exists` means that it is not known.
    A size that is not known is 0 by 0; it is 1 by 1 where boxes are shares, so that they can still be judged.
    """
    facts = list(ImageFacts.__dataclass_fields__)
    sizes = first_sizes(annotations)
    sides = sizes[["width", "height"]].fillna(1 if card.box_units == "unit" else 0).astype(int)
    known = {"image": sizes["image"], "path": sizes["image"], "annotated": True, **sides}
    return pd.DataFrame(dict.fromkeys(facts, "") | known, columns=facts)
