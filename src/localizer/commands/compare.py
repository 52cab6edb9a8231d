"""`localizer compare`: runs, revisions and experiments against a first one, image by image.

With --json it prints one object of these keys:

groups: letter, results (name, commit, dirty, seeds, metrics, and stale: in words, how its code and params differ from
those it was made with, else null); those of one letter differ in their seeds only
params: those that differ, each with its value in every group
differences: of each group but the first: letter, reason (why there is no result, else null; all that follows is null
then), verdict, gain in mean IoU with low and high, seeds (whether its interval is over seeds, too), images, clusters
(the independent ones among them), left_out, and slices as returned by `localizer.comparison.gate.slice_gains`
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

if TYPE_CHECKING:
    from localizer.comparison.differences import Comparison
    from localizer.comparison.groups import Result
    from localizer.tables import Table

SPLIT, CONFIG = Path("tables/split.csv"), Path("tables/dataset.yaml")


WHICH = (
    "an MLflow run: its id, at least six characters of it, or its name; a branch, tag, commit or DVC experiment; "
    "models:/localizer@champion or models:/localizer/3 for the evaluation that it was promoted by; or `workspace`, "
    "the working directory; folds of `localizer cross-validate`: their name, or their folder in reports/folds/; "
    "run:NAME, rev:NAME or folds:NAME if a name fits several"
)


@dataclass(frozen=True)
class Options:
    first: Annotated[str, Argument(metavar="A", help=f"the reference: {WHICH}")]
    others: Annotated[list[str], Argument(metavar="B", help="more of these; repeats over seeds are grouped")]
    html: Annotated[Path | None, Option(metavar="FILE", help="also write a page with plots and images")] = None
    markdown: Annotated[bool, Option("--markdown", help="print Markdown, as for a job summary on GitHub")] = False
    json: Annotated[bool, Option("--json", help="print one JSON object")] = False


def run(options: Options) -> int:
    """Compare runs, revisions or experiments with a first one, on the test images that they share.

    Example: localizer compare HEAD longer
    """
    from localizer.comparison import text
    from localizer.comparison.differences import compare
    from localizer.comparison.results import NoResultError
    from localizer.files import check_file, replace_text

    if options.markdown and options.json:
        raise BadParameter("--markdown and --json exclude each other; omit one")
    if options.html:
        check_file(options.html, option="--html")
    try:
        comparison = compare(_find([options.first, *options.others]))
    except NoResultError as error:  # a project's first results have nothing to be compared with
        if not options.markdown:
            raise
        print(f"## Comparison\n\nThere is nothing to compare: {text.escaped(str(error))}.")
        return 0
    if options.html:
        from localizer.comparison.page import page, shown_images

        replace_text(options.html, page(comparison, _image_files(shown_images(comparison))))
    _print(comparison, options)
    return 0


def _find(specs: Sequence[str]) -> "list[Result]":
    from localizer.comparison.results import ResultFinder

    finder = ResultFinder()
    # Champions first: an unreachable server, without which there are none, is then waited for only once.
    found = {spec: finder.find(spec) for spec in sorted(specs, key=lambda spec: not spec.startswith("models:/"))}
    return [found[spec] for spec in specs]


def _print(comparison: "Comparison", options: Options) -> None:
    from localizer.comparison import text

    results = [result for group in comparison.groups.values() for result in group.results]
    warnings = [f"{result.name}: {result.stale}" for result in results if result.stale]
    if options.json:
        print(json.dumps(text.json_object(comparison), indent=2))
    elif options.markdown:
        sys.stdout.write(text.markdown(comparison, warnings=warnings))
    else:
        for warning in warnings:
            print(f"compare: WARNING: {warning}", file=sys.stderr)
        sys.stdout.write(text.terminal(comparison))


def _image_files(images: "Table") -> dict[str, Path]:
    """Return the images' files that exist unchanged, with the same true box, and that dataset.yaml allows to show."""
    from localizer.dataset import read_config_file
    from localizer.files import file_sha256
    from localizer.tables import EDGES, read_table

    if not SPLIT.is_file() or not CONFIG.is_file() or not read_config_file(CONFIG).show_images or images.empty:
        return {}
    same = ["image", "width", "height", *EDGES]
    known = read_table(SPLIT, numbers=same[1:]).merge(images[same], on=same)
    files = {str(row["image"]): (Path(row["path"]), row["sha256"]) for row in known.to_dict(orient="records")}
    return {name: path for name, (path, sha256) in files.items() if path.is_file() and file_sha256(path) == sha256}
