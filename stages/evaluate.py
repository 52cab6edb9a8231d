"""Measures the model on the test side, which nothing else reads, beside two baselines fitted on train."""

import json
import sys
from pathlib import Path
from typing import Annotated

import pandas as pd
from pydantic import Field

from localizer import config, tracking
from localizer.boxes import Array, as_pixels, paired_iou
from localizer.data.tables import EDGES, read_table, true_boxes, write_table
from localizer.device import Device, choose_device
from localizer.evaluation.gallery import gallery
from localizer.evaluation.metrics import centre_box, constant_iou, iou_curve, iou_metrics, mean_box
from localizer.files import replace_text, replacing
from localizer.predictor import Predictor

SPLIT = Path("tables/split.csv")
WEIGHTS = Path("models/localizer.safetensors")
METRICS = Path("reports/evaluate/metrics.json")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
CURVE = Path("reports/evaluate/iou_curve.csv")
GALLERY = Path("reports/evaluate/gallery.png")
PREDICTED = ["pred_xmin_px", "pred_ymin_px", "pred_xmax_px", "pred_ymax_px"]


class EvaluateParams(config.Record):
    """`batch_size`: images at once; it changes memory, not results."""

    device: Device
    batch_size: Annotated[int, Field(ge=1)]


def main() -> None:
    params = config.load("evaluate", EvaluateParams)
    device = choose_device(params.device)
    with tracking.stage_run("evaluate") as run:
        images = read_table(SPLIT, numbers=["width", "height", *EDGES])
        train, test = (images[images["side"] == side].reset_index(drop=True) for side in ("train", "test"))
        predictor = Predictor.load(WEIGHTS, device=device)
        pred = predictor.boxes([Path(path) for path in test["path"]], batch_size=params.batch_size)
        iou = paired_iou(pred, true_boxes(test))
        metrics = measure(iou, true_boxes(train), true_boxes(test))
        write(test, pred, iou, metrics)
        run.log_table(test, name="test", context="evaluation")
        run.log_metrics(metrics)
        for path in (METRICS, PREDICTIONS, CURVE):
            run.log_artifact(path)
        run.log_highlight(GALLERY)
        run.describe(report(metrics).replace("\n", "\n\n"))
        print(report(metrics))


def measure(iou: Array, train: Array, test: Array) -> dict[str, float]:
    """Return what the model scores on test, what constant boxes fitted on train score there, and the images."""
    baselines = {"mean_box_iou": mean_box(train), "centre_box_iou": centre_box(train)}
    scores = iou_metrics(iou) | {name: constant_iou(box, test) for name, box in baselines.items()}
    return {name: round(score, 6) for name, score in scores.items()} | {"images": len(iou)}


def write(test: pd.DataFrame, pred: Array, iou: Array, metrics: dict[str, float]) -> None:
    """Write predictions in pixels, the curve, the gallery and the metrics."""
    pred_px = as_pixels(pred, test["width"].to_numpy(), test["height"].to_numpy()).round(2)
    table = test[["image", "width", "height", *EDGES]].assign(
        **dict(zip(PREDICTED, pred_px.T, strict=True)), iou=iou.round(6)
    )
    write_table(table, PREDICTIONS)
    write_table(pd.DataFrame(iou_curve(iou), columns=["iou", "share"]), CURVE)
    paths = [Path(path) for path in test["path"]]
    with replacing(GALLERY) as file:
        gallery(paths, test[EDGES].to_numpy(), pred_px, iou).save(file, "PNG")
    replace_text(METRICS, json.dumps(metrics, indent=2) + "\n")


def report(metrics: dict[str, float]) -> str:
    """Return the result in a few lines for the terminal."""
    return (
        f"test, {metrics['images']} images: mean IoU {metrics['mean_iou']:.3f}, median {metrics['median_iou']:.3f}, "
        f"IoU >= 0.5 on {metrics['iou_50']:.0%}, >= 0.75 on {metrics['iou_75']:.0%}\n"
        f"baselines: mean box {metrics['mean_box_iou']:.3f}, centred box {metrics['centre_box_iou']:.3f}\n"
        f"pictures: {GALLERY}"
    )


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
