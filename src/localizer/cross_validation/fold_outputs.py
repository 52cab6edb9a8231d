"""What a fold's experiment left: read from its commit, from git and from DVC's cache."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from localizer import config
from localizer.dataset import read_config_file
from localizer.evaluation.evaluate import MIN_SPREAD
from localizer.evaluation.evaluated_model import IMAGE_COLUMNS, EvaluatedModel, baseline_ious, read_predictions
from localizer.evaluation.inputs import SplitTable, read_findings, read_history, read_split
from localizer.evaluation.report import TrainedModel
from localizer.files import replace_file
from localizer.model.saving import read_model_card
from localizer.pipeline.dag import Digests, Pipeline
from localizer.pipeline.dvc_digest import file_md5
from localizer.tables import true_boxes
from localizer.tracking.history.evaluations import locked_source_digests

SPLIT = Path("tables/split.csv")
CONFIG = Path("tables/dataset.yaml")
CARD = Path("models/localizer.json")
HISTORY = Path("reports/train/history.csv")
FINDINGS = Path("reports/validate/metrics.json")
PREDICTIONS = Path("reports/evaluate/predictions.csv")
FILES = (SPLIT, CONFIG, CARD, HISTORY, FINDINGS, PREDICTIONS, config.PARAMS)


@dataclass(frozen=True)
class FoldOutputs:
    """The outputs of a fold.

    test: the rows of its test split in split.csv, in the order of model.images. images: names of all images of the
    split, by which folds of one data set are recognized. predictions_md5: of predictions.csv. sources: see
    `evaluations.source_digests`.
    """

    experiment: str
    revision: str
    model: EvaluatedModel
    trained: TrainedModel
    test: pd.DataFrame
    findings: dict[str, int]
    params: dict[str, Any]
    show_images: bool
    predictions_md5: str
    sources: Digests

    @property
    def doubtful(self) -> pd.DataFrame:
        """Return the rows to look for label errors in: none if the model predicts about the same box for all."""
        table = self.test.join(self.model.images.drop(columns=[*IMAGE_COLUMNS, "cluster"]))
        return table if self.model.spread >= MIN_SPREAD else table[:0]


def read_fold(experiment: str, revision: str) -> FoldOutputs:
    """Return the outputs of an experiment at its commit; ValueError if one is missing, or they don't fit together."""
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(rev=revision)
    with TemporaryDirectory() as name:
        folder = Path(name)
        for path in FILES:
            try:
                replace_file(folder / path, files.read_bytes(path.as_posix()))
            except Exception as error:  # an unreachable remote raises whatever its library does
                raise ValueError(
                    f"{experiment}: {path} is neither in git nor in DVC's cache or remote ({error}); remove the "
                    f"experiment (`dvc exp remove {experiment}`), and run the same command again"
                ) from None
        try:
            return _parse(folder, experiment, revision, locked_source_digests(Pipeline(files.repo)))
        except ValueError as error:
            raise ValueError(f"{experiment}: {str(error).replace(f'{folder}/', '')}") from None


def image_files(fold: FoldOutputs, folder: Path) -> list[Path]:
    """Return the files of the fold's test images: those of the working directory, others copied into a folder."""
    from dvc.api import DVCFileSystem

    named = [Path(path) for path in fold.test["path"]]
    missing = {path for path in named if fold.show_images and not path.is_file()}
    if not missing:
        return named
    files = DVCFileSystem(rev=fold.revision)
    for path in missing:
        try:
            replace_file(folder / path, files.read_bytes(path.as_posix()))
        except Exception as error:  # an unreachable remote raises whatever its library does
            raise ValueError(
                f"{path}: the report shows it, and it is neither here nor in git nor in DVC's cache or remote "
                f"({error}); restore it, and run the same command again: the folds are kept"
            ) from None
    return [folder / path if path in missing else path for path in named]


def _parse(folder: Path, experiment: str, revision: str, sources: Digests) -> FoldOutputs:
    split, card, images = (
        read_split(folder / SPLIT),
        read_model_card(folder / CARD),
        read_predictions(folder / PREDICTIONS),
    )
    test = split.test.reset_index(drop=True)
    if images["image"].tolist() != test["image"].tolist():
        raise ValueError(
            f"{PREDICTIONS} has other images than the test split of {SPLIT}; remove the experiment (`dvc "
            f"exp remove {experiment}`), and run the same command again"
        )
    return FoldOutputs(
        experiment,
        revision,
        model=_evaluated(images, split, card.calibration),
        trained=TrainedModel(card, read_history(folder / HISTORY), split.counts),
        test=test,
        findings=read_findings(folder / FINDINGS),
        params=config.flatten(config.read_yaml(folder / config.PARAMS)),
        show_images=read_config_file(folder / CONFIG).show_images,
        predictions_md5=file_md5(folder / PREDICTIONS),
        sources=sources,
    )


def _evaluated(images: pd.DataFrame, split: SplitTable, calibration: Any) -> EvaluatedModel:
    baselines = baseline_ious(split.train, true_boxes(images))
    return EvaluatedModel(images, baselines, calibration, split.calibration_clusters)
