"""Judges the model on the test side, which chose nothing about it, and lists labels to look at."""

import json
import sys
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from localizer import config, tracking
from localizer.boxes import Array
from localizer.calibration import COVERAGE
from localizer.dataset import Card
from localizer.device import Device, choose_device
from localizer.evaluation.evaluate import COLLAPSED, GIVEN, PREDICTED_EDGES, Judgement, judge, predictions, spread
from localizer.evaluation.gallery import gallery, not_shown
from localizer.evaluation.label_errors import COLUMNS, SHOWN, suspects
from localizer.evaluation.metrics import constant_iou, mean_box
from localizer.evaluation.report import About, drawn, report
from localizer.files import digest, replace_text, replacing, replacing_folder
from localizer.model.saving import ModelCard
from localizer.predictor import Predictor, Seen
from localizer.tables import AGAIN, EDGES, SPLITS, read_table, true_boxes, write_table

SPLIT = Path("tables/split.csv")
CARD = Path("tables/dataset.yaml")
WEIGHTS = Path("models/localizer.safetensors")
HISTORY = Path("reports/train/history.csv")
VALIDATION = Path("reports/validate/metrics.json")
METRICS = Path("reports/evaluate/metrics.json")
MEASURES = Path("reports/evaluate/measures.csv")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
CURVE = Path("reports/evaluate/iou_curve.csv")
SLICES = Path("reports/evaluate/slices.csv")
SUSPECTS = Path("reports/evaluate/suspects.csv")
GALLERY = Path("reports/evaluate/gallery.png")
PLOTS = Path("reports/evaluate/plots")
REPORT = Path("reports/evaluate/report.html")
HELD_OUT = ("validation", "calibration", "test")  # sides that no weights were fitted to
NUMBERS = ["width", "height", *EDGES]
READ = ["image", "path", "sha256", "label", "file", "line", "cluster", "side", *NUMBERS]


class Split(NamedTuple):
    """The rows of HELD_OUT, the boxes [M, 4] xyxy in [0, 1] of the training side, and the images of each side."""

    held_out: pd.DataFrame
    train: Array
    sides: dict[str, int]

    @property
    def test(self) -> pd.DataFrame:
        return self.held_out[self.held_out["side"] == "test"]

    @property
    def calibrated(self) -> int:
        """Return how many clusters the calibration side has."""
        return int(self.held_out["cluster"][self.held_out["side"] == "calibration"].nunique())


class EvaluateParams(config.Record):
    """`batch_size`: images at once; it changes memory, and results by rounding alone."""

    device: Device
    batch_size: Annotated[int, Field(ge=1)]


def main() -> None:
    params = config.load("evaluate", EvaluateParams)
    device = choose_device(params.device)
    card = config.parse(Card, config.read_yaml(CARD), where=str(CARD))
    with tracking.stage_run("evaluate") as run:
        split = read_split()
        held_out = split.held_out
        predictor = Predictor.load(WEIGHTS, device=device)
        check_split(predictor.card)
        started = time.perf_counter()
        paths, digests = held_out["path"].tolist(), held_out["sha256"].tolist()
        seen = predictor.look(paths, digests=digests, batch_size=params.batch_size)
        run.log_metrics({"images_per_s": len(held_out) / (time.perf_counter() - started)})
        found, doubted = judged(split, seen, predictor.card)
        about = told(split, doubted, predictor.card, params, show_images=card.show_images)
        write(found, doubted, about)
        run.log_table(split.test, name="test", context="evaluation")
        run.log_metrics(found.metrics())
        for path in (METRICS, MEASURES, PREDICTIONS, CURVE, SLICES, SUSPECTS, PLOTS):
            run.log_artifact(path)
        for path in (REPORT, GALLERY):
            run.log_highlight(path)
        run.describe(summary(found).replace("\n", "\n\n"))
        print(summary(found))
        print(f"as the champion, unless another is better: localizer promote {run.id[:8]}")


def read_split() -> Split:
    """Return what is needed of the split, and not its other columns: it may have millions of rows."""
    images = read_table(SPLIT, numbers=NUMBERS, only=READ)
    twice, odd = images["image"].duplicated(), ~images["side"].isin(SPLITS)
    for wrong, what in ((twice, "is there twice"), (odd, f"is on none of the sides {', '.join(SPLITS)}")):
        if wrong.any():
            raise ValueError(f"{SPLIT}: {images['image'][wrong].iloc[0]} {what}; {AGAIN}")
    train, counts = true_boxes(images[images["side"] == "train"]), images["side"].value_counts()
    sides = {side: int(counts.get(side, 0)) for side in SPLITS}
    return Split(images[images["side"].isin(HELD_OUT)].reset_index(drop=True), train, sides)


def check_split(card: ModelCard) -> None:
    """Raise ValueError where the model was fitted to the images of another split: it may have seen the test side."""
    if card.split_sha256 and card.split_sha256 != digest(SPLIT):
        raise ValueError(
            f"{WEIGHTS}: trained with another {SPLIT} than lies here, so it may have seen the test images; run "
            "`dvc repro`, which trains with this one"
        )


def judged(split: Split, seen: Seen, card: ModelCard) -> tuple[Judgement, pd.DataFrame]:
    """Return the judgement of what was seen of the test side, and the suspects of all sides that are held out."""
    held_out = split.held_out
    test = (held_out["side"] == "test").to_numpy()
    found = judge(
        held_out[test],
        seen.boxes[test],
        seen.agreement[test],
        train=split.train,
        calibration=card.calibration,
        calibrated=split.calibrated,
    )
    of_model = predictions(held_out, seen.boxes, seen.agreement, card.calibration).drop(columns=[*GIVEN, "cluster"])
    doubted = suspects(held_out.join(of_model))
    # A model that always answers the same is as sure of it as can be, and doubts all labels that lie elsewhere.
    return found, doubted if spread(seen.boxes, true_boxes(held_out)) >= COLLAPSED else doubted[:0]


def told(split: Split, doubted: pd.DataFrame, card: ModelCard, params: EvaluateParams, *, show_images: bool) -> About:
    """Return what the report says of the model and its data."""
    test = split.test
    read = [CARD, SPLIT, HISTORY, WEIGHTS, WEIGHTS.with_suffix(".json")]
    return About(
        data=Path(test["path"].iloc[0]).parts[1],
        sides=split.sides,
        paths=tuple(map(Path, test["path"])),
        show_images=show_images,
        mean_box_iou=constant_iou(mean_box(split.train), true_boxes(test)),
        label=card.label,
        best_epoch=card.best_epoch,
        val_iou=card.val_iou,
        calibration=card.calibration,
        train=card.params,
        evaluate=params.model_dump(),
        history=read_table(HISTORY, numbers=["epoch", "loss", "val_iou"]),
        findings=read_findings(),
        suspects=doubted[:SHOWN],
        lineage={path.as_posix(): digest(path) for path in read},
    )


def read_findings() -> dict[str, int]:
    """Return what validate counted."""
    try:
        return TypeAdapter(dict[str, int]).validate_json(VALIDATION.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{VALIDATION}: not validate's counts: {error.errors()[0]['msg']}; {AGAIN}") from None


def write(found: Judgement, doubted: pd.DataFrame, about: About) -> None:
    """Write everything, once all of it is made, so that a fault leaves no half of it."""
    plots = drawn(found, about)
    page = report(found, about, svgs=plots)
    seen = (found.images[columns].to_numpy() for columns in (EDGES, PREDICTED_EDGES, "iou"))
    sheet = gallery(about.paths, *seen) if about.show_images else not_shown()
    tables = {
        MEASURES: found.table(),
        PREDICTIONS: found.images,
        CURVE: found.curve,
        SLICES: found.slices,
        SUSPECTS: doubted[[*COLUMNS, *EDGES, *PREDICTED_EDGES]],
    }
    for path, table in tables.items():
        write_table(table, path)
    with replacing_folder(PLOTS) as folder:
        for name, svg in plots.items():
            replace_text(folder / f"{name}.svg", svg)
    with replacing(GALLERY) as file:
        sheet.save(file, "PNG")
    replace_text(REPORT, page)
    replace_text(METRICS, json.dumps(found.metrics(), indent=2) + "\n")


def summary(found: Judgement) -> str:
    """Return the result in a few lines, for the terminal and MLflow."""
    m, one = found.measures, found.measures["mean_iou"]
    gain, rivals = m["gain_over_mean_box"], found.baselines
    lines = [
        f"test, {len(found.images)} images: mean IoU {one.value:.3f} [{one.low:.3f} to {one.high:.3f}], median "
        f"{m['median_iou'].value:.3f}, IoU >= 0.5 on {m['iou_50'].value:.0%}, >= 0.75 on {m['iou_75'].value:.0%}",
        f"baselines: mean box {rivals['mean_box'].value:.3f}, centred box {rivals['centre_box'].value:.3f}; gain over "
        f"the mean box {gain.value:+.3f} [{gain.low:+.3f} to {gain.high:+.3f}]",
        f"a margin of {found.images['margin_px'].mean():.1f} px on average holds {m['coverage'].value:.0%} of the true "
        f"boxes; {COVERAGE:.0%} is promised",
        *(f"evaluate: WARNING: {warning}" for warning in found.warnings),
        f"report: {REPORT}",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"evaluate: {error}")
