"""The report: a self-contained page that shows the evaluation, with all text escaped."""

import base64
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from browser import CHROMIUM, Tab
from PIL import Image, ImageColor

from localizer.calibration import Calibration
from localizer.drawing import PREDICTED_COLOR, TRUE_COLOR
from localizer.evaluation.evaluate import EvaluationResult, evaluate, pool
from localizer.evaluation.evaluated_model import EvaluatedModel
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.label_errors import SHOWN
from localizer.evaluation.metrics import METRICS
from localizer.evaluation.report import (
    MAX_PLOTTED_SLICES,
    ReportContext,
    TrainedModel,
    draw_plots,
    iou_by_confidence,
    object_name,
    report,
)
from localizer.evaluation.report_parts import FORMATS, interval
from localizer.model.localizer import Architecture
from localizer.model.saving import ModelCard
from localizer.tables import EDGES, true_boxes

COUNT = 24
CALIBRATION = Calibration(images=100, margin=0.1, agreement=0.5)


def split_of_24() -> pd.DataFrame:
    """Return a test split of small squares: 19 at the left of their images, 5 at the right."""
    images = pd.DataFrame({"image": [f"{index}.png" for index in range(COUNT)], "label": "digit"})
    left = np.array([2.0 + index % 4 + (60 if index >= 19 else 0) for index in range(COUNT)])
    edges = dict(zip(EDGES, [left, left + 10, left + 20, left + 30], strict=True))
    return images.assign(width=100, height=100, cluster=images["image"], sha256=images["image"], **edges)


def evaluated(*, calibration: Calibration = CALIBRATION, test: pd.DataFrame | None = None) -> EvaluationResult:
    """Return the evaluation of boxes that are shifted by a pixel to the right, and one that misses."""
    test = split_of_24() if test is None else test
    pred = true_boxes(test) + np.array([0.01, 0, 0.01, 0])
    pred[3] = [0.7, 0.7, 0.9, 0.9]
    agreement = np.where(np.arange(COUNT) < 6, 0.2, 0.9)
    return evaluate(test, pred, agreement, train=true_boxes(test), calibration=calibration)


def context_of(result: EvaluationResult, **changed: Any) -> ReportContext:
    """Return the context of a result whose images are plain and gray; changed: fields of it, or of its model card."""
    images = result.images
    for name in range(COUNT):
        Image.new("RGB", (100, 100), (90, 90, 90)).save(f"{name}.png")
    test = images.assign(split="test", path=[f"{name}.png" for name in range(COUNT)])
    counts = {"train": 1400, "validation": 200, "calibration": 100, "test": COUNT}
    card = ModelCard(Architecture(18), 32, "digit", 2, 0.81234, {"lr": 0.002}, CALIBRATION, "")
    of_card = {name: changed.pop(name) for name in ("label", "params", "calibration") if name in changed}
    history = pd.DataFrame({"epoch": [1, 2], "loss": [1.5, 0.5], "val_iou": [0.4, 0.8]})
    model = TrainedModel(replace(card, **of_card), history, counts)
    context = ReportContext(
        dataset="demo",
        show_images=True,
        paths=[Path(name) for name in test["path"]],
        models=[model],
        params={"batch_size": 64},
        findings={"clean_images": 1999, "images": 2000, "rows": 2000, "set_aside": 1, "critical": 0, "warnings": 26},
        label_errors=test[test["iou"] < 0.5].assign(rank=1, file="data/demo/raw/annotations.csv", line=5, doubt=0.75),
        digests={"tables/split.csv": "0a1b2c"},
    )
    return replace(context, **changed)


def page(result: EvaluationResult | None = None, **changed: Any) -> str:
    result = result or evaluated()
    context = context_of(result, **changed)
    return report(result, context, svgs=draw_plots(result, context))


class Reader(HTMLParser):
    """Collects the text and the start tags with their attributes; checks that what is opened is closed."""

    VOID = ("meta", "img", "br", "wbr", "path", "rect", "use")
    APART = ("td", "th", "br", "li", "p", "details", "table")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.words.append(" " if tag in self.APART else "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style"} & {*self.open}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


def text(html: str) -> str:
    return Reader(html).text


def image_tags(html: str) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in Reader(html).tags if tag == "img"]


def with_gain(gain: Estimate) -> EvaluationResult:
    result = evaluated()
    return replace(result, metrics=result.metrics | {"gain_over_mean_box": gain})


def test_the_page_is_the_same_bytes_twice() -> None:
    assert page() == page()


def test_every_tag_is_closed() -> None:
    assert Reader(page()).open == []


def test_the_page_is_self_contained() -> None:
    html = page()
    names = {"xmlns", "xmlns:xlink"}  # names, which nobody fetches
    links = [
        str(value)
        for _, attributes in Reader(html).tags
        for name, value in attributes.items()
        if name not in names and re.search(r"//|^url\((?!#)", str(value))
    ]
    assert [link for link in links if not link.startswith("data:image/jpeg;base64,")] == []
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in Reader(html).tags}
    assert not re.search(r"@import|url\((?!#)", html)


def test_a_browser_may_fetch_nothing() -> None:
    assert "default-src 'none'; img-src data:" in page()


def test_the_page_fits_a_phone_and_a_dark_screen() -> None:
    html = page()
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "prefers-color-scheme: dark" in html
    assert html.count('<div class="scroll"><table>') == html.count("<table>")


def test_every_link_of_the_page_leads_to_a_part_of_it() -> None:
    tags = Reader(page()).tags
    links = [str(attributes["href"]) for tag, attributes in tags if tag == "a"]
    assert links
    assert {link.removeprefix("#") for link in links} <= {attributes.get("id") for _, attributes in tags}


def test_the_headline_is_the_gain_over_the_constant_box() -> None:
    words = text(page(with_gain(Estimate(0.5114, 0.4887, 0.5341))))
    assert "The model is better than a constant box: its mean IoU is 0.511 higher" in words
    assert "90% interval: 0.489 to 0.534 higher" in words


def test_few_images_claim_nothing_however_large_the_gain() -> None:
    words = text(page(evaluated(test=split_of_24().assign(cluster="one video"))))
    assert "Too few test images to decide whether the model is better than a constant box" in words
    assert "Its mean IoU differs by +" in words


def test_a_gain_whose_interval_holds_zero_is_no_claim() -> None:
    words = text(page(with_gain(Estimate(0.01, -0.02, 0.04))))
    assert "The model is not shown to be better than a constant box" in words
    assert "differs by +0.010; 90% interval: -0.020 to +0.040" in words


def test_a_loss_is_shown_as_one() -> None:
    words = text(page(with_gain(Estimate(-0.1, -0.15, -0.05))))
    assert "The model is worse than a constant box: its mean IoU is 0.100 lower" in words
    assert "90% interval: 0.050 to 0.150 lower" in words


def test_a_warning_is_shown() -> None:
    html = page(replace(evaluated(), warnings=("beware of <this>",)))
    assert "Warnings beware of <this>" in text(html)


def test_without_a_warning_there_is_no_box_for_one() -> None:
    assert "Warnings" not in text(page(replace(evaluated(), warnings=())))


def test_the_margin_is_shown_with_its_measured_coverage() -> None:
    result = replace(evaluated(), coverage_range=(0.83, 0.96))
    # The margin is a tenth of the box's 20 pixels; one box of 24 misses: 23 / 24 are covered.
    assert (
        "With a margin of 2.0 px on average, the predicted box contains the ground truth on 96% of the test images. "
        "Nominal coverage is 90%; for 99% of test splits of this size it lies between 83% and 96%."
        in text(page(result))
    )


def test_too_few_calibration_images_for_a_margin_are_shown() -> None:
    few = Calibration(images=5, margin=None, agreement=0.5)
    words = text(page(evaluated(calibration=few), calibration=few))
    assert "that takes at least 9 calibration images, and this model had 5" in words
    assert "With a margin of" not in words


def test_the_share_of_confident_images_is_shown_with_their_iou() -> None:
    words = text(page())
    # 18 of 24 agree. All confident boxes are off by a pixel of 20: 19 / 21; of the others one of 6 misses.
    assert "The model is confident on 75% of the test images" in words
    assert f"Its mean IoU is {19 / 21:.3f} on these and {19 / 21 * 5 / 6:.3f} on the others." in words


def test_without_calibration_images_confidence_is_unknown() -> None:
    none = Calibration(images=0, margin=None, agreement=None)
    assert "it takes calibration images, and this model had none" in text(page(evaluated(calibration=none)))


def test_a_model_that_predicts_the_same_box_everywhere_is_not_called_confident() -> None:
    test = split_of_24()
    same = np.tile([0.1, 0.2, 0.3, 0.4], (COUNT, 1))
    collapsed = evaluate(test, same, np.full(COUNT, 0.9), train=true_boxes(test), calibration=CALIBRATION)
    assert "The model is confident" not in text(page(collapsed))


def test_without_predictions_that_are_not_confident_nothing_is_compared() -> None:
    assert iou_by_confidence(pd.DataFrame({"confident": [True, True], "iou": [0.5, 0.7]})) is None


def test_every_metric_has_a_name_and_a_meaning() -> None:
    metrics = evaluated().metrics
    assert {*metrics} == {*METRICS} - {"margin_px", "images", "clusters", "warnings"}
    assert all(text.name and text.meaning for text in METRICS.values())
    assert re.findall(r'<tr class="named"><td>([^<]*)<', page()) == [
        METRICS[name].name for name in METRICS if name in metrics
    ]


def test_an_unknown_interval_is_not_known() -> None:
    nan = float("nan")
    assert [interval(nan, nan), interval(0.1, nan), interval(0.1, 0.2)] == ["not known", "not known", "0.100 to 0.200"]


def test_no_number_of_the_page_is_nan_where_no_interval_is_known() -> None:
    result = evaluated()
    unknown = {name: replace(metric, low=np.nan, high=np.nan) for name, metric in result.metrics.items()}
    unsure = replace(result, metrics=unknown, slices=result.slices.assign(low=np.nan, high=np.nan))
    words = text(page(unsure))
    assert not re.search(r"\bnan\b", words, re.IGNORECASE)
    assert f"differs by {unknown['gain_over_mean_box'].value:+.3f}; 90% interval: not known" in words
    assert "90% interval not known; 1 is perfect" in words


def test_the_limits_of_intervals_are_explained() -> None:
    words = text(page())
    assert "about 9 times in 10 with 100 or more test images; with fewer it can be less often" in words
    assert "They don't account for errors so rare that no test image shows them" in words


def test_the_boxes_that_explain_iou_overlap_as_much_as_is_written_below_them() -> None:
    one = r'<rect x="([\d.]+)" y="0" width="40" height="48" stroke="#\w+"/>'
    found = re.findall(rf"{one}\s*{one}\s*<text[^>]*>([\d.]+)</text>", page())
    assert [iou for _, _, iou in found] == ["0.9", "0.75", "0.5", "0.25"]
    for first, other, iou in found:
        # Two boxes of one height, 40 wide, shifted by d, share 40 - d of the 40 + d that they cover.
        shift = float(other) - float(first)
        assert (40 - shift) / (40 + shift) == pytest.approx(float(iou), abs=0.001)


@pytest.mark.parametrize(
    ("labels", "name"),
    [("cat", "cat"), ("cat, dog, owl", "cat, dog, owl"), ("ape, cat, dog, owl", "4 kinds of object"), ("", "(none)")],
)
def test_more_than_three_labels_are_counted(labels: str, name: str) -> None:
    assert object_name(labels) == name


def test_many_labels_are_not_listed_in_the_title_the_headline_and_the_first_sentence() -> None:
    html = page(label="ape, cat, dog, owl")
    assert "<title>Test report: 4 kinds of object (demo)</title>" in html
    assert "<h1>Test report: 4 kinds of object</h1>" in html
    assert "one box around the object of an image (4 kinds of object)." in text(html)


def test_numbers_are_formatted_by_their_unit() -> None:
    words = text(page())
    # 23 of 24 boxes are off by one pixel; the other's centre by 70 and 65 pixels: it is at (80, 80), not (15, 25).
    assert f"Center error {(23 + np.hypot(65, 55)) / 24:.1f}\u00a0px".replace("\u00a0", " ") in words
    assert "IoU of 0.5 or more 96%" in words
    assert "Gain over the constant box +0." in words


@pytest.mark.parametrize(("share", "text"), [(1, "100%"), (0.999, "99.9%"), (0, "0%"), (0.004, "0.4%"), (0.914, "91%")])
def test_a_share_is_never_rounded_to_none_or_all(share: float, text: str) -> None:
    assert FORMATS["share"](share) == text


@pytest.mark.parametrize(("gain", "text"), [(0.0214, "+0.021"), (-0.1, "-0.100"), (-0.0001, "+0.000")])
def test_a_difference_has_a_sign_but_zero_no_minus(gain: float, text: str) -> None:
    assert FORMATS["difference"](gain) == text


@pytest.mark.parametrize(("length", "text"), [(2.04, "2.0\u00a0px"), (12.4, "12\u00a0px")])
def test_a_length_has_two_significant_digits_and_keeps_its_unit(length: float, text: str) -> None:
    assert FORMATS["pixels"](length) == text


def test_slices_of_few_images_are_marked() -> None:
    html = page()
    # 19 boxes at the left are fewer than 20; all 24 are of one size.
    assert re.search(r'<tr class="few"><td>top left <span class="tag">few images</span></td>\s*<td[^>]*>19<', html)
    assert re.search(r"<tr><td>1 to 5%</td>\s*<td[^>]*>24<", html)


def test_each_kind_of_slices_is_named_once_and_explained() -> None:
    test = split_of_24().assign(label=["cat", "dog"] * (COUNT // 2))
    heads = re.findall(r'<th colspan="4">(\w+)<small>[^<]+</small>', page(evaluated(test=test)))
    assert heads == ["label", "size", "aspect", "position"]


def test_images_without_a_label_are_a_row_with_a_name() -> None:
    result = evaluated(test=split_of_24().assign(label=["", "dog"] * (COUNT // 2)))
    assert '<td>(none) <span class="tag">few images</span></td>' in page(result)
    assert ">(none)<" in draw_plots(result, context_of(result))["slices"]


def test_that_one_of_many_slices_looks_weak_by_chance_is_explained() -> None:
    # The boxes are of one size and one aspect, at the top left and the bottom right.
    assert "of these 4 slices, about one in 10 would miss the dashed line by chance" in text(page())


def test_all_slices_are_in_the_table_and_the_largest_in_the_plot() -> None:
    result = evaluated()
    rows = [("label", f"kind-{index}", 100 - index, 0.5, 0.4, 0.6) for index in range(MAX_PLOTTED_SLICES + 1)]
    many = replace(result, slices=pd.DataFrame(rows, columns=result.slices.columns))
    plot, last = draw_plots(many, context_of(many))["slices"], f"kind-{MAX_PLOTTED_SLICES}"
    assert (f">kind-{MAX_PLOTTED_SLICES - 1}<" in plot, f">{last}<" in plot) == (True, False)
    assert f"<td>{last}</td>" in page(many)
    assert f"Plotted are the {MAX_PLOTTED_SLICES} largest slices; the table has all." in text(page(many))


def test_the_worst_median_and_best_images_are_shown_with_both_boxes() -> None:
    html = page(label_errors=context_of(evaluated()).label_errors[:0])
    shown = image_tags(html)
    assert len(shown) == 12
    assert shown[0]["alt"] == "3.png with the ground truth in green and the predicted box in magenta, IoU 0.000"
    content = base64.b64decode(str(shown[0]["src"]).removeprefix("data:image/jpeg;base64,"))
    found = np.asarray(Image.open(BytesIO(content)).convert("RGB"), dtype=int)
    for colour in (TRUE_COLOR, PREDICTED_COLOR):
        near = np.abs(found - ImageColor.getrgb(colour)).max(axis=2) < 40  # a JPEG's colours are not exact
        assert near.sum() > 100


def test_an_image_that_the_model_is_not_sure_of_is_marked() -> None:
    assert "IoU 0.000, not confident 3.png" in text(page())


def test_no_images_are_shown_if_the_config_forbids_it() -> None:
    html = page(show_images=False)
    assert image_tags(html) == []
    assert "None are shown: the data set's dataset.yaml has show_images: false" in text(html)


def test_no_image_is_read_if_the_config_forbids_showing_it() -> None:
    result = evaluated()
    context = context_of(result, show_images=False)
    for path in context.paths:
        path.unlink()
    assert "show_images: false" in report(result, context, svgs=draw_plots(result, context))


def test_a_likely_label_error_is_named_with_its_file_and_line_without_images_too() -> None:
    for show_images in (True, False):
        words = text(page(show_images=show_images))
        assert "1. doubt 0.750, IoU 0.000" in words
        assert "data/demo/raw/annotations.csv:5" in words


def test_a_labels_file_breaks_after_its_slashes_only() -> None:
    found = '<code title="data/demo/raw/annotations.csv:5">data/<wbr>demo/<wbr>raw/<wbr>annotations.csv:5</code>'
    assert found in page()


def test_the_page_claims_no_more_of_a_label_than_that_it_may_be_wrong() -> None:
    html = page()
    assert '<section id="label-errors">\n<h2>Likely label errors</h2>' in html
    assert '<a href="#label-errors">Likely label errors</a>' in html.replace("<a\nhref", "<a href")
    words = text(html)
    assert "the model consistently predicts another place than the annotated box" in words
    assert "Either may be wrong, and a model that isn't good yet disagrees with correct labels" in words
    assert not re.search("(?<!likely )label errors|often such", words, re.IGNORECASE)


def test_the_page_explains_how_to_correct_a_label() -> None:
    words = text(page())
    assert "edit its row in the file named below it, run localizer validate data/demo, then dvc repro" in words
    assert "suspects.csv" in words


def test_the_page_shows_the_first_likely_label_errors() -> None:
    one = context_of(evaluated()).label_errors
    many = pd.concat([one] * (SHOWN + 1)).assign(rank=range(1, SHOWN + 2))
    words = text(page(label_errors=many))
    assert f"{SHOWN}. doubt" in words
    assert f"{SHOWN + 1}. doubt" not in words


def test_that_there_are_no_likely_label_errors_is_stated() -> None:
    words = text(page(label_errors=context_of(evaluated()).label_errors[:0]))
    assert "None: on no image that it was not trained on does the model consistently predict another place" in words


def test_the_findings_of_validation_are_shown_in_words() -> None:
    words = text(page())
    assert "2,000 images with an annotation 1,999 clean images" in words
    assert "26 warnings" in words


def test_parameters_and_digests_are_collapsible() -> None:
    html = page()
    assert html.count("<details>") == 3
    words = text(html)
    assert "Training parameters lr 0.002" in words
    assert "Evaluation parameters batch_size 64" in words
    assert "tables/split.csv 0a1b2c" in words


def test_the_selected_epoch_is_shown() -> None:
    assert "the selected epoch, 2, with 0.812." in text(page())


def test_the_sizes_of_the_splits_are_shown() -> None:
    words = text(page())
    assert "1,400 images for training, 200 images for model selection (validation), 100 images for calibrating" in words


HOSTILE = "<b onload='x'>&.jpg"


@pytest.mark.parametrize("changed", [{"label": HOSTILE}, {"dataset": HOSTILE}, {"params": {HOSTILE: HOSTILE}}])
def test_what_is_shown_of_a_model_is_text(changed: dict[str, Any]) -> None:
    html = page(**changed)
    assert "<b onload" not in html
    assert HOSTILE in text(html)


def test_names_of_images_files_and_labels_are_text() -> None:
    test = split_of_24()
    test.loc[3, "image"] = "<b>.jpg"
    test.loc[:5, "label"] = "<i>cat</i>"
    result = evaluated(test=test)
    errors = context_of(result).label_errors.assign(file="data/<s>/raw.csv")
    html = page(result, label_errors=errors)
    assert not re.search(r"<b>\.jpg|<i>cat|<s>", html)
    for name in ("<b>.jpg", "<i>cat</i>", "data/<s>/raw.csv:5"):
        assert name in text(html)


def test_the_page_has_no_absolute_path(tmp_path: Path) -> None:
    result = evaluated()
    context = context_of(result)
    absolute = replace(context, paths=[tmp_path / path for path in context.paths])
    assert report(result, absolute, svgs=draw_plots(result, absolute)) == report(
        result, context, svgs=draw_plots(result, context)
    )


def pooled_page(*calibrations: Calibration) -> str:
    """Return the page of as many folds, of 24 images each."""
    whole = evaluated()
    model = EvaluatedModel(whole.images, whole.baselines, CALIBRATION)
    result = pool([replace(model, calibration=calibration) for calibration in calibrations])
    context = context_of(whole)
    (trained,) = context.models
    cards = [replace(trained.card, calibration=calibration) for calibration in calibrations]
    models = [trained._replace(card=card) for card in cards]
    context = replace(context, models=models, paths=[*context.paths] * len(models))
    return report(result, context, svgs=draw_plots(result, context))


def test_the_page_of_pooled_folds_says_that_each_image_was_tested_by_a_model_that_never_saw_it() -> None:
    words = text(pooled_page(CALIBRATION, CALIBRATION))
    assert "The 48 images of the data set demo form 2 folds." in words
    assert "on average, 1,400 for training, 200 for model selection (validation)" in words
    assert "None of them is meant for use: train the recipe on the normal split for that." in words
    assert "fold 0" in words
    assert "fold 1" in words
    assert "Dotted" not in words
    assert "Cross-validation" not in text(page())


def test_the_page_of_pooled_folds_counts_the_models_without_a_fitted_margin() -> None:
    words = text(pooled_page(CALIBRATION, Calibration(5, None, 0.5)))
    assert "For 1 of the 2 models no margin around the predicted box can guarantee 90% coverage" in words


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; .ci/run installs it")
    one = Tab(tmp_path_factory.mktemp("browser"))
    yield one
    one.close()


def opened(browser: Tab, html: str, *, width: int, media: str = "screen", scheme: str = "light") -> Tab:
    """Return the browser with the page as a screen of that width, or paper, shows it."""
    file = Path("page.html").resolve()
    file.write_text(html, encoding="utf-8")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", media=media, features=features)
    browser.open(file.as_uri(), width=width)
    return browser


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 360])
def test_no_table_is_wider_than_a_phone(browser: Tab, width: int) -> None:
    result = evaluated(
        test=split_of_24().assign(label=["a-label_without_any_blank_where_it_could_break", "dog"] * (COUNT // 2))
    )
    phone = opened(browser, page(result, digests={"models/localizer.safetensors": "0a1b2c3d" * 8}), width=width)
    phone.js("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    sizes = phone.js("[...document.querySelectorAll('.scroll')].map((one) => [one.scrollWidth, one.clientWidth])")
    assert len(sizes) == 6
    assert [size for size in sizes if size[0] > size[1]] == []
    assert phone.js("document.documentElement.scrollWidth") == width


@pytest.mark.browser
def test_paper_has_what_a_screen_folds_away_and_no_links(browser: Tab) -> None:
    visible = "[...document.querySelectorAll('details table, nav')].map((one) => one.checkVisibility())"
    assert opened(browser, page(), width=800).js(visible) == [True, False, False, False]
    assert opened(browser, page(), width=800, media="print").js(visible) == [False, True, True, True]


@pytest.mark.browser
def test_paper_is_light_where_the_screen_is_dark(browser: Tab) -> None:
    ink = "getComputedStyle(document.body).color"
    assert opened(browser, page(), width=800, scheme="dark").js(ink) != "rgb(27, 29, 33)"
    assert opened(browser, page(), width=800, scheme="dark", media="print").js(ink) == "rgb(27, 29, 33)"


@pytest.mark.browser
def test_on_paper_no_page_break_separates_an_image_from_its_caption(browser: Tab) -> None:
    paper = opened(browser, page(), width=800, media="print")
    assert paper.js(
        "[...new Set([...document.querySelectorAll('figure, tr')].map((one) => getComputedStyle(one).breakInside))]"
    ) == ["avoid"]
    assert paper.js("getComputedStyle(document.querySelector('.tiles')).gridTemplateColumns.split(' ').length") == 4
