"""How often pooled intervals contain what they estimate: `python -m bench.folds`, a minute on one core.

Stand-in for training: ridge regression from 20 noisy features to the center and size of a box in one dimension, judged
by IoU. Images come in clusters, whose features and targets are alike. A data set is drawn, its clusters are dealt to
folds, a model is fitted without each fold and tested on it, and the IoUs are pooled with `intervals.mean` as in
`localizer cross-validate`. What is true is known from new images, of which there are plenty.

models: the mean IoU on new images of these very models. procedure: the same, averaged over data sets: what to expect of
a training on this number of images. final: the mean IoU on new images of a model of the normal split, with 70% of the
images, where a fold's has 62%. alike: two recipes that differ by chance only (each training leaves out a tenth of its
images, as seeds lead to other weights) are compared as `compare` does: the share of data sets in which one comes out
better or worse, nominal 10%, with one seed each and with three. Then the interval of the normal test split, a tenth of
the images, for its own model.
"""

import argparse
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bench import kept
from localizer.boxes import Array
from localizer.comparison.differences import paired_t_interval
from localizer.evaluation.intervals import Clusters, Estimate, mean

SETTINGS = [(60, 1), (150, 1), (150, 5), (500, 1), (500, 10)]  # images, images per cluster
REPEATS, FOLDS, SEEDS, NEW = 400, 5, 3, 4000
FEATURES, RIDGE, LEFT_OUT = 20, 1.0, 0.1
FOLD_TRAIN, SPLIT_TRAIN = 0.7 / 0.9, 0.7  # of the rest of a fold, and of all images
WEIGHTS = np.random.default_rng(0).normal(0, 1, (FEATURES, 2))  # from features to the box
NOISE, TOGETHER = 0.5, 0.9  # of the targets; share of the variance that images of a cluster have in common


class Images(NamedTuple):
    """Features [N, FEATURES], centers and sizes [N, 2] in [0, 1], and the cluster of each image [N]."""

    features: Array
    boxes: Array
    clusters: Clusters


class Repeat(NamedTuple):
    """What one data set gives: estimates, and the true values that they are held against."""

    pooled: Estimate
    models: float
    final: float
    gain: Estimate
    gain_of_seeds: Estimate
    split: Estimate


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    options = parser.parse_args()
    begun_at = kept.commit()
    rows = [row(images, size, options.repeats) | {"commit": begun_at} for images, size in SETTINGS]
    kept.write(kept.RESULTS / "folds.json", rows)
    show()


def row(images: int, size: int, repeats: int) -> dict[str, Any]:
    """Return the shares of data sets of so many images, in clusters of a size, whose intervals contain the truth."""
    found = [repeat(np.random.default_rng([images, size, seed]), images, size) for seed in range(repeats)]
    procedure = float(np.mean([one.models for one in found]))
    shares = {
        "models": [contains(one.pooled, one.models) for one in found],
        "procedure": [contains(one.pooled, procedure) for one in found],
        "final": [contains(one.pooled, one.final) for one in found],
        "alike": [not contains(one.gain, 0) for one in found],
        "alike_seeds": [not contains(one.gain_of_seeds, 0) for one in found],
        "split": [contains(one.split, one.final) for one in found],
    }
    widths = {
        "width": np.median([one.pooled.high - one.pooled.low for one in found]),
        "split_width": np.median([one.split.high - one.split.low for one in found]),
    }
    means = {"iou": procedure, "final_iou": np.mean([one.final for one in found])}
    measured = {name: np.mean(hits) for name, hits in shares.items()} | widths | means
    rounded = {name: round(float(value), 4) for name, value in measured.items()}
    return {"images": images, "cluster": size, "repeats": repeats, "folds": FOLDS} | rounded


def contains(interval: Estimate, value: float) -> bool:
    return interval.low <= value <= interval.high


def repeat(rng: np.random.Generator, count: int, size: int) -> Repeat:
    """Return the estimates from one data set, and their true values from new images."""
    data, new = draw(rng, count, size), draw(rng, NEW, 1)
    tested, models = np.empty((count, 2, SEEDS)), []
    for fold, rest in folds(rng, data.clusters):
        train = part(rng, data.clusters, rest, FOLD_TRAIN)
        for place in np.ndindex(2, SEEDS):
            model = fit(rng, data, train)
            tested[fold, *place] = iou(data, model)[fold]
            models += [iou(new, model).mean()] * (place == (0, 0))
    train = part(rng, data.clusters, np.arange(count), SPLIT_TRAIN)
    test = part(rng, data.clusters, np.setdiff1d(np.arange(count), train), 1 / 3)
    final = fit(rng, data, train)
    return Repeat(
        pooled=mean(tested[:, 0, 0], clusters=data.clusters),
        models=float(np.mean(models)),
        final=float(iou(new, final).mean()),
        gain=mean(tested[:, 1, 0] - tested[:, 0, 0], clusters=data.clusters),
        gain_of_seeds=paired_t_interval(tested[:, 0], tested[:, 1], data.clusters),
        split=mean(iou(data, final)[test], clusters=data.clusters[test]),
    )


def draw(rng: np.random.Generator, count: int, size: int) -> Images:
    """Return images in clusters of `size`, which have most of their features and noise in common."""
    clusters = np.arange(count) // size
    common, own = rng.normal(size=(count, FEATURES + 2))[clusters], rng.normal(size=(count, FEATURES + 2))
    together = TOGETHER if size > 1 else 0.0
    values = np.sqrt(together) * common + np.sqrt(1 - together) * own
    features, noise = values[:, :FEATURES], values[:, FEATURES:]
    targets = np.tanh((features @ WEIGHTS / np.sqrt(FEATURES) + NOISE * noise) / 2)
    return Images(features, np.stack([0.5 + 0.25 * targets[:, 0], 0.3 + 0.15 * targets[:, 1]], axis=1), clusters)


def folds(rng: np.random.Generator, clusters: Clusters) -> Iterator[tuple[Clusters, Clusters]]:
    """Yield the rows of each fold, of whole clusters, and those of the rest."""
    fold_of = rng.permutation(clusters.max() + 1) % FOLDS
    for number in range(FOLDS):
        inside = fold_of[clusters] == number
        yield np.flatnonzero(inside), np.flatnonzero(~inside)


def part(rng: np.random.Generator, clusters: Clusters, rows: Clusters, share: float) -> Clusters:
    """Return a share of rows, in whole clusters, at least two."""
    names = rng.permutation(np.unique(clusters[rows]))
    return rows[np.isin(clusters[rows], names[: max(2, round(share * len(names)))])]


def fit(rng: np.random.Generator, data: Images, rows: Clusters) -> Array:
    """Return the ridge regression [FEATURES + 1, 2] from features to boxes, without LEFT_OUT of the rows, by chance."""
    kept_rows = rows[rng.random(len(rows)) >= LEFT_OUT]
    inputs = with_constant(data.features[kept_rows])
    penalty = RIDGE * np.eye(inputs.shape[1])
    return np.asarray(np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ data.boxes[kept_rows]))


def iou(data: Images, model: Array) -> Array:
    """Return the IoU [N] of predicted and true intervals."""
    predicted = with_constant(data.features) @ model
    predicted[:, 1] = np.clip(predicted[:, 1], 0.01, None)
    (low, high), (true_low, true_high) = (
        (box[:, 0] - box[:, 1] / 2, box[:, 0] + box[:, 1] / 2) for box in (predicted, data.boxes)
    )
    shared = np.clip(np.minimum(high, true_high) - np.maximum(low, true_low), 0, None)
    return np.asarray(shared / (predicted[:, 1] + data.boxes[:, 1] - shared))


def with_constant(features: Array) -> Array:
    return np.hstack([features, np.ones((len(features), 1))])


def show() -> None:
    """Print the kept rows as the page quotes them."""
    print(
        "| images | in clusters of | models | procedure | final | width | alike | alike, 3 seeds | one split | width |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for one in kept.rows("folds"):
        shares, alike = (
            " | ".join(f"{one[name]:.0%}" for name in names)
            for names in (("models", "procedure", "final"), ("alike", "alike_seeds"))
        )
        print(
            f"| {one['images']} | {one['cluster']} | {shares} | {one['width']:.3f} | {alike} | {one['split']:.0%} | "
            f"{one['split_width']:.3f} |"
        )


if __name__ == "__main__":
    main()
