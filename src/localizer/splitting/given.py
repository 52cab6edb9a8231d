"""Names of splits in annotation files."""

import pandas as pd

from localizer.tables import SPLITS

KNOWN = {  # in any case
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid", "validate", "dev"),
    "calibration": ("calibration",),
    "test": ("test", "testing"),
    "": ("unassigned", ""),
}
OTHERWISE = "or set split.method: hash in params.yaml"


def parse_given_splits(given: "pd.Series[str]") -> "pd.Series[str]":
    """Return each image's split, empty where its file assigns it to none.

    Raises ValueError for a name that is not known, and where no image is given as train, or as test.
    """
    names = given.str.strip().str.lower()
    if (names == "").all():
        raise ValueError(
            "split.method given: expected splits in given_split of tables/clean.csv, got none; name the column that "
            f"has them as columns.split in dataset.yaml, keep annotations in folders train, valid and test, {OTHERWISE}"
        )
    splits = names.map({name: split for split, known in KNOWN.items() for name in known})
    if splits.isna().any():
        unknown = given[splits.isna()]
        known = ", ".join(name for names in KNOWN.values() for name in names if name)
        raise ValueError(
            f"split.method given: expected one of {known}, got {', '.join(map(repr, unknown.unique()[:5]))} for "
            f"{len(unknown)} of {len(given)} images; rename them in the annotations, {OTHERWISE}"
        )
    for required in ("train", "test"):
        if not (splits == required).any():
            counts = ", ".join(f"{split} {(splits == split).sum()}" for split in SPLITS)
            raise ValueError(
                f"split.method given: no image is given as {required}: expected train and test, got {counts}; assign "
                f"images to it in the annotations, {OTHERWISE}"
            )
    return splits
