"""`localizer validate`: what is wrong with annotations and their images, without a pipeline or a GPU.

It exits 0 without a critical finding, 1 with one, 2 when it was asked wrongly, 3 when it failed itself.
"""

import argparse
import json
import shutil
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from localizer.commands.reading import add_reading_options, choices
from localizer.data.finding import TOLD, BadFileError, Finding, fault

if TYPE_CHECKING:
    from localizer.data.inspection import Subject

CACHE = Path(".localizer")
CARD_HINT = "Where a fix names a key of dataset.yaml, the option of the same name does it here: --box-format xywh."


class UsageError(ValueError):
    """The command was given what can't be meant."""


@dataclass
class Told:
    """What there is to tell of one subject."""

    name: str
    findings: Sequence[Finding]
    passed: bool
    line: str
    markdown: str = field(repr=False)


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "annotations", type=Path, nargs="?", metavar="ANNOTATIONS",
        help="a CSV, a COCO .json, a folder of Pascal VOC or YOLO files, or a data set's folder, data/NAME",
    )  # fmt: skip
    parser.add_argument("--images", type=Path, metavar="DIR", help="the folder of the images; else they aren't checked")
    parser.add_argument("--since", metavar="REVISION", help="instead: the sets in data/ that changed since the commit")
    parser.add_argument("--fetch", action="store_true", help="with --since: fetch images that are not here")
    parser.add_argument(
        "--against", type=Path, metavar="REFERENCE", help="accepted annotations, or a data set's folder"
    )
    parser.add_argument("--card", type=Path, metavar="FILE", help="a dataset.yaml that says how to read ANNOTATIONS")
    parser.add_argument("--image-size", type=int, default=64, help="to which images will be resized (default: 64)")
    parser.add_argument(
        "--reports", type=Path, metavar="DIR", help="write findings.csv, summary.md and data_docs/ there"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the Markdown summary to a file")
    parser.add_argument("--json", action="store_true", help="print the findings as a JSON array")
    add_reading_options(parser)


def run(options: argparse.Namespace) -> int:
    """Check annotations and images; exit 0 if clean, 1 with critical findings, 2 on wrong use, 3 on a failure."""
    try:
        told = _check(options)
        _print(told, options)
    except UsageError as error:
        print(f"localizer validate: {error}", file=sys.stderr)
        return 2
    except Exception:
        traceback.print_exc()
        print("localizer validate: failed itself; the annotations were not judged", file=sys.stderr)
        return 3
    return 0 if all(one.passed for one in told) else 1


def _check(options: argparse.Namespace) -> list[Told]:
    """Return what there is to tell of each subject; UsageError where the options don't go together."""
    if (options.annotations is None) == (options.since is None):
        raise UsageError("say what to validate: ANNOTATIONS, or --since REVISION for the sets in data/ that changed")
    if options.image_size < 1:
        raise UsageError(f"--image-size {options.image_size}: 1 pixel or more was wanted")
    if options.since is not None:
        if options.images or options.against or options.card:
            raise UsageError(
                "--since takes images, card and accepted annotations from data/; leave out the other options"
            )
        return _check_touched(options)
    if options.fetch:
        raise UsageError("--fetch goes with --since")
    for path in (options.annotations, options.images, options.against, options.card):
        if path is not None and not path.exists():
            raise UsageError(f"{path}: no such file or folder")
    if options.images is not None and not options.images.is_dir():
        raise UsageError(f"{options.images}: not a folder")
    return [_tell(options, options.annotations, options.against)]


def _check_touched(options: argparse.Namespace) -> list[Told]:
    from localizer.data.fetching import fetch
    from localizer.data.touched import accepted, touched_sets

    try:
        folders = touched_sets(options.since)
    except ValueError as error:
        raise UsageError(str(error)) from None
    told = []
    for folder in folders:
        if options.fetch and (problem := fetch(folder)):
            print(f"{folder}: not fetched, {problem}", file=sys.stderr)
        with TemporaryDirectory() as before:
            reference = accepted(folder, since=options.since, into=Path(before))
            if reference is None:
                print(f"{folder}: git had no annotations at {options.since} to compare with", file=sys.stderr)
            told.append(_tell(options, folder, reference))
    return told


def _tell(options: argparse.Namespace, target: Path, reference: "Path | Subject | None") -> Told:
    """Return what there is to tell of a set's folder or a file of annotations, and write its reports."""
    from localizer.data.inspection import inspect
    from localizer.data.summary import summary, unreadable
    from localizer.data.summary_pictures import write_pictures
    from localizer.data.verdict import write_findings

    name = target.resolve().name
    reports = options.reports / name if options.since and options.reports else options.reports
    for stale in ("data_docs", "thumbnails") if reports else ():
        shutil.rmtree(reports / stale, ignore_errors=True)
    docs = reports / "data_docs" if reports else None
    cache = CACHE if CACHE.is_dir() or Path("dvc.yaml").is_file() else None
    try:
        subject = _subject(options, target)
        against = _reference(options, reference, like=subject) if isinstance(reference, Path) else reference
        verdict, drift = inspect(subject, image_size=options.image_size, against=against, docs=docs, cache=cache)
    except BadFileError as error:
        text = unreadable(error.findings, name=name)
        told = Told(name, error.findings, passed=False, line="can't be read", markdown=text)
    else:
        pictures = write_pictures(verdict, subject.card, reports / "thumbnails") if reports else []
        text = summary(verdict, subject.card, name=name, pictures=pictures, drift=drift)
        text += f"\n{CARD_HINT}\n" if subject.annotations == target else ""
        told = Told(name, verdict.worst(len(verdict.findings)), verdict.passed, _counts(verdict.metrics()), text)
    if reports:
        reports.mkdir(parents=True, exist_ok=True)
        (reports / "summary.md").write_text(told.markdown, encoding="utf-8")
        write_findings(told.findings, reports / "findings.csv")
    return told


def _counts(metrics: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in metrics.items())


def _subject(options: argparse.Namespace, target: Path) -> "Subject":
    """Return a data set's folder, or a file of annotations with what the options say of it, as a subject."""
    from localizer.data.card import read_card_file
    from localizer.data.inspection import Subject, subject_of
    from localizer.data.intake import draft_card

    own = target / "dataset.yaml"
    try:
        if own.is_file():
            return subject_of(target)
        if options.card:
            return Subject(target.name, read_card_file(options.card), target, options.images)
        draft = draft_card(target.stem, target, choices(options), images=options.images, evidence="names")
        return Subject(target.name, draft.card, target, options.images)
    except BadFileError:
        raise
    except ValueError as error:
        card = own if own.is_file() else options.card
        raise BadFileError([_misunderstood(target, card, got=str(error))]) from None


def _reference(options: argparse.Namespace, path: Path, *, like: "Subject") -> "Subject":
    """Return the accepted annotations: by their own card, else by that of the data set's folder that is validated."""
    if like.annotations == options.annotations or (path / "dataset.yaml").is_file():
        return _subject(options, path)
    return replace(like, annotations=path)


def _misunderstood(target: Path, card: Path | None, *, got: str) -> Finding:
    """Return the finding that a card is wrong, or that without one the columns can't be told."""
    if card:
        fix = "correct the card: docs/data-sets.md"
        return fault(card.as_posix(), "card_invalid", got=got, wanted="a data set's card", fix=fix)
    fix = "say what the columns are: localizer validate --help"
    return fault(target.as_posix(), "columns_unknown", got=got, wanted="columns with usual names", fix=fix)


def _print(told: list[Told], options: argparse.Namespace) -> None:
    if options.summary:
        with options.summary.open("a", encoding="utf-8") as file:
            file.write("\n".join(one.markdown for one in told))
    if options.json:
        objects = [{name: getattr(finding, name) for name in TOLD} for one in told for finding in one.findings]
        print("[" + ",\n ".join(json.dumps(each, ensure_ascii=False) for each in objects) + "]")
        return
    for one in told:
        print(*one.findings, sep="\n", end="\n" if one.findings else "")
        print(f"{one.name}: {'passed' if one.passed else 'failed'}: {one.line}")
    if not told:
        print(f"no data set changed since {options.since}")
    elif any(CARD_HINT in one.markdown and not one.passed for one in told):
        print(CARD_HINT)
