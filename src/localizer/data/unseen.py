"""The facts of images that nobody looked at: what the annotations themselves say of them."""

import pandas as pd

from localizer.data.card import Card
from localizer.data.probe import ImageFacts


def facts_of_unseen(annotations: pd.DataFrame, card: Card) -> pd.DataFrame:
    """Return the table of `probe_images` for images that are not there: sizes as annotated, the rest empty.

    The path is the name, which is all there is to tell a person. An empty `exists` means that it is not known.
    A size that is not known is 0 by 0; it is 1 by 1 where boxes are shares, so that they can still be judged.
    """
    facts = list(ImageFacts.__dataclass_fields__)
    first = annotations.drop_duplicates("image")
    unknown = 1 if card.box_units == "unit" else 0
    sizes = {side: _pixels(first[side]).replace(0, unknown) for side in ("width", "height")}
    known = {"image": first["image"], "path": first["image"], "annotated": True, **sizes}
    return pd.DataFrame(dict.fromkeys(facts, "") | known, columns=facts).reset_index(drop=True)


def _pixels(text: "pd.Series[str]") -> "pd.Series[int]":
    """Return the sizes as whole numbers, 0 for what is none."""
    return pd.to_numeric(text, errors="coerce").where(lambda size: size.between(1, 10**6)).fillna(0).astype(int)
