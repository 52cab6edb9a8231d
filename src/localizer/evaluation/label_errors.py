"""Likely label errors: images where a model that wasn't fitted to them disagrees with the annotated box."""

import numpy as np
import pandas as pd

SHOWN = 12  # in the report
MAX_ROWS = 200  # of suspects.csv
COLUMNS = ["rank", "image", "file", "line", "split", "label", "doubt", "iou", "agreement"]


def label_errors(images: pd.DataFrame) -> pd.DataFrame:
    """Return the images with IoU below 0.5, the likeliest label error first, with columns rank and doubt in [0, 1].

    images: one row per image, with its annotation's file and line, the IoU of predicted and annotated box, and the
    agreement of predictions on image and mirror image. High agreement and low IoU speak against the label; low
    agreement speaks against the prediction.
    """
    ranked = images.assign(doubt=(images["agreement"] * (1 - images["iou"])).round(6))
    ranked = ranked[ranked["iou"] < 0.5].sort_values(["doubt", "image"], ascending=[False, True], kind="stable")
    ranked = ranked[:MAX_ROWS]
    return ranked.assign(rank=np.arange(1, len(ranked) + 1)).reset_index(drop=True)
