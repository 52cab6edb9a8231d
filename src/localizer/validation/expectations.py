"""Great Expectations: checks tables against their rules, and writes the Data Docs."""

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import pandas as pd

from localizer.files import replacing_folder
from localizer.tables import Table
from localizer.validation.rules.rule import Failure, Rule

# Great Expectations reads this once, while it is imported.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig


def run_expectations(
    tables: Mapping[str, Table], rules: Mapping[str, Sequence[Rule]], *, docs: Path | None
) -> dict[str, list[Failure]]:
    """Return the failures of each table that has rows, and write Data Docs into `docs`, which is replaced.

    Tables have the columns place, image and row.
    """
    with replacing_folder(docs) if docs else TemporaryDirectory() as folder:
        context = _context(Path(folder))
        failures = {name: _check(context, name, table, rules[name]) for name, table in tables.items() if len(table)}
        if docs:
            context.build_data_docs()
            _add_links(Path(folder))
    return failures


def _add_links(docs: Path) -> None:
    """Add plain links to the index, whose table needs scripts from the network."""
    pages = sorted(page.relative_to(docs) for page in docs.glob("validations/**/*.html"))
    links = [f'<li><a href="{quote(page.as_posix())}">Results for {page.parts[1]}</a></li>' for page in pages]
    with (docs / "index.html").open("a", encoding="utf-8") as index:
        index.write(f"<ul>{''.join(links)}</ul>\n")


def _context(docs: Path) -> gx.data_context.EphemeralDataContext:
    """Return a context that writes Data Docs only, and shows no progress bars."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    context.delete_data_docs_site("local_site")
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.absolute())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site: Any = {"class_name": "SiteBuilder", "show_how_to_buttons": False}
    context.add_data_docs_site("data_docs", site | {"store_backend": store, "site_index_builder": index})
    return context


def _check(context: Any, name: str, table: Table, rules: Sequence[Rule]) -> list[Failure]:
    expectations = [_expectation(rule, position) for position, rule in enumerate(rules)]
    suite = context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe("all")
    definition = context.validation_definitions.add(gx.ValidationDefinition(name=name, data=batch, suite=suite))
    checked = _checked_columns(table, rules)
    # Data Docs name a failing row by its label in the index. Naming it by columns takes 20 times longer.
    result_format: Any = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
    run = gx.RunIdentifier(run_name="validate")
    outcome = definition.run(batch_parameters={"dataframe": checked}, result_format=result_format, run_id=run)
    return [_failure(rules, result, checked.index) for result in outcome.results if _has_failed(result)]


def _expectation(rule: Rule, position: int) -> Any:
    kind = getattr(gx.expectations, rule.expectation.name)
    meta = {"rule": position}
    return kind(**rule.expectation.arguments, description=escape(rule.describe()), severity=rule.severity, meta=meta)


def _checked_columns(table: Table, rules: Sequence[Rule]) -> Table:
    """Return the columns that the rules check, indexed by place and image.

    Texts are escaped, since Data Docs show a label as it is, a script included.
    """
    arguments = [value for rule in rules for value in rule.expectation.arguments.values()]
    checked = {value for value in arguments if isinstance(value, str)}
    checked |= {name for names in arguments if isinstance(names, list) for name in names}
    labels = _row_labels(table)
    table = table[[name for name in table.columns if name in checked]]
    texts = table.select_dtypes(["str", "object"]).columns
    table = table.assign(**{name: _escaped(table[name]) for name in texts})
    return table.set_axis(pd.Index(labels.array), axis="index")  # a named index would be reported as columns


def _row_labels(table: Table) -> "pd.Series[str]":
    """Return a distinct label of each row, for Data Docs: its place and its image."""
    place, image = table["place"], table["image"]
    labels = _escaped(place.where(place == image, place + " " + image))
    return labels.where(~labels.duplicated(), labels + " again, row " + table["row"].astype(str))


def _escaped(texts: "pd.Series[str]") -> "pd.Series[str]":
    if texts.str.contains("[<>&\"']", regex=True, na=False).any():
        return texts.map(escape, na_action="ignore")
    return texts


def _has_failed(result: Any) -> bool:
    """Return whether an expectation did not hold; one about a column without a value holds.

    Raises RuntimeError if it could not be evaluated.
    """
    by_metric = [info for info in result.exception_info.values() if isinstance(info, dict)]
    for info in (result.exception_info, *by_metric):
        if info.get("exception_message"):
            kind = result.expectation_config.type
            raise RuntimeError(f"Great Expectations could not evaluate {kind}: {info['exception_message']}")
    return not result.success and result.result.get("observed_value", "") is not None


def _failure(rules: Sequence[Rule], result: Any, index: "pd.Index[str]") -> Failure:
    rows = index.get_indexer(pd.Index(result.result.get("unexpected_index_list") or []))
    return Failure(rules[result.expectation_config.meta["rule"]], rows.tolist())
