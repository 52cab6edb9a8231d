"""Great Expectations at work: the asking of the rules, and the Data Docs."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pandas as pd

from localizer.dataset import DatasetConfig
from localizer.files import replacing_folder
from localizer.tables import Table
from localizer.validation.features import box_table, column_table, image_table
from localizer.validation.result import Examined, Verdict, judge
from localizer.validation.rules.box_rules import box_rules
from localizer.validation.rules.image_rules import column_rules, image_rules
from localizer.validation.rules.rule import Failure, Rule

# Great Expectations reads this once, while it is imported.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig


@dataclass(frozen=True)
class Asset:
    """A table, and what is asked of it; the table has the columns place, image and judged."""

    name: str
    table: Table
    rules: Sequence[Rule]


def validate(
    annotations: Table,
    images: Table,
    card: DatasetConfig,
    *,
    columns: Table,
    image_size: int,
    config_path: Path | None = None,
    docs: Path | None = None,
) -> Verdict:
    """Return what to make of a data set, and write its Data Docs into the folder `docs`, emptied before.

    The tables are those of prepare, as text; `image_size` is the side, in pixels, that images are resized to;
    findings name the card by `config_path`.
    """
    boxes = box_table(annotations, images, card)
    pictures = image_table(images, boxes)
    del annotations, images  # a third of the memory, unless the caller keeps them
    assets = [  # the one that takes the most memory while it is asked comes first
        Asset("images", pictures, image_rules()),
        Asset("boxes", boxes, box_rules(card, image_size=image_size)),
        Asset("columns", column_table(columns), column_rules()),
    ]
    failures = examine([asset for asset in assets if len(asset.table)], docs=docs)
    examined = {asset.name: Examined(asset.table, failures.get(asset.name, [])) for asset in assets}
    return judge(**examined, card=card, config_path=config_path)


def examine(assets: Sequence[Asset], *, docs: Path | None) -> dict[str, list[Failure]]:
    """Return the failures of each asset by its name, and write Data Docs of them all into `docs`, emptied before."""
    with replacing_folder(docs) if docs else TemporaryDirectory() as made:
        folder = Path(made)
        context = _context(folder)
        failures = {asset.name: _ask(context, asset) for asset in assets}
        if docs:
            context.build_data_docs()
            _add_links(folder)
    return failures


def _add_links(docs: Path) -> None:
    """Add plain links to the index, whose table is drawn by scripts that only a network can bring."""
    pages = sorted(page.relative_to(docs) for page in docs.glob("validations/**/*.html"))
    links = [f'<li><a href="{quote(page.as_posix())}">Results for {page.parts[1]}</a></li>' for page in pages]
    with (docs / "index.html").open("a", encoding="utf-8") as index:
        index.write(f"<ul>{''.join(links)}</ul>\n")


def _context(docs: Path) -> gx.data_context.EphemeralDataContext:
    """Return a context that leaves nothing behind but the Data Docs, and draws no progress bars."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    context.delete_data_docs_site("local_site")
    site: Any = {"class_name": "SiteBuilder", "show_how_to_buttons": False}
    site["store_backend"] = {
        "class_name": "TupleFilesystemStoreBackend",
        "base_directory": str(docs.absolute()),
    }
    site["site_index_builder"] = {"class_name": "DefaultSiteIndexBuilder"}
    context.add_data_docs_site("data_docs", site)
    return context


def _ask(context: Any, asset: Asset) -> list[Failure]:
    expectations = [_expectation(rule, position) for position, rule in enumerate(asset.rules)]
    suite = context.suites.add(gx.ExpectationSuite(name=asset.name, expectations=expectations))
    frame = context.data_sources.add_pandas(asset.name).add_dataframe_asset(asset.name)
    batch = frame.add_batch_definition_whole_dataframe("all")
    validation = context.validation_definitions.add(gx.ValidationDefinition(name=asset.name, data=batch, suite=suite))
    table = _told(asset)
    # Data Docs name a failing row by its label in the index. Naming it by columns takes 20 times longer.
    expected: Any = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    run = gx.RunIdentifier(run_name="validate")
    outcome = validation.run(batch_parameters={"dataframe": table}, result_format=expected, run_id=run)
    return [_failure(asset.rules, result, table) for result in outcome.results if _has_failed(result)]


def _expectation(rule: Rule, position: int) -> Any:
    kind = getattr(gx.expectations, rule.ask.expectation)
    meta = {"rule": position}
    return kind(**rule.ask.arguments, description=escape(rule.describe()), severity=rule.severity, meta=meta)


def _told(asset: Asset) -> Table:
    """Return the columns that are asked about, safe in HTML: Data Docs show a label as it is, a script included.

    The index is what Data Docs call a row.
    """
    asked = {value for rule in asset.rules for value in rule.ask.arguments.values() if isinstance(value, str)}
    asked |= {name for rule in asset.rules for name in rule.ask.arguments.get("column_list", [])}
    table = asset.table[[name for name in asset.table.columns if name in asked]]
    texts = table.select_dtypes(["str", "object"]).columns
    table = table.assign(**{name: _escaped(table[name]) for name in texts})
    return table.set_axis(pd.Index(_labels(asset.table).array), axis="index")  # with a name it would be told by columns


def _escaped(texts: "pd.Series[str]") -> "pd.Series[str]":
    if texts.str.contains("[<>&\"']", regex=True, na=False).any():
        return texts.map(escape, na_action="ignore")
    return texts


def _labels(table: Table) -> "pd.Series[str]":
    """Return what Data Docs call each row: its place and its image, each different."""
    place, image = table["place"], table["image"]
    labels = _escaped(place.where(place == image, place + " " + image))
    return labels.where(~labels.duplicated(), labels + " again, row " + table["row"].astype(str))


def _has_failed(result: Any) -> bool:
    """Return whether an expectation did not hold; one about a column without a value holds.

    Raises RuntimeError if it could not be evaluated, which must not pass for either.
    """
    by_metric = [info for info in result.exception_info.values() if isinstance(info, dict)]
    for info in (result.exception_info, *by_metric):
        if info.get("exception_message"):
            kind = result.expectation_config.type
            raise RuntimeError(f"Great Expectations could not evaluate {kind}: {info['exception_message']}")
    return not result.success and result.result.get("observed_value", "") is not None


def _failure(rules: Sequence[Rule], result: Any, table: Table) -> Failure:
    rule = rules[result.expectation_config.meta["rule"]]
    rows = table.index.get_indexer(pd.Index(result.result.get("unexpected_index_list") or []))
    return Failure(rule, tuple(int(row) for row in rows))
