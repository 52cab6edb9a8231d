"""At which rank a planted label error is found: `python -m bench.suspects`, half a minute, after `dvc repro`.

Twenty images that no weights were fitted to get, one at a time, a wrong box: their own, turned half around the middle
of the image, as by a rotation that forgot the boxes. The model of the working directory ranks all held-out images.
"""

from pathlib import Path

import numpy as np
import torch

from localizer.evaluation.evaluated_model import IMAGE_COLUMNS, predictions
from localizer.evaluation.inputs import HELD_OUT
from localizer.evaluation.label_errors import label_errors
from localizer.predictor import Predictor
from localizer.tables import EDGES, read_table
from stages.evaluate import SPLIT, WEIGHTS

PLANTED, FIRST = 20, 10


def main() -> None:
    images = read_table(SPLIT, numbers=["width", "height", *EDGES])
    held_out = images[images["split"].isin(HELD_OUT)].reset_index(drop=True)
    predictor = Predictor.load(WEIGHTS, device=torch.device("cpu"))
    predicted = predictor.predict_with_flip([*map(Path, held_out["path"])])
    ranks = []
    for row in np.random.default_rng(0).choice(len(held_out), PLANTED, replace=False):
        wrong = held_out.copy()
        xmin, ymin, xmax, ymax = held_out.loc[row, EDGES]
        width, height = held_out.loc[row, ["width", "height"]]
        wrong.loc[row, EDGES] = [width - xmax, height - ymax, width - xmin, height - ymin]
        table = predictions(wrong, predicted.boxes, predicted.agreement, predictor.card.calibration)
        found = label_errors(wrong.join(table.drop(columns=[*IMAGE_COLUMNS, "cluster"])))
        ranks += [*found.loc[found["image"] == held_out.loc[row, "image"], "rank"]] or [None]
    early = sum(rank is not None and rank <= FIRST for rank in ranks)
    print(f"{len(held_out)} held-out images; ranks of {PLANTED} planted errors: {ranks}")
    print(f"among the first {FIRST}: {early}; still overlapping its box by half, so no suspect: {ranks.count(None)}")


if __name__ == "__main__":
    main()
