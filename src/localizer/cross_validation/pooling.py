"""One evaluation of the test predictions of all folds: its files, and its run in MLflow."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from localizer.cross_validation.fold_outputs import PREDICTIONS, FoldOutputs, image_files
from localizer.cross_validation.recipe import FOLD, Recipe
from localizer.evaluation.evaluate import pool
from localizer.evaluation.label_errors import label_errors
from localizer.evaluation.outputs import outputs_in, write_outputs
from localizer.evaluation.pooled_record import FOLDER, RECORD, FoldRecord, PooledRecord
from localizer.evaluation.report import ReportContext, summary
from localizer.files import replace_text
from localizer.pipeline.dag import Digests
from localizer.tracking.pooled_run import log_pooled_run, pipeline_run


def pool_folds(recipe: Recipe, folds: Sequence[FoldOutputs]) -> str:
    """Write the pooled evaluation to FOLDER/NAME and to MLflow; return it in words.

    ValueError if an image is not in the test split of exactly one fold.
    """
    _check_each_tested_once(folds)
    folder = FOLDER / recipe.name
    outputs, result = outputs_in(folder), pool([fold.model for fold in folds])
    with TemporaryDirectory() as images:
        write_outputs(result, _context(folds, Path(images)), outputs)
    record = _record(recipe, folds)
    replace_text(folder / RECORD, record.to_json())
    text = f"{summary(result)}\nreport: {outputs.report}"
    run_id = log_pooled_run(
        recipe.name,
        params=record.params,
        metrics=result.metric_values(),
        commit=recipe.commit,
        sources=record.sources,
        folds=[fold.run for fold in record.folds],
        artifacts=[*outputs, folder / RECORD],
        note=f"{text}\nfolds: {', '.join(recipe.experiments)}".replace("\n", "\n\n"),
    )
    return f"{text}\nMLflow: run {run_id[:8]} ({recipe.name})"


def _record(recipe: Recipe, folds: Sequence[FoldOutputs]) -> PooledRecord:
    """Return the record of the folds, with their runs in MLflow."""
    runs = [pipeline_run(PREDICTIONS, fold.predictions_md5) for fold in folds]
    return PooledRecord(
        name=recipe.name,
        commit=recipe.commit,
        params={name: value for name, value in folds[0].params.items() if name != FOLD},
        sources=_sources(folds),
        folds=tuple(
            FoldRecord(experiment=fold.experiment, revision=fold.revision, run=run)
            for fold, run in zip(folds, runs, strict=True)
        ),
    )


def _check_each_tested_once(folds: Sequence[FoldOutputs]) -> None:
    tested = pd.concat([fold.test["image"] for fold in folds])
    count = sum(folds[0].trained.counts.values())
    if tested.duplicated().any() or len(tested) != count:
        raise ValueError(
            f"expected each of {count} images in the test split of one fold, got {tested.nunique()} in "
            f"{len(tested)} tests; the folds are not of one data set: choose another --name"
        )


def _context(folds: Sequence[FoldOutputs], images: Path) -> ReportContext:
    """Return what the report shows; images: folder for those that the working directory lacks."""
    first = folds[0]
    digests: dict[str, str] = {}
    for number, fold in enumerate(folds):
        card = fold.trained.card
        digests |= {
            f"fold {number}, tables/split.csv": card.split_sha256,
            f"fold {number}, weights": card.weights_sha256,
        }
    paths = [path for fold in folds for path in image_files(fold, images)]
    where = dict(zip((path for fold in folds for path in fold.test["path"]), paths, strict=True))
    doubtful = pd.concat([fold.doubtful for fold in folds], ignore_index=True)
    return ReportContext(
        dataset=str(first.params["prepare.dataset"]),
        show_images=first.show_images,
        paths=paths,
        models=[fold.trained for fold in folds],
        params={name: value for name, value in first.params.items() if name.startswith("evaluate.")},
        findings=first.findings,
        label_errors=label_errors(doubtful.assign(path=[str(where[path]) for path in doubtful["path"]])),
        digests=digests,
    )


def _sources(folds: Sequence[FoldOutputs]) -> Digests:
    """Return the digests of what the folds were made from; where they differ, as the split does, of all digests."""
    merged = {}
    for path in folds[0].sources:
        digests = [fold.sources.get(path, "") for fold in folds]
        same = len(set(digests)) == 1
        merged[path] = (
            digests[0] if same else hashlib.md5(" ".join(digests).encode(), usedforsecurity=False).hexdigest()
        )
    return merged
