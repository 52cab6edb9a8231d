"""Great Expectations at work: the tables that the rules are asked of, the asking, and the Data Docs."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from localizer.boxes import FORMATS, area
from localizer.data.box_rules import box_rules
from localizer.data.canonical import given_numbers
from localizer.data.card import Card
from localizer.data.rules import SIZES, Failure, Rule, image_rules, name_some
from localizer.data.tables import BOX, EDGES, Table
from localizer.data.verdict import Verdict, judge

# Great Expectations reads this once, while it is imported.
os.environ["GX_ANALYTICS_ENABLED"] = "false"
import great_expectations as gx
from great_expectations.data_context.types.base import ProgressBarsConfig

FACTS = ["image", "path", "sha256", "exists", "problem", "width", "height", "orientation"]


@dataclass(frozen=True)
class Asset:
    """A table, and what is asked of it; the table has the columns row, file, line and image."""

    name: str
    table: Table
    rules: Sequence[Rule]


def validate(annotations: Table, images: Table, card: Card, *, smallest_side: float, docs: Path) -> Verdict:
    """Return what to make of a data set, and write its Data Docs into the folder `docs`, emptied before.

    The tables are those of prepare, as text; `smallest_side` is a share of the image's side.
    """
    boxes = box_table(annotations, images, card)
    pictures = image_table(images, boxes)
    assets = (
        Asset("boxes", boxes, box_rules(card, smallest_side=smallest_side)),
        Asset("images", pictures, image_rules()),
    )
    of_boxes, of_images = examine(assets, docs=docs)
    return judge(boxes, pictures, card, of_boxes=of_boxes, of_images=of_images)


def examine(assets: Sequence[Asset], *, docs: Path) -> list[list[Failure]]:
    """Return the failures of each asset, and write Data Docs of them all into `docs`, emptied before."""
    shutil.rmtree(docs, ignore_errors=True)
    context = _context(docs)
    failures = [_ask(context, asset) for asset in assets]
    context.build_data_docs()
    _add_links(docs)
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
    suite = context.suites.add(gx.ExpectationSuite(name=asset.name))
    for position, rule in enumerate(asset.rules):
        suite.add_expectation(_expectation(rule, position))
    frame = context.data_sources.add_pandas(asset.name).add_dataframe_asset(asset.name)
    batch = frame.add_batch_definition_whole_dataframe("all")
    validation = context.validation_definitions.add(gx.ValidationDefinition(name=asset.name, data=batch, suite=suite))
    index = ["file", "line", "image", "row"]
    wanted: Any = {"result_format": "COMPLETE", "unexpected_index_column_names": index}
    run = gx.RunIdentifier(run_name="validate")
    outcome = validation.run(batch_parameters={"dataframe": _escaped(asset.table)}, result_format=wanted, run_id=run)
    return [_failure(asset.rules, result) for result in outcome.results if _has_failed(result)]


def _expectation(rule: Rule, position: int) -> Any:
    kind = getattr(gx.expectations, rule.ask.expectation)
    meta = {"rule": position}
    return kind(**rule.ask.arguments, description=escape(rule.describe()), severity=rule.severity, meta=meta)


def _escaped(table: Table) -> Table:
    """Return the table with its text safe in HTML: Data Docs show a label as it is, a script included."""
    texts = table.select_dtypes(["str", "object"]).columns
    return table.assign(**{name: table[name].map(escape, na_action="ignore") for name in texts})


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


def _failure(rules: Sequence[Rule], result: Any) -> Failure:
    rule = rules[result.expectation_config.meta["rule"]]
    return Failure(rule, tuple(int(found["row"]) for found in result.result.get("unexpected_index_list") or ()))


def box_table(annotations: Table, images: Table, card: Card) -> Table:
    """Return a row a box, as the rules want it: null for empty text, NaN for unknown numbers.

    of_task: the row has the card's label. judged: so it has, or it has none. The four values as numbers go
    by their names in the box format.
    """
    facts = images[FACTS].rename(columns={"width": "image_width", "height": "image_height"})
    table = annotations.rename(columns=SIZES).merge(facts, on="image", how="left", validate="many_to_one")
    table = _nulled(table, ["label", *BOX, *SIZES.values()])
    table["exists"] = table["exists"].fillna("False").astype(str)
    table["problem"] = table["problem"].fillna("not among the images")
    table["of_task"] = True if card.label is None else (table["label"] == card.label).fillna(False).astype(bool)
    table["judged"] = table["of_task"] | table["label"].isna()
    where = "line " if table["file"].nunique() == 1 else table["file"] + ":"
    table["place"] = where + table["line"].astype(str)
    return _with_neighbours(_with_numbers(table, card), card).assign(row=range(len(table)))


def image_table(images: Table, boxes: Table) -> Table:
    """Return a row an image, as the rules want it; an image is judged if a judged box names it."""
    table = _nulled(images, ["sha256"]).assign(row=range(len(images)), file=images["path"], line="")
    for column in ("annotated", "exists", "decodes"):
        table[column] = table[column].astype(str)
    table["decodes"] = table["decodes"].where(table["exists"] == "True")
    table["judged"] = table["image"].isin(boxes.loc[boxes["judged"], "image"])
    copies = table[table["sha256"].notna() & table["sha256"].duplicated(keep=False)]
    table["same_as"] = table["sha256"].map(_names(copies, by="sha256", column="path"))
    return table


def _nulled(table: Table, columns: list[str]) -> Table:
    return table.assign(**{name: table[name].where(table[name] != "") for name in columns})


def _names(table: Table, *, by: str, column: str) -> dict[str, str]:
    return {str(key): name_some(list(group)) for key, group in table.groupby(by)[column]}


def _with_numbers(table: Table, card: Card) -> Table:
    numbers = given_numbers(table.fillna(dict.fromkeys(BOX, "")))
    table = table.assign(**dict(zip(FORMATS[card.box_format], numbers.T, strict=True)))
    table["largest_value"] = pd.DataFrame(numbers).max(axis=1)
    # Centre + width / 2 misses the image's edge by a rounding error, never by a millionth of a pixel.
    table[EDGES] = table[EDGES].apply(pd.to_numeric, errors="coerce").round(6)
    for side, text in SIZES.items():
        size = pd.to_numeric(table[f"image_{side}"], errors="coerce")
        table[f"image_{side}"] = size.where(size > 0)
        given = pd.to_numeric(table[text], errors="coerce")
        table[f"annotated_{side}"] = given.where(np.isfinite(given))
    return table.assign(smallest_share=_smallest_share(table), size_fix=_size_fix(table))


def _smallest_share(table: Table) -> "pd.Series[float]":
    """Return the shorter of the box's two sides, each as a share of the image's; NaN for an empty box."""
    across = (table["xmax_px"] - table["xmin_px"]) / table["image_width"]
    down = (table["ymax_px"] - table["ymin_px"]) / table["image_height"]
    share = across.where(across < down, down)
    return share.where(share > 0)


def _size_fix(table: Table) -> "pd.Series[str]":
    swapped = table["annotated_width"] == table["image_height"]
    swapped &= table["annotated_height"] == table["image_width"]
    turned = swapped & pd.to_numeric(table["orientation"], errors="coerce").isin([5, 6, 7, 8])
    fix = pd.Series("correct the size; is the box of this image?", index=table.index)
    fix = fix.mask(swapped, "width and height are swapped; are the box's values swapped too?")
    return fix.mask(turned, "size and box were taken before the EXIF rotation; take them from the upright image")


def _with_neighbours(table: Table, card: Card) -> Table:
    """Return the table with what the rules for repeated rows and several boxes need to know and to tell."""
    equal = ["image", "label", *BOX]
    table["is_repeat"] = table.duplicated(equal)
    table["first_place"] = table.groupby(equal, dropna=False)["place"].transform("first")
    counted = table[table["of_task"] & ~table["is_repeat"]]
    table["boxes_in_image"] = counted.groupby("image")["image"].transform("size")
    several = counted[counted["image"].duplicated(keep=False)]
    table["places"] = table["image"].map(_names(several, by="image", column="place"))
    table["is_surplus"] = True
    if card.multiple == "largest":
        table.loc[_largest(several), "is_surplus"] = False
    return table


def _largest(several: Table) -> "pd.Index[int]":
    """Return the index of each image's largest box, the first of equals; one beyond its image is no choice."""
    edges, size = (several[names].to_numpy(dtype=np.float64) for names in (EDGES, ["image_width", "image_height"]))
    inside = (edges >= 0).all(axis=1) & (edges[:, 2:] <= size).all(axis=1)
    areas = np.where(inside, area(edges), -1)
    order = several.assign(area=areas).sort_values("area", ascending=False, kind="stable")
    return order.drop_duplicates("image").index
