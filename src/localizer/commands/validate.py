"""`localizer validate`: what is wrong with annotations and their images, without a pipeline or a GPU.

It exits 0 without a critical finding, 1 with one, 2 when it was asked wrongly, 3 when it failed itself.
"""

import argparse
import json
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from localizer.commands.annotation_options import UsageError, add_reading_options, find_dataset, given_options
from localizer.findings import COLUMNS, BadFileError, Finding

if TYPE_CHECKING:
    from localizer.dataset import Dataset

CACHE = Path(".localizer")
REPORTS = ("findings.csv", "summary.md", "data_docs", "thumbnails")


@dataclass(frozen=True)
class Outcome:
    """What there is to tell of one set: `summary` is Markdown."""

    name: str
    findings: Sequence[Finding]
    passed: bool
    counts: str
    summary: str


def add_options(parser: argparse.ArgumentParser) -> None:
    target = "a CSV, a COCO .json, a folder of Pascal VOC or YOLO files, or a data set's folder, data/NAME"
    parser.add_argument("annotations", type=Path, nargs="?", metavar="ANNOTATIONS", help=target)
    parser.add_argument("--images", type=Path, metavar="DIR", help="the folder of the images; else they aren't checked")
    parser.add_argument("--since", metavar="REVISION", help="instead: the sets in data/ that changed since the commit")
    parser.add_argument("--fetch", action="store_true", help="with --since: fetch images that are not here")
    parser.add_argument("--against", type=Path, metavar="REFERENCE", help="accepted annotations, or a set's folder")
    parser.add_argument("--card", type=Path, metavar="FILE", help="a dataset.yaml that says how to read ANNOTATIONS")
    size = "to which images will be resized (default: validate.image_size of params.yaml, else 64)"
    parser.add_argument("--image-size", type=int, metavar="PIXELS", help=size)
    parser.add_argument("--reports", type=Path, metavar="DIR", help=f"write {', '.join(REPORTS)} there")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the summary, without pictures, to a file")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON array")
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Check annotations and images; exit 0 if clean, 1 with critical findings, 2 on wrong use, 3 on a failure."""
    try:
        _refuse_wrong_use(options)
        outcomes = list(_check_touched(options) if options.since is not None else _check_one(options))
        _print(outcomes, options)
        _warn([options.annotations] if options.annotations else [Path("data", one.name) for one in outcomes])
    except UsageError as error:
        print(f"localizer validate: {error}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        print("localizer validate: failed itself", file=sys.stderr)
        return 3
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _refuse_wrong_use(options: argparse.Namespace) -> None:
    """Raise UsageError where options don't go together, or name what is not there or is not ours to write over."""
    if options.annotations is None and options.since is None:
        raise UsageError("say what to validate: ANNOTATIONS, or --since REVISION for the sets in data/ that changed")
    if options.annotations and options.since is not None:
        raise UsageError("ANNOTATIONS and --since REVISION don't go together; leave one out")
    if options.since is not None and (options.images or options.against or options.card or given_options(options)):
        raise UsageError("--since takes images, cards and accepted annotations from data/; leave out the other options")
    if options.fetch and options.since is None:
        raise UsageError("--fetch goes with --since")
    if options.image_size is not None and options.image_size < 1:
        raise UsageError(f"--image-size {options.image_size}: 1 pixel or more was expected")
    for path in (options.annotations, options.images, options.against, options.card):
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if options.images is not None and not options.images.is_dir():
        raise UsageError(f"{options.images}: not a folder")
    if options.summary and not options.summary.parent.is_dir():
        raise UsageError(f"--summary {options.summary}: no such folder")


def _check_one(options: argparse.Namespace) -> Iterator[Outcome]:
    name = options.annotations.resolve().name
    try:
        subject, _ = find_dataset(options.annotations, options, detect_by="names", config_path=options.card)
        reference = _reference(subject, options) if options.against else None
        yield _judge(subject, reference, name, options, reports=options.reports)
    except BadFileError as error:
        yield _unreadable(error, name, reports=options.reports)


def _reference(subject: "Dataset", options: argparse.Namespace) -> "Dataset":
    """Return the accepted annotations: by their own card, else by that of what is validated, else by their names."""
    if subject.config_path and not (options.against / "dataset.yaml").is_file():
        return replace(subject, annotations=options.against)
    return find_dataset(options.against, options, detect_by="names")[0]


def _check_touched(options: argparse.Namespace) -> Iterator[Outcome]:
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
                subject, _ = find_dataset(folder, options, detect_by="names")
                reference = dataset_at(options.since, folder, into=Path(before))
                yield _judge(subject, reference, folder.name, options, reports=reports)
            except BadFileError as error:
                yield _unreadable(error, folder.name, reports=reports)


def _judge(
    subject: "Dataset",
    reference: "Dataset | None",
    name: str,
    options: argparse.Namespace,
    *,
    reports: Path | None,
) -> Outcome:
    """Return the outcome for a subject, and write its reports."""
    from localizer.validation.inspection import inspect
    from localizer.validation.summary import reading, summary
    from localizer.validation.thumbnails import write_pictures

    _make_room(reports)
    docs, cache = reports and reports / "data_docs", CACHE if CACHE.is_dir() or Path("dvc.yaml").is_file() else None
    size = options.image_size or _usual_size()
    verdict, drift = inspect(subject, image_size=size, against=reference, docs=docs, cache=cache)
    if options.since and reference is None:
        verdict = replace(verdict, findings=(*verdict.findings, _not_compared(subject, options.since)))
    found = verdict.worst(len(verdict.findings))
    if reports:
        pictures = write_pictures(verdict, subject.config, reports / "thumbnails")
        _write(summary(verdict, subject.config, name=name, pictures=pictures, drift=drift), found, reports)
    counts = ", ".join(f"{count} {what.replace('_', ' ')}" for what, count in verdict.metrics().items())
    text = summary(verdict, subject.config, name=name, drift=drift) if options.summary else ""
    return Outcome(name, found, verdict.passed, f"{counts}; read as {reading(subject.config)}", text)


def _not_compared(subject: "Dataset", since: str) -> Finding:
    from localizer.validation.rules.encoding_checks import file_finding

    told = {"got": f"no annotations at {since}", "expected": "an accepted version", "fix": "nothing, for a new set"}
    return file_finding("not_compared", subject.annotations.as_posix(), severity="warning", **told)


def _unreadable(error: BadFileError, name: str, *, reports: Path | None) -> Outcome:
    """Return the outcome for what can't be read, and write its reports."""
    from localizer.validation.summary import unreadable

    text = unreadable(error.findings, name=name)
    if reports:
        _make_room(reports)
        _write(text, error.findings, reports)
    return Outcome(name, error.findings, passed=False, counts="can't be read", summary=text)


def _make_room(reports: Path | None) -> None:
    """Make the folder of reports, without those of a run before; UsageError if it holds something else."""
    if reports is None:
        return
    if reports.exists() and not reports.is_dir():
        raise UsageError(f"--reports {reports}: not a folder")
    if reports.exists() and (other := {path.name for path in reports.iterdir()}.difference(REPORTS)):
        raise UsageError(f"--reports {reports}: has {min(other)} in it; name a folder for the reports alone")
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)


def _write(text: str, found: Sequence[Finding], reports: Path) -> None:
    from localizer.validation.result import write_findings

    (reports / "summary.md").write_text(text, encoding="utf-8")
    write_findings(found, reports / "findings.csv")


def _usual_size() -> int:
    """Return the pipeline's own size where there is a pipeline, else 64."""
    from localizer import config

    values = config.read_yaml(config.PARAMS) if config.PARAMS.exists() else {}
    return int(values.get("validate", {}).get("image_size", 64))


def _print(outcomes: list[Outcome], options: argparse.Namespace) -> None:
    if options.summary:
        with options.summary.open("a", encoding="utf-8") as file:
            file.write("\n".join(outcome.summary for outcome in outcomes))
    if options.json:
        objects = [{name: getattr(one, name) for name in COLUMNS} for outcome in outcomes for one in outcome.findings]
        print("[" + ",\n ".join(json.dumps(each, ensure_ascii=False) for each in objects) + "]")
        return
    for outcome in outcomes:
        print(*outcome.findings, sep="\n", end="\n" if outcome.findings else "")
        print(f"{outcome.name}: {'passed' if outcome.passed else 'failed'}: {outcome.counts}")
    if not outcomes:
        print(f"no data set changed since {options.since}")


def _warn(targets: Sequence[Path]) -> None:
    """Tell on standard error which sets' changes `dvc repro` would take back, and how to keep them."""
    from localizer.datasets.versions.overwrite_warning import overwrite_warning

    for warning in filter(None, map(overwrite_warning, targets)):
        print(f"localizer validate: WARNING: {warning}", file=sys.stderr)
