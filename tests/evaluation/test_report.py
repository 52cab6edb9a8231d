"""The report: one page that needs nothing beside it, tells what the judgement says, and shows no text as code."""

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
from localizer.drawing import PREDICTED, TRUE
from localizer.evaluation.evaluate import EvaluationResult, evaluate
from localizer.evaluation.intervals import Estimate
from localizer.evaluation.label_errors import SHOWN
from localizer.evaluation.metrics import constant_iou, mean_box
from localizer.evaluation.report import MOST_DOTS, About, drawn, report
from localizer.evaluation.report_parts import MEASURES, called, confidence, explained, interval, percent, pixels, signed
from localizer.tables import EDGES, true_boxes

COUNT = 24
LEARNT = Calibration(images=100, margin=0.1, agreement=0.5)


def side() -> pd.DataFrame:
    """Return a test side of small squares: 19 at the left of their images, 5 at the right."""
    images = pd.DataFrame({"image": [f"{index}.png" for index in range(COUNT)], "label": "digit"})
    left = np.array([2.0 + index % 4 + (60 if index >= 19 else 0) for index in range(COUNT)])
    edges = dict(zip(EDGES, [left, left + 10, left + 20, left + 30], strict=True))
    return images.assign(width=100, height=100, cluster=images["image"], sha256=images["image"], **edges)


def evaluated(*, calibration: Calibration = LEARNT, test: pd.DataFrame | None = None) -> EvaluationResult:
    """Return the evaluation of boxes that are shifted by a pixel to the right, and one that misses."""
    test = side() if test is None else test
    pred = true_boxes(test) + np.array([0.01, 0, 0.01, 0])
    pred[3] = [0.7, 0.7, 0.9, 0.9]
    agreement = np.where(np.arange(COUNT) < 6, 0.2, 0.9)
    return evaluate(test, pred, agreement, train=true_boxes(test), calibration=calibration)


def about(judgement: EvaluationResult, **changed: Any) -> About:
    """Return words about a judgement whose images are plain and grey."""
    images = judgement.images
    for name in range(COUNT):
        Image.new("RGB", (100, 100), (90, 90, 90)).save(f"{name}.png")
    paths = tuple(Path(f"{name}.png") for name in range(COUNT))
    true = true_boxes(images)
    doubted = images[images["iou"] < 0.5].assign(
        rank=1, path="3.png", file="data/demo/raw/annotations.csv", line=5, side="test", doubt=0.75
    )
    told = About(
        data="demo",
        sides={"train": 1400, "validation": 200, "calibration": 100, "test": COUNT},
        show_images=True,
        paths=paths,
        mean_box_iou=constant_iou(mean_box(true), true),
        label="digit",
        best_epoch=2,
        val_iou=0.81234,
        calibration=LEARNT,
        history=pd.DataFrame({"epoch": [1, 2], "loss": [1.5, 0.5], "val_iou": [0.4, 0.8]}),
        train={"lr": 0.002, "head": "heatmap"},
        evaluate={"batch_size": 64},
        findings={"clean_images": 1999, "images": 2000, "rows": 2000, "set_aside": 1, "critical": 0, "warnings": 26},
        suspects=doubted,
        lineage={"tables/split.csv": "0a1b2c"},
    )
    return replace(told, **changed)


def page(judgement: EvaluationResult | None = None, **changed: Any) -> str:
    judgement = judgement or evaluated()
    told = about(judgement, **changed)
    return report(judgement, told, svgs=drawn(judgement, told))


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


def pictures(html: str) -> list[dict[str, str | None]]:
    return [attributes for tag, attributes in Reader(html).tags if tag == "img"]


def with_gain(gain: Estimate) -> EvaluationResult:
    judgement = evaluated()
    return replace(judgement, measures=judgement.measures | {"gain_over_mean_box": gain})


def test_the_page_is_the_same_bytes_twice() -> None:
    assert page() == page()


def test_every_tag_is_closed() -> None:
    assert Reader(page()).open == []


def test_the_page_needs_nothing_from_outside() -> None:
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


def test_a_browser_is_told_to_fetch_nothing() -> None:
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
    told = text(page(with_gain(Estimate(0.5114, 0.4887, 0.5341))))
    assert "The model is better than a constant box: its mean IoU is 0.511 higher" in told
    assert "90% interval: 0.489 to 0.534 higher" in told


def test_few_images_claim_nothing_however_large_the_gain() -> None:
    told = text(page(evaluated(test=side().assign(cluster="one video"))))
    assert "Too few test images to tell whether the model is better than a constant box" in told
    assert "Its mean IoU differs by +" in told


def test_a_gain_whose_interval_holds_zero_is_no_claim() -> None:
    told = text(page(with_gain(Estimate(0.01, -0.02, 0.04))))
    assert "The model is not shown to be better than a constant box" in told
    assert "differs by +0.010; 90% interval: -0.020 to +0.040" in told


def test_a_loss_is_told_as_one() -> None:
    told = text(page(with_gain(Estimate(-0.1, -0.15, -0.05))))
    assert "The model is worse than a constant box: its mean IoU is 0.100 lower" in told
    assert "90% interval: 0.050 to 0.150 lower" in told


def test_a_warning_is_shown() -> None:
    html = page(replace(evaluated(), warnings=("beware of <this>",)))
    assert "Before you trust these numbers beware of <this>" in text(html)


def test_without_a_warning_there_is_no_box_for_one() -> None:
    assert "Before you trust" not in text(page(replace(evaluated(), warnings=())))


def test_the_margin_is_told_with_its_measured_coverage() -> None:
    judgement = replace(evaluated(), expected=(0.83, 0.96))
    # The margin is a tenth of a side of 20 pixels; one box of 24 misses: 23 / 24 are held.
    assert (
        "A margin of 2.0 px on average around the model's box holds the whole true box on 96% of the test images; "
        "90% was promised, and chance allows 83% to 96% in 99 of 100 cases." in text(page(judgement))
    )


def test_too_few_calibration_images_for_a_margin_are_told() -> None:
    few = Calibration(images=5, margin=None, agreement=0.5)
    told = text(page(evaluated(calibration=few), calibration=few))
    assert "that takes 9 calibration images or more, and this model had 5" in told
    assert "A margin of" not in told


def test_the_share_of_confident_images_is_told_with_what_it_is_worth() -> None:
    told = text(page())
    # 18 of 24 agree. All confident boxes are off by a pixel of 20: 19 / 21; of the others one of 6 misses.
    assert "The model is confident on 75% of the test images" in told
    assert f"Its mean IoU is {19 / 21:.3f} on these and {19 / 21 * 5 / 6:.3f} on the others." in told


def test_confidence_is_not_told_where_none_was_learnt() -> None:
    none = Calibration(images=0, margin=None, agreement=None)
    assert "that takes calibration images, and this model had none" in text(page(evaluated(calibration=none)))


def test_a_model_that_gives_the_same_box_everywhere_is_not_called_confident() -> None:
    test = side()
    same = np.tile([0.1, 0.2, 0.3, 0.4], (COUNT, 1))
    collapsed = evaluate(test, same, np.full(COUNT, 0.9), train=true_boxes(test), calibration=LEARNT)
    assert "The model is confident" not in text(page(collapsed))


def test_confidence_of_one_kind_alone_compares_nothing() -> None:
    assert confidence(pd.DataFrame({"confident": [True, True], "iou": [0.5, 0.7]})) is None


def test_every_measure_has_its_words() -> None:
    judgement = evaluated()
    assert {f"{name}_iou" for name in judgement.baselines} | {*judgement.measures} == {*MEASURES}
    assert [one.name for one in explained(judgement)] == [name for name, _, _ in MEASURES.values()]


def test_a_measure_without_words_is_shown_at_the_end() -> None:
    judgement = evaluated()
    added = replace(judgement, measures={"new_one": Estimate(0.1, 0.05, 0.2)} | judgement.measures)
    assert explained(added)[-1] == ("new_one", "0.100", "0.050 to 0.200", "")


def test_an_interval_that_cant_be_told_is_not_known() -> None:
    nan = float("nan")
    assert [interval(nan, nan), interval(0.1, nan), interval(0.1, 0.2)] == ["not known", "not known", "0.100 to 0.200"]


def test_no_number_of_the_page_is_nan_where_no_interval_is_known() -> None:
    judgement = evaluated()
    unknown = {name: replace(one, low=np.nan, high=np.nan) for name, one in judgement.measures.items()}
    unsure = replace(judgement, measures=unknown, slices=judgement.slices.assign(low=np.nan, high=np.nan))
    told = text(page(unsure))
    assert not re.search(r"\bnan\b", told, re.IGNORECASE)
    assert f"differs by {signed(unknown['gain_over_mean_box'].value)}; 90% interval: not known" in told
    assert "90% interval not known; 1 is perfect" in told


def test_it_is_told_how_far_intervals_can_be_trusted() -> None:
    told = text(page())
    assert "about 9 times in 10 where 100 images or more were tested; with fewer it can be less often" in told
    assert "Misses so rare that none is among the test images are not in it." in told


def test_the_boxes_that_explain_iou_overlap_as_much_as_is_written_below_them() -> None:
    one = r'<rect x="([\d.]+)" y="0" width="40" height="48" stroke="#\w+"/>'
    found = re.findall(rf"{one}\s*{one}\s*<text[^>]*>([\d.]+)</text>", page())
    assert [iou for _, _, iou in found] == ["0.9", "0.75", "0.5", "0.25"]
    for first, other, iou in found:
        # Two boxes of one height, 40 wide, shifted by d, share 40 - d of the 40 + d that they cover.
        shift = float(other) - float(first)
        assert (40 - shift) / (40 + shift) == pytest.approx(float(iou), abs=0.001)


@pytest.mark.parametrize(
    ("labels", "told"),
    [("cat", "cat"), ("cat, dog, owl", "cat, dog, owl"), ("ape, cat, dog, owl", "4 kinds of object"), ("", "(none)")],
)
def test_more_than_three_labels_are_counted(labels: str, told: str) -> None:
    assert called(labels) == told


def test_many_labels_are_not_listed_in_the_title_the_headline_and_the_first_sentence() -> None:
    html = page(label="ape, cat, dog, owl")
    assert "<title>Test report: 4 kinds of object (demo)</title>" in html
    assert "<h1>Test report: 4 kinds of object</h1>" in html
    assert "one box around its object (4 kinds of object)." in text(html)


def test_numbers_are_written_in_the_unit_of_their_measure() -> None:
    found = {one.name: one.value for one in explained(evaluated())}
    # 23 of 24 boxes are off by one pixel; the other's centre by 70 and 65 pixels: it is at (80, 80), not (15, 25).
    assert found["Error of the centre"] == f"{(23 + np.hypot(65, 55)) / 24:.1f}\u00a0px"
    assert found["IoU of 0.5 or more"] == "96%"
    assert found["Gain over the constant box"].startswith("+0.")


@pytest.mark.parametrize(("share", "told"), [(1, "100%"), (0.999, "99.9%"), (0, "0%"), (0.004, "0.4%"), (0.914, "91%")])
def test_a_share_is_never_rounded_to_none_or_all(share: float, told: str) -> None:
    assert percent(share) == told


@pytest.mark.parametrize(("gain", "told"), [(0.0214, "+0.021"), (-0.1, "-0.100"), (-0.0001, "+0.000")])
def test_a_difference_has_a_sign_but_nought_no_minus(gain: float, told: str) -> None:
    assert signed(gain) == told


@pytest.mark.parametrize(("length", "told"), [(2.04, "2.0\u00a0px"), (12.4, "12\u00a0px")])
def test_a_length_has_two_digits_that_count_and_keeps_its_unit(length: float, told: str) -> None:
    assert pixels(length) == told


def test_slices_of_few_images_are_marked() -> None:
    html = page()
    # 19 boxes at the left are fewer than 20; all 24 are of one size.
    assert re.search(r'<tr class="few"><td>top left <span class="tag">few images</span></td>\s*<td[^>]*>19<', html)
    assert re.search(r"<tr><td>1 to 5%</td>\s*<td[^>]*>24<", html)


def test_each_kind_of_slices_is_named_once_and_explained() -> None:
    test = side().assign(label=["cat", "dog"] * (COUNT // 2))
    heads = re.findall(r'<th colspan="4">(\w+)<small>[^<]+</small>', page(evaluated(test=test)))
    assert heads == ["label", "size", "aspect", "position"]


def test_images_without_a_label_are_a_row_with_a_name() -> None:
    judgement = evaluated(test=side().assign(label=["", "dog"] * (COUNT // 2)))
    assert '<td>(none) <span class="tag">few images</span></td>' in page(judgement)
    assert ">(none)<" in drawn(judgement, about(judgement))["slices"]


def test_that_one_of_many_kinds_looks_weak_by_luck_is_told() -> None:
    # The boxes are of one size and one aspect, at the top left and the bottom right.
    assert "there are 4 kinds, and even if all were equally hard, about one line in 10 would miss" in text(page())


def test_all_slices_are_in_the_table_and_the_largest_in_the_plot() -> None:
    judgement = evaluated()
    rows = [("label", f"kind-{index}", 100 - index, 0.5, 0.4, 0.6) for index in range(MOST_DOTS + 1)]
    many = replace(judgement, slices=pd.DataFrame(rows, columns=judgement.slices.columns))
    plot, last = drawn(many, about(many))["slices"], f"kind-{MOST_DOTS}"
    assert (f">kind-{MOST_DOTS - 1}<" in plot, f">{last}<" in plot) == (True, False)
    assert f"<td>{last}</td>" in page(many)
    assert f"The {MOST_DOTS} largest kinds are drawn; the table has all." in text(page(many))


def test_the_worst_median_and_best_images_are_shown_with_both_boxes() -> None:
    html = page(suspects=about(evaluated()).suspects[:0])
    shown = pictures(html)
    assert len(shown) == 12
    assert shown[0]["alt"] == "3.png with its true box in green and the model's box in magenta, IoU 0.000"
    content = base64.b64decode(str(shown[0]["src"]).removeprefix("data:image/jpeg;base64,"))
    found = np.asarray(Image.open(BytesIO(content)).convert("RGB"), dtype=int)
    for colour in (TRUE, PREDICTED):
        near = np.abs(found - ImageColor.getrgb(colour)).max(axis=2) < 40  # a JPEG's colours are not exact
        assert near.sum() > 100


def test_an_image_that_the_model_is_not_sure_of_is_marked() -> None:
    assert "IoU 0.000, not confident 3.png" in text(page())


def test_pictures_are_absent_where_the_card_forbids_them() -> None:
    html = page(show_images=False)
    assert pictures(html) == []
    assert "None are shown: the data set's card says show_images: false" in text(html)


def test_no_image_is_read_where_the_card_forbids_pictures() -> None:
    judgement = evaluated()
    told = about(judgement, show_images=False)
    for path in told.paths:
        path.unlink()
    assert "show_images: false" in report(judgement, told, svgs=drawn(judgement, told))


def test_a_suspect_is_named_with_its_file_and_line_without_pictures_too() -> None:
    for show_images in (True, False):
        told = text(page(show_images=show_images))
        assert "1. doubt 0.750, IoU 0.000" in told
        assert "data/demo/raw/annotations.csv:5" in told


def test_a_suspects_file_breaks_after_its_slashes_alone() -> None:
    found = '<code title="data/demo/raw/annotations.csv:5">data/<wbr>demo/<wbr>raw/<wbr>annotations.csv:5</code>'
    assert found in page()


def test_of_a_label_to_look_at_no_more_is_said_than_that_it_may_be_wrong() -> None:
    html = page()
    assert '<section id="suspects">\n<h2>Labels to look at</h2>' in html
    assert '<a href="#suspects">Labels to look at</a>' in html.replace("<a\nhref", "<a href")
    told = text(html)
    assert "the model is sure of another place than the label's" in told
    assert "Either may be wrong; a model that isn't good yet doubts good labels, so look before you change one." in told
    assert not re.search("label errors|often such", told, re.IGNORECASE)


def test_one_is_told_how_to_correct_a_label() -> None:
    told = text(page())
    assert "edit its row in the file named below it, run localizer validate data/demo, then dvc repro" in told
    assert "suspects.csv" in told


def test_no_more_suspects_are_shown_than_a_page_has_room_for() -> None:
    one = about(evaluated()).suspects
    many = pd.concat([one] * (SHOWN + 1)).assign(rank=range(1, SHOWN + 2))
    told = text(page(suspects=many))
    assert f"{SHOWN}. doubt" in told
    assert f"{SHOWN + 1}. doubt" not in told


def test_that_there_are_no_suspects_is_told() -> None:
    told = text(page(suspects=about(evaluated()).suspects[:0]))
    assert "None: on no image that it wasn't trained on is the model sure of another place" in told


def test_the_findings_of_validation_are_told_in_words() -> None:
    told = text(page())
    assert "2,000 images with an annotation 1,999 clean images" in told
    assert "26 warnings" in told


def test_parameters_and_digests_are_there_to_unfold() -> None:
    html = page()
    assert html.count("<details>") == 3
    told = text(html)
    assert "Parameters of training lr 0.002" in told
    assert "Parameters of this test batch_size 64" in told
    assert "tables/split.csv 0a1b2c" in told


def test_the_kept_epoch_is_told() -> None:
    assert "whose weights were kept: 2, with 0.812." in text(page())


def test_the_counts_of_the_sides_are_told() -> None:
    told = text(page())
    assert "1,400 for training, 200 for choosing the weights (validation), 100 for learning" in told


HOSTILE = "<b onload='x'>&.jpg"


@pytest.mark.parametrize("changed", [{"label": HOSTILE}, {"data": HOSTILE}, {"train": {HOSTILE: HOSTILE}}])
def test_what_is_told_about_a_model_is_text(changed: dict[str, Any]) -> None:
    html = page(**changed)
    assert "<b onload" not in html
    assert HOSTILE in text(html)


def test_names_of_images_files_and_labels_are_text() -> None:
    test = side()
    test.loc[3, "image"] = "<b>.jpg"
    test.loc[:5, "label"] = "<i>cat</i>"
    judgement = evaluated(test=test)
    suspects = about(judgement).suspects.assign(file="data/<s>/raw.csv")
    html = page(judgement, suspects=suspects)
    assert not re.search(r"<b>\.jpg|<i>cat|<s>", html)
    for name in ("<b>.jpg", "<i>cat</i>", "data/<s>/raw.csv:5"):
        assert name in text(html)


def test_no_path_of_the_machine_is_told(tmp_path: Path) -> None:
    judgement = evaluated()
    told = about(judgement)
    absolute = replace(told, paths=tuple(tmp_path / path for path in told.paths))
    assert report(judgement, absolute, svgs=drawn(judgement, absolute)) == report(
        judgement, told, svgs=drawn(judgement, told)
    )


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
    scheme_told = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.call("Emulation.setEmulatedMedia", media=media, features=scheme_told)
    browser.open(file.as_uri(), width=width)
    return browser


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 360])
def test_no_table_is_wider_than_a_phone(browser: Tab, width: int) -> None:
    judgement = evaluated(
        test=side().assign(label=["a-label_without_any_blank_where_it_could_break", "dog"] * (COUNT // 2))
    )
    phone = opened(browser, page(judgement, lineage={"models/localizer.safetensors": "0a1b2c3d" * 8}), width=width)
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
def test_paper_tears_no_picture_from_its_caption(browser: Tab) -> None:
    paper = opened(browser, page(), width=800, media="print")
    assert paper.js(
        "[...new Set([...document.querySelectorAll('figure, tr')].map((one) => getComputedStyle(one).breakInside))]"
    ) == ["avoid"]
    assert paper.js("getComputedStyle(document.querySelector('.tiles')).gridTemplateColumns.split(' ').length") == 4
