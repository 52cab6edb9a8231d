"""`localizer cross-validate`: test every image once, by models that did not see it.

The images form folds, of whole clusters. For each fold DVC runs the pipeline as an experiment, NAME-fold-0 and so on,
with that fold as the test split (`split.folds`, `split.fold`), and the rest shared out by the fractions of `split`.
Their test predictions are pooled into one evaluation over all images, with the files of the stage evaluate, in
reports/folds/NAME/, and with a run NAME in MLflow.

Run again, it runs only the folds that are not finished on this commit. Ctrl-C leaves the workers at work: the same
command waits for them, `dvc queue stop --kill` ends them. The exit status is 1 if a fold fails; the others are kept.
"""

from dataclasses import dataclass
from typing import Annotated

from typer import Option

DEFAULT = "cv"


@dataclass(frozen=True)
class Options:
    folds: Annotated[int, Option(metavar="K", help="number of folds")] = 5
    jobs: Annotated[int, Option(metavar="N", help="folds at once; each has its share of the cores")] = 1
    set_param: Annotated[
        list[str] | None,
        Option(
            "-S",
            "--set-param",
            metavar="CHANGE",
            help="a parameter of the recipe, NAME=VALUE as for `dvc exp run`; may be repeated",
        ),
    ] = None
    name: Annotated[
        str, Option(metavar="NAME", help="of the result, to compare it by, and before the folds' names")
    ] = DEFAULT


def run(options: Options) -> int:
    """Train and test on folds, so that every image is tested once, and evaluate all test predictions together.

    Example: localizer cross-validate --name longer -S train.epochs=60
    """
    from localizer.cross_validation.fold_outputs import read_fold
    from localizer.cross_validation.folds import run_folds
    from localizer.cross_validation.pooling import pool_folds
    from localizer.cross_validation.recipe import open_recipe

    if options.jobs < 1:
        raise ValueError(f"--jobs: expected 1 or more, got {options.jobs}")
    recipe = open_recipe(options.name, folds=options.folds, overrides=options.set_param or ())
    revisions = run_folds(recipe, jobs=options.jobs, say=lambda line: print(line, flush=True))
    folds = [read_fold(*fold) for fold in zip(recipe.experiments, revisions, strict=True)]
    print(pool_folds(recipe, folds))
    return 0
