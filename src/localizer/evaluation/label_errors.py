"""Likely label errors: images whose annotated box a model disagrees with that never was fitted to them."""

import numpy as np
import pandas as pd

SHOWN = 12  # in the report
MOST = 200  # rows of the table
COLUMNS = ["rank", "image", "file", "line", "split", "label", "doubt", "iou", "agreement"]


def suspects(images: pd.DataFrame) -> pd.DataFrame:
    """Return the images, most doubtful label first, with rank and doubt in [0, 1]; those that agree are left out.

    images: one row an image, with its annotation's file and line, its IoU with the predicted box, and the agreement
    of the boxes of the image and its mirror image. A model that is sure of another place (high agreement, low IoU)
    doubts the label; one that isn't sure doubts itself.
    """
    ranked = images.assign(doubt=(images["agreement"] * (1 - images["iou"])).round(6))
    ranked = ranked[ranked["iou"] < 0.5].sort_values(["doubt", "image"], ascending=[False, True], kind="stable")[:MOST]
    return ranked.assign(rank=np.arange(1, len(ranked) + 1)).reset_index(drop=True)
