"""`localizer init`: a data set's folder from a person's own annotations and images.

The checks of `localizer validate` run first. What would stop the pipeline and can be settled in dataset.yaml is asked,
on a terminal; with --yes the recommended choice is taken; else the choices are printed. The exit status is 0 if the
pipeline can run on the data set, and 1 if it would stop: data/NAME is there all the same, to be corrected.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from localizer.commands.annotation_options import FILES, ReadingOptions
from localizer.commands.terminal import show
from localizer.findings import Line, blocks, count_of

if TYPE_CHECKING:
    from localizer.dataset import Dataset, DatasetConfig
    from localizer.validation.choices import Choice, Question
    from localizer.validation.result import ValidationResult

FEW_IMAGES = 400  # a tenth of fewer, the test split, resolves differences of some hundredths of IoU only


@dataclass(frozen=True, kw_only=True)
class Options(ReadingOptions):
    name: Annotated[str, Argument(metavar="NAME", help="of the data set: its folder is data/NAME")]
    annotations: Annotated[Path, Option(metavar="PATH", help=FILES)]
    images: Annotated[Path, Option(metavar="DIR", help="the folder that the annotations' images are in")]
    yes: Annotated[bool, Option("--yes", "-y", help="take the recommended choices, and ask nothing")] = False


def run(options: Options) -> int:
    """Create data/NAME from annotations and images, add the images to DVC, and say whether the pipeline can run on it.

    Example: localizer init mine --annotations boxes.csv --images photos/
    """
    from localizer.dataset import Dataset, open_dataset
    from localizer.datasets.create import check_name, create_dataset, track, unused_columns
    from localizer.datasets.detection.propose import propose_config

    check_name(options.name)
    proposal = propose_config(options.name, options.annotations, options.choices(), images=options.images)
    show([f"data/{options.name}/dataset.yaml contains:", *(f"  {reason}" for reason in proposal.reasons)])
    if unused := unused_columns(proposal.config, options.annotations):
        print(f"Columns not used: {', '.join(unused)} (is one a --label-column, a --group-column or a --width-column?)")
    config, left = _settle(Dataset(proposal.config, options.annotations, options.images), options)
    tracked: list[Path] = []  # relative to the folder, which has another name then
    create = partial(create_dataset, options.name, config, annotations=options.annotations, images=options.images)
    folder = create(finish=lambda part: tracked.extend(path.relative_to(part) for path in track(part, config)))
    print(f"DVC tracks {' and '.join(str(folder / path) for path in tracked)}; git tracks the rest of {folder}.")
    result = _check(open_dataset(folder))
    problem = _split_problem(result) if result.passed else ""
    show(_verdict(result, left, problem, folder))
    return 0 if result.passed and not problem else 1


def _settle(dataset: "Dataset", options: Options) -> "tuple[DatasetConfig, list[Question]]":
    """Return the config with the choices that were made, and the questions left open."""
    from dataclasses import replace

    from localizer.validation.choices import QUESTIONS

    result = _check(dataset)
    left: list[Question] = []
    for ask in QUESTIONS:
        if result.passed or (question := ask(result, dataset.config)) is None:
            continue
        choice = question.recommended if options.yes else _asked(question)
        if choice is None:
            left.append(question)
            continue
        print(f"{question.problem}: {choice}")
        dataset = replace(dataset, config=dataset.config.model_copy(update=choice.values))
        result = _check(dataset)
    return dataset.config, left


def _asked(question: "Question") -> "Choice | None":
    """Return the person's choice; None if there is no terminal, or they leave it open."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    from rich.prompt import IntPrompt

    leave = len(question.choices) + 1
    numbered = [f"  {number}  {choice}" for number, choice in enumerate(question.choices, start=1)]
    show(["", f"{question.problem}:", *numbered, f"  {leave}  leave it, to correct it yourself"])
    default = question.choices.index(question.recommended) + 1 if question.recommended else leave
    number = IntPrompt.ask("Which", choices=[str(number + 1) for number in range(leave)], default=default)
    return question.choices[number - 1] if number < leave else None


def _check(dataset: "Dataset") -> "ValidationResult":
    from localizer.commands.validate import CACHE, default_size
    from localizer.validation.validate import validate_dataset

    return validate_dataset(dataset, image_size=default_size(), cache=CACHE)[0]


def _split_problem(result: "ValidationResult") -> str:
    """Return why the clean images can't be split as params.yaml says; empty if they can."""
    from localizer.config import PARAMS, read_yaml
    from localizer.probing.duplicates import cluster_images
    from localizer.splitting.assignment import split_images
    from localizer.tables import SPLITS

    if not PARAMS.exists():  # outside a pipeline
        return ""
    params = read_yaml(PARAMS)["split"]
    fractions = {name: params[name] for name in SPLITS}
    try:
        names = cluster_images(result.clean).names
        split_images(result.clean, names, method=params["method"], fractions=fractions, seed=params["seed"])
    except ValueError as error:
        return str(error)
    return ""


def _verdict(result: "ValidationResult", left: "list[Question]", problem: str, folder: Path) -> Iterator[Line | str]:
    """Yield whether the pipeline can run, what would stop it, the choices that settle it, and the next commands."""
    warnings = count_of(result.count("warning"), "warning")
    clean = f"{len(result.clean)} of {count_of(result.images, 'image')} can be used, {warnings}"
    stop = f"the pipeline would stop at {'split' if result.passed else 'validate'}"
    yield ""
    yield f"{folder}: {'ready' if result.passed and not problem else stop}: {clean}"
    if problem:
        yield problem
    if not result.passed:
        yield from blocks(f for f in result.findings if f.severity == "critical")
    for question in left:
        yield ""
        yield f"{question.problem}; set in {folder}/dataset.yaml"
        yield from (f"  {choice}{', recommended' * (choice is question.recommended)}" for choice in question.choices)
    yield ""
    yield f"{'Next' if result.passed and not problem else 'Then'}:"
    if result.findings:
        yield f"  localizer validate {folder} --reports reports/{folder.name}"
    yield f"  git add {folder} && git commit -m 'Data set {folder.name}'"
    yield f"  dvc exp run -S prepare.dataset={folder.name}"
    if len(result.clean) < FEW_IMAGES:
        yield "or, since so few images leave few to test on, test each once, by models that did not see it:"
        yield f"  localizer cross-validate --name {folder.name} -S prepare.dataset={folder.name}"
