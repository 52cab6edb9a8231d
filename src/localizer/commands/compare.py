"""`localizer compare`: runs, revisions and experiments against a first one, image by image.

With --json it prints one object of these keys:

groups: letter, results (name, commit, dirty, seeds, metrics, and stale: in words, which of its code and params are no
longer those beside it, else null); those of one letter differ in their seeds alone
params: those that differ, each with its value in every group
differences: of each group but the first: letter, reason (why it can't be told, else null; all that follows is null
then), verdict, gain of mean IoU with low and high, seeds (whether its interval is over seeds, too), images, clusters
(the independent ones among them), left_out, and slices as `localizer.comparison.gate.slice_gains` has them
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localizer.comparison.groups import Comparison, Difference, Group, Result
    from localizer.tables import Table

SPLIT, CARD = Path("tables/split.csv"), Path("tables/dataset.yaml")


def add_options(parser: argparse.ArgumentParser) -> None:
    which = (
        "an MLflow run: its id, six characters of it or more, or its name; a branch, tag, commit or DVC experiment; "
        "models:/localizer@champion or models:/localizer/3, as it was judged; or `workspace`, what lies here now; "
        "run:NAME or rev:NAME where a name fits both"
    )
    parser.add_argument("first", metavar="A", help=f"what the others are compared with: {which}")
    parser.add_argument("others", metavar="B", nargs="+", help="more of these; repeats over seeds are put together")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with plots and pictures, too")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown, as for a job summary on GitHub")
    form.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Compare runs, revisions or experiments with a first one, on the test images that they share."""
    from localizer.comparison.groups import compare
    from localizer.comparison.results import NoResultError
    from localizer.files import check_file

    if options.html:
        check_file(options.html, option="--html")
    try:
        results = _find([options.first, *options.others])
    except NoResultError as error:  # a project's first results have nothing to be compared with
        if not options.markdown:
            raise
        print(_untold(error))
        return 0
    comparison = compare(results)
    if options.html:
        from localizer.comparison.page import page, shown
        from localizer.files import replace_text

        replace_text(options.html, page(comparison, _files(shown(comparison))))
    _print(comparison, options)
    return 0


def _find(asked: Sequence[str]) -> "list[Result]":
    from localizer.comparison.results import Finder

    finder = Finder()
    # Champions first, so that a server that hangs, without which they are none, is waited for once.
    found = {one: finder.find(one) for one in sorted(asked, key=lambda one: not one.startswith("models:/"))}
    return [found[one] for one in asked]


def _untold(error: Exception) -> str:
    from localizer.comparison.text import escaped

    return f"## Comparison\n\nThere is nothing to compare: {escaped(str(error))}."


def _print(comparison: "Comparison", options: argparse.Namespace) -> None:
    from localizer.comparison.text import escaped, markdown, terminal

    notes = [f"{one.name}: {one.stale}" for group in comparison.groups for one in group.results if one.stale]
    if options.json:
        print(json.dumps(told(comparison), indent=2))
    elif options.markdown:
        title, rest = markdown(comparison).split("\n\n", 1)
        sys.stdout.write("\n\n".join([title, *(f"**WARNING:** {escaped(note)}" for note in notes), rest]))
    else:
        for note in notes:
            print(f"compare: WARNING: {note}", file=sys.stderr)
        sys.stdout.write(terminal(comparison))


def told(comparison: "Comparison") -> dict[str, Any]:
    """Return the comparison as JSON holds it."""
    from localizer.comparison.groups import differing
    from localizer.comparison.sections import letters

    names = letters(comparison)
    others = zip(names[1:], comparison.differences, strict=True)
    return {
        "groups": [_group(name, group) for name, group in zip(names, comparison.groups, strict=True)],
        "params": {
            name: dict(zip(names, values, strict=True)) for name, values in differing(comparison.groups).items()
        },
        "differences": [{"letter": name, **_difference(one)} for name, one in others],
    }


def _group(letter: str, group: "Group") -> dict[str, Any]:
    from localizer.comparison.groups import SEEDS

    results = [
        {
            "name": one.name,
            "commit": one.commit or None,
            "dirty": one.dirty,
            "stale": one.stale or None,
            "seeds": {name: str(one.params.get(name, "")) for name in SEEDS},
            "metrics": dict(one.metrics),
        }
        for one in group.results
    ]
    return {"letter": letter, "results": results}


def _difference(one: "Difference | str") -> dict[str, Any]:
    from localizer.comparison.gate import slice_gains

    if isinstance(one, str):
        names = ("verdict", "gain", "seeds", "images", "clusters", "left_out", "slices")
        return {"reason": one} | dict.fromkeys(names)
    told = {"verdict": one.verdict, "gain": asdict(one.gain), "seeds": max(one.repeats) > 1}
    counts = {"images": len(one.images), "clusters": one.independent, "left_out": one.left_out}
    return {"reason": None, **told, **counts, "slices": slice_gains(one)}


def _files(images: "Table") -> dict[str, Path]:
    """Return the images' files that are here, unchanged, with the same true box, and may be shown by their card."""
    from localizer.dataset import read_config_file
    from localizer.files import file_sha256
    from localizer.tables import EDGES, read_table

    if not SPLIT.is_file() or not CARD.is_file() or not read_config_file(CARD).show_images or images.empty:
        return {}
    same = ["image", "width", "height", *EDGES]
    known = read_table(SPLIT, numbers=same[1:]).merge(images[same], on=same)
    places = {str(row["image"]): (Path(row["path"]), row["sha256"]) for row in known.to_dict(orient="records")}
    return {name: path for name, (path, sha256) in places.items() if path.is_file() and file_sha256(path) == sha256}
