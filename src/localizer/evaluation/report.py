"""The report of a judgement: one HTML page, for people who don't know the project, that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from localizer.boxes import Array
from localizer.calibration import COVERAGE, Calibration
from localizer.dataset import DatasetConfig
from localizer.evaluation import plots
from localizer.evaluation.evaluate import EvaluationResult
from localizer.evaluation.inputs import Split, read_findings
from localizer.evaluation.intervals import LEVEL
from localizer.evaluation.label_errors import SHOWN
from localizer.evaluation.metrics import constant_iou, curve, mean_box
from localizer.evaluation.report_parts import (
    BASELINES,
    UNNAMED,
    called,
    collapsed,
    confidence,
    environment,
    explained,
    found_in_data,
    shown_images,
    shown_suspects,
)
from localizer.evaluation.slices import FEW
from localizer.files import file_sha256
from localizer.model.saving import ModelCard
from localizer.tables import read_table, true_boxes

MOST_DOTS = 40  # slices in the plot, the largest ones; the table has all


@dataclass(frozen=True)
class About:
    """What a report tells of the data, the model and their making, beside the judgement.

    data: the data set's name, as in data/NAME. sides: images of each side of the split. show_images: the card's.
    paths: of the images, in the order of `EvaluationResult.images`. mean_box_iou: IoU [N] of the mean training box with
    each of them. label, best_epoch, val_iou, calibration: the model card's. history: epoch, loss, val_iou. train,
    evaluate: the stages' params. findings: validate's counts. suspects: the rows of `suspects`, with EDGES,
    PREDICTED_EDGES and path. lineage: digests by name.
    """

    data: str
    sides: Mapping[str, int]
    show_images: bool
    paths: tuple[Path, ...]
    mean_box_iou: Array
    label: str
    best_epoch: int
    val_iou: float
    calibration: Calibration
    history: pd.DataFrame
    train: Mapping[str, Any]
    evaluate: Mapping[str, Any]
    findings: Mapping[str, int]
    suspects: pd.DataFrame
    lineage: Mapping[str, str]


def about(
    split: Split,
    doubted: pd.DataFrame,
    model: ModelCard,
    *,
    card: DatasetConfig,
    params: Mapping[str, Any],
    history: Path,
    findings: Path,
    made_from: Sequence[Path],
) -> About:
    """Return what the report says; history, findings: files; made_from: the files whose digests it names."""
    test = split.test
    of_model: dict[str, Any] = {
        name: getattr(model, name) for name in ("label", "best_epoch", "val_iou", "calibration")
    }
    return About(
        data=Path(test["path"].iloc[0]).parts[1],
        sides=split.sides,
        paths=tuple(map(Path, test["path"])),
        show_images=card.show_images,
        mean_box_iou=constant_iou(mean_box(split.train), true_boxes(test)),
        **of_model,
        train=model.params,
        evaluate=params,
        history=read_table(history, numbers=["epoch", "loss", "val_iou"]),
        findings=read_findings(findings),
        suspects=doubted[:SHOWN],
        lineage={path.as_posix(): file_sha256(path) for path in made_from},
    )


def report(judgement: EvaluationResult, about: About, *, svgs: Mapping[str, str]) -> str:
    """Return the page: the same bytes for the same judgement, the same about it and the same image files.

    svgs: the plots, as `drawn` gives them.
    """
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            about=about,
            judgement=judgement,
            object=called(about.label),
            rivals={name: judgement.baselines[key] for key, name in BASELINES.items()},
            measures=explained(judgement),
            confidence=confidence(judgement.images),
            collapsed=collapsed(judgement.images),
            plots=svgs,
            gallery=shown_images(judgement.images, about.paths) if about.show_images else {},
            suspects=shown_suspects(about.suspects, pictured=about.show_images),
            findings=found_in_data(about.findings),
            constants={"level": LEVEL, "few": FEW, "coverage": COVERAGE, "dots": MOST_DOTS},
        )
    )


def drawn(judgement: EvaluationResult, about: About) -> dict[str, str]:
    """Return the page's plots by name, as SVG: curve, histogram, loss, val_iou and slices."""
    iou, history = judgement.images["iou"].to_numpy(), about.history
    constants = curve(about.mean_box_iou, judgement.images["cluster"].to_numpy())
    epochs, constant, best = history["epoch"].tolist(), BASELINES["mean_box"], about.best_epoch
    loss, val_iou = {"loss": (epochs, history["loss"].tolist())}, {"IoU": (epochs, history["val_iou"].tolist())}
    largest = judgement.slices.nlargest(MOST_DOTS, "images").sort_index().replace({"slice": {"": UNNAMED}})
    return {
        "curve": plots.curve_plot({"this model": judgement.curve, constant: constants}),
        "histogram": plots.histogram({"this model": iou, constant: about.mean_box_iou}),
        "loss": plots.lines(loss, x="epoch", y="training loss", mark=best),
        "val_iou": plots.lines(val_iou, x="epoch", y="mean IoU on validation", mark=best),
        "slices": plots.slices_plot(largest, judgement.measures["mean_iou"]),
    }
