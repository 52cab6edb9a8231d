"""`localizer validate`: checks annotations and their images, without a pipeline or a GPU."""

import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from localizer.commands.annotation_options import TARGET, ReadingOptions, find_dataset
from localizer.commands.finding_formats import as_github, as_json, no_commands, repository_root
from localizer.commands.options import UsageError
from localizer.commands.outcome import Outcome, init_command
from localizer.commands.terminal import show
from localizer.findings import BadFileError, Finding, warning

if TYPE_CHECKING:
    from localizer.dataset import Dataset

CACHE = Path(".localizer")
REPORTS = ("findings.csv", "summary.md", "data_docs", "thumbnails")


IMAGE_SIZE = "to which images will be resized (default: validate.image_size of params.yaml, else 64)"


@dataclass(frozen=True, kw_only=True)
class Options(ReadingOptions):
    annotations: Annotated[Path | None, Argument(metavar="ANNOTATIONS", help=TARGET)] = None
    images: Annotated[
        Path | None, Option(metavar="DIR", help="the folder of the images, if they are to be checked")
    ] = None
    since: Annotated[
        str | None, Option(metavar="REVISION", help="instead of ANNOTATIONS: the data sets that changed since a commit")
    ] = None
    fetch: Annotated[bool, Option("--fetch", help="with --since: fetch images that are not here")] = False
    against: Annotated[Path | None, Option(metavar="REFERENCE", help="accepted annotations, or a set's folder")] = None
    config: Annotated[Path | None, Option(metavar="FILE", help="a dataset.yaml with the encoding of ANNOTATIONS")] = (
        None
    )
    image_size: Annotated[int | None, Option(metavar="PIXELS", min=1, help=IMAGE_SIZE)] = None
    reports: Annotated[Path | None, Option(metavar="DIR", help=f"write {', '.join(REPORTS)} there")] = None
    summary: Annotated[Path | None, Option(metavar="FILE", help="append the summary to a file, without thumbnails")] = (
        None
    )
    format: Annotated[
        Literal["text", "json", "github", "sarif"],
        Option(help="of the findings: github annotates the lines of a pull request, sarif is for code scanning"),
    ] = "text"
    json: Annotated[bool, Option("--json", help="the same as --format json")] = False


def run(options: Options) -> int:
    """Check annotations and images; exit 0 if they pass, 1 if they fail, 2 on wrong usage, 3 on an internal error.

    Example: localizer validate boxes.csv --images photos/
    """
    try:
        _check_usage(options)
        if options.since is not None:
            outcomes = list(_check_changed(options.since, options))
        else:
            outcomes = [_check_annotations(_target(options), options)]
        _print(outcomes, options)
        _warn([options.annotations] if options.annotations else [Path("data", outcome.name) for outcome in outcomes])
    except UsageError as error:
        print(f"localizer validate: {error}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        print("localizer validate: internal error", file=sys.stderr)
        return 3
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _check_usage(options: Options) -> None:
    """Raise UsageError where options exclude each other, or a path is missing or of the wrong kind."""
    if options.annotations and options.since is not None:
        raise UsageError("ANNOTATIONS and --since REVISION exclude each other; omit one")
    if options.since is not None and (options.images or options.against or options.config or options.given()):
        raise UsageError("--since finds images, dataset.yaml and accepted annotations in data/; omit the other options")
    if options.fetch and options.since is None:
        raise UsageError("--fetch needs --since")
    if options.json and options.format in ("github", "sarif"):
        raise UsageError(f"--json and --format {options.format} exclude each other; omit one")
    for path in (options.annotations, options.images, options.against, options.config):
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if options.images is not None and not options.images.is_dir():
        raise UsageError(f"{options.images}: not a folder")
    if options.summary and not options.summary.parent.is_dir():
        raise UsageError(f"--summary {options.summary}: no such folder")


def _target(options: Options) -> Path:
    if options.annotations is None:
        raise UsageError("expected ANNOTATIONS, or --since REVISION for the sets in data/ that changed")
    return options.annotations


def _check_annotations(annotations: Path, options: Options) -> Outcome:
    name = annotations.resolve().name
    try:
        dataset, reasons = find_dataset(annotations, options, images=options.images, config_path=options.config)
        reference = _reference(dataset, options.against, options) if options.against else None
        return replace(_validate(dataset, reference, name, options, reports=options.reports), detected=reasons)
    except BadFileError as error:
        return _unreadable(error, name, reports=options.reports)


def _reference(dataset: "Dataset", accepted: Path, options: Options) -> "Dataset":
    """Return the accepted annotations: by their own config, else by the data set's, else by their column names."""
    if dataset.config_path and not (accepted / "dataset.yaml").is_file():
        return replace(dataset, annotations=accepted)
    return find_dataset(accepted, options, images=options.images)[0]


def _check_changed(since: str, options: Options) -> Iterator[Outcome]:
    from localizer.datasets.versions.fetch import fetch
    from localizer.datasets.versions.git_changes import changed_datasets, dataset_at

    try:
        folders = changed_datasets(since)
    except ValueError as error:
        raise UsageError(str(error)) from None
    for folder in folders:
        if options.fetch and (problem := fetch(folder)):
            print(f"{folder}: not fetched, {problem}", file=sys.stderr)
        reports = options.reports and options.reports / folder.name
        with TemporaryDirectory() as before:
            try:
                dataset, _ = find_dataset(folder, options, images=None)
                reference = dataset_at(since, folder, into=Path(before))
                yield _validate(dataset, reference, folder.name, options, reports=reports)
            except BadFileError as error:
                yield _unreadable(error, folder.name, reports=reports)


def _validate(
    dataset: "Dataset", reference: "Dataset | None", name: str, options: Options, *, reports: Path | None
) -> Outcome:
    """Return the outcome for a data set, and write its reports."""
    from localizer.validation.summary import describe_encoding, render_summary, verdict
    from localizer.validation.thumbnails import write_thumbnails
    from localizer.validation.validate import validate_dataset

    _prepare_folder(reports)
    docs, cache = reports and reports / "data_docs", CACHE if CACHE.is_dir() or Path("dvc.yaml").is_file() else None
    size = options.image_size or default_size()
    result, drift = validate_dataset(dataset, image_size=size, against=reference, docs=docs, cache=cache)
    if options.since and reference is None:
        got, fix = f"no annotations at {options.since}", "nothing, for a new data set"
        source = dataset.annotations.as_posix()
        not_compared = warning(source, "not_compared", expected="a version to compare with", got=got, fix=fix)
        result = replace(result, findings=(*result.findings, not_compared))
    findings, summary = result.ranked(), partial(render_summary, result, dataset.config, name=name, drift=drift)
    if reports:
        _write(summary(thumbnails=write_thumbnails(result, dataset.config, reports / "thumbnails")), findings, reports)
    line = f"{verdict(result, name=name)}; read as {describe_encoding(dataset.config)}"
    return Outcome(name, findings, result.passed, line, summary() if options.summary else "", reports)


def _unreadable(error: BadFileError, name: str, *, reports: Path | None) -> Outcome:
    """Return the outcome for annotations that can't be read, and write its reports."""
    from localizer.validation.summary import render_unreadable

    text = render_unreadable(error.findings, name=name)
    if reports:
        _prepare_folder(reports)
        _write(text, error.findings, reports)
    line = f"{name}: failed: can't be read"
    return Outcome(name, error.findings, passed=False, verdict=line, summary=text, reports=reports)


def _prepare_folder(reports: Path | None) -> None:
    """Make an empty folder for reports, which replace former ones; UsageError if it contains anything else."""
    if reports is None:
        return
    if reports.exists() and not reports.is_dir():
        raise UsageError(f"--reports {reports}: not a folder")
    if reports.exists() and (other := {path.name for path in reports.iterdir()}.difference(REPORTS)):
        raise UsageError(f"--reports {reports}: contains {min(other)}; expected a folder only for reports")
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)


def _write(text: str, findings: Sequence[Finding], reports: Path) -> None:
    from localizer.validation.result import write_findings

    (reports / "summary.md").write_text(text, encoding="utf-8")
    write_findings(findings, reports / "findings.csv")


def default_size() -> int:
    """Return the pipeline's validate.image_size, or 64 without a pipeline."""
    from localizer import config

    values = config.read_yaml(config.PARAMS) if config.PARAMS.exists() else {}
    return int(values.get("validate", {}).get("image_size", 64))


def _print(outcomes: list[Outcome], options: Options) -> None:
    if options.summary:
        with options.summary.open("a", encoding="utf-8") as file:
            file.write("\n".join(outcome.summary for outcome in outcomes))
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    if options.json or options.format == "json":
        print(as_json(findings), end="")
    elif options.format == "sarif":
        from localizer.commands.sarif import as_sarif

        print(as_sarif(findings, root=repository_root()), end="")
    elif options.format == "github":
        print(as_github(findings, root=repository_root()), end="")
        show(no_commands([outcome.verdict for outcome in outcomes] or [_unchanged(options)]))
    else:
        _show(outcomes, options)


def _show(outcomes: list[Outcome], options: Options) -> None:
    """Print the outcomes as text, and how the annotations were read on standard error."""
    for outcome in outcomes:
        show(outcome.lines())
        print(*(f"read as {reason}\n" for reason in outcome.detected), sep="", end="", file=sys.stderr)
        if options.annotations and outcome.detected:
            show(init_command(options.annotations, options))
    if not outcomes:
        print(_unchanged(options))


def _unchanged(options: Options) -> str:
    return f"no data set changed since {options.since}"


def _warn(targets: Sequence[Path]) -> None:
    """Warn on standard error of data sets whose changes `dvc repro` would overwrite."""
    from localizer.datasets.versions.overwrite_warning import overwrite_warning

    for message in filter(None, map(overwrite_warning, targets)):
        print(f"localizer validate: WARNING: {message}", file=sys.stderr)
