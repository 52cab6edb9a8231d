"""`localizer validate`: checks annotations and their images, without a pipeline or a GPU."""

import argparse
import json
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from localizer.commands.annotation_options import UsageError, add_reading_options, find_dataset, given_options
from localizer.findings import COLUMNS, BadFileError, Finding, warning

if TYPE_CHECKING:
    from localizer.dataset import Dataset

CACHE = Path(".localizer")
REPORTS = ("findings.csv", "summary.md", "data_docs", "thumbnails")


@dataclass(frozen=True)
class Outcome:
    """What is reported of one data set: `summary` is Markdown."""

    name: str
    findings: Sequence[Finding]
    passed: bool
    counts: str
    summary: str


def add_options(parser: argparse.ArgumentParser) -> None:
    target = "a file or folder of annotations (docs/reference/formats.md), or a data set's folder, data/NAME"
    parser.add_argument("annotations", type=Path, nargs="?", metavar="ANNOTATIONS", help=target)
    parser.add_argument(
        "--images", type=Path, metavar="DIR", help="the folder of the images, if they are to be checked"
    )
    parser.add_argument(
        "--since",
        metavar="REVISION",
        help="instead of ANNOTATIONS: the data sets that changed since a commit",
    )
    parser.add_argument("--fetch", action="store_true", help="with --since: fetch images that are not here")
    parser.add_argument("--against", type=Path, metavar="REFERENCE", help="accepted annotations, or a set's folder")
    parser.add_argument("--config", type=Path, metavar="FILE", help="a dataset.yaml with the encoding of ANNOTATIONS")
    size = "to which images will be resized (default: validate.image_size of params.yaml, else 64)"
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help=size)
    parser.add_argument("--reports", type=Path, metavar="DIR", help=f"write {', '.join(REPORTS)} there")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the summary to a file, without thumbnails")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON array")
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Check annotations and images; exit 0 if they pass, 1 if they fail, 2 on wrong usage, 3 on an internal error."""
    try:
        _check_usage(options)
        outcomes = list(_check_changed(options) if options.since is not None else _check_annotations(options))
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


def _check_usage(options: argparse.Namespace) -> None:
    """Raise UsageError where options exclude each other, or a path is missing or of the wrong kind."""
    if options.annotations is None and options.since is None:
        raise UsageError("expected ANNOTATIONS, or --since REVISION for the sets in data/ that changed")
    if options.annotations and options.since is not None:
        raise UsageError("ANNOTATIONS and --since REVISION exclude each other; omit one")
    if options.since is not None and (options.images or options.against or options.config or given_options(options)):
        raise UsageError("--since finds images, dataset.yaml and accepted annotations in data/; omit the other options")
    if options.fetch and options.since is None:
        raise UsageError("--fetch needs --since")
    if options.image_size is not None and options.image_size < 1:
        raise UsageError(f"--image-size: expected 1 pixel or more, got {options.image_size}")
    for path in (options.annotations, options.images, options.against, options.config):
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if options.images is not None and not options.images.is_dir():
        raise UsageError(f"{options.images}: not a folder")
    if options.summary and not options.summary.parent.is_dir():
        raise UsageError(f"--summary {options.summary}: no such folder")


def _check_annotations(options: argparse.Namespace) -> Iterator[Outcome]:
    name = options.annotations.resolve().name
    try:
        dataset, reasons = find_dataset(options.annotations, options, config_path=options.config)
        print(*(f"read as {reason}" for reason in reasons), sep="\n", end="\n" * bool(reasons), file=sys.stderr)
        reference = _reference(dataset, options) if options.against else None
        yield _validate(dataset, reference, name, options, reports=options.reports)
    except BadFileError as error:
        yield _unreadable(error, name, reports=options.reports)


def _reference(dataset: "Dataset", options: argparse.Namespace) -> "Dataset":
    """Return the accepted annotations: by their own config, else by the data set's, else by their column names."""
    if dataset.config_path and not (options.against / "dataset.yaml").is_file():
        return replace(dataset, annotations=options.against)
    return find_dataset(options.against, options)[0]


def _check_changed(options: argparse.Namespace) -> Iterator[Outcome]:
    from localizer.datasets.versions.fetch import fetch
    from localizer.datasets.versions.git_changes import changed_datasets, dataset_at

    try:
        folders = changed_datasets(options.since)
    except ValueError as error:
        raise UsageError(str(error)) from None
    for folder in folders:
        if options.fetch and (problem := fetch(folder)):
            print(f"{folder}: not fetched, {problem}", file=sys.stderr)
        reports = options.reports and options.reports / folder.name
        with TemporaryDirectory() as before:
            try:
                dataset, _ = find_dataset(folder, options)
                reference = dataset_at(options.since, folder, into=Path(before))
                yield _validate(dataset, reference, folder.name, options, reports=reports)
            except BadFileError as error:
                yield _unreadable(error, folder.name, reports=reports)


def _validate(
    dataset: "Dataset", reference: "Dataset | None", name: str, options: argparse.Namespace, *, reports: Path | None
) -> Outcome:
    """Return the outcome for a data set, and write its reports."""
    from localizer.validation.summary import describe_encoding, render_summary
    from localizer.validation.thumbnails import write_thumbnails
    from localizer.validation.validate import validate_dataset

    _prepare_folder(reports)
    docs, cache = reports and reports / "data_docs", CACHE if CACHE.is_dir() or Path("dvc.yaml").is_file() else None
    size = options.image_size or _default_size()
    result, drift = validate_dataset(dataset, image_size=size, against=reference, docs=docs, cache=cache)
    if options.since and reference is None:
        got, fix = f"no annotations at {options.since}", "nothing, for a new data set"
        source = dataset.annotations.as_posix()
        not_compared = warning(source, "not_compared", expected="an accepted version", got=got, fix=fix)
        result = replace(result, findings=(*result.findings, not_compared))
    findings, summary = result.ranked(), partial(render_summary, result, dataset.config, name=name, drift=drift)
    if reports:
        _write(summary(thumbnails=write_thumbnails(result, dataset.config, reports / "thumbnails")), findings, reports)
    counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in result.metrics().items())
    counts += f"; read as {describe_encoding(dataset.config)}"
    return Outcome(name, findings, result.passed, counts, summary() if options.summary else "")


def _unreadable(error: BadFileError, name: str, *, reports: Path | None) -> Outcome:
    """Return the outcome for annotations that can't be read, and write its reports."""
    from localizer.validation.summary import render_unreadable

    text = render_unreadable(error.findings, name=name)
    if reports:
        _prepare_folder(reports)
        _write(text, error.findings, reports)
    return Outcome(name, error.findings, passed=False, counts="can't be read", summary=text)


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


def _default_size() -> int:
    """Return the pipeline's validate.image_size, or 64 without a pipeline."""
    from localizer import config

    values = config.read_yaml(config.PARAMS) if config.PARAMS.exists() else {}
    return int(values.get("validate", {}).get("image_size", 64))


def _print(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    if options.summary:
        with options.summary.open("a", encoding="utf-8") as file:
            file.write("\n".join(outcome.summary for outcome in outcomes))
    if options.json:
        findings = [finding for outcome in outcomes for finding in outcome.findings]
        objects = [{name: getattr(finding, name) for name in COLUMNS} for finding in findings]
        print("[" + ",\n ".join(json.dumps(row, ensure_ascii=False) for row in objects) + "]")
        return
    for outcome in outcomes:
        print(*outcome.findings, sep="\n", end="\n" if outcome.findings else "")
        print(f"{outcome.name}: {'passed' if outcome.passed else 'failed'}: {outcome.counts}")
    if not outcomes:
        print(f"no data set changed since {options.since}")


def _warn(targets: Sequence[Path]) -> None:
    """Warn on standard error of data sets whose changes `dvc repro` would overwrite."""
    from localizer.datasets.versions.overwrite_warning import overwrite_warning

    for message in filter(None, map(overwrite_warning, targets)):
        print(f"localizer validate: WARNING: {message}", file=sys.stderr)
