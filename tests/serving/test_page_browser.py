"""The page of `localizer demo` in a real browser: headless Chromium, driven through its DevTools protocol."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, WAIT, Tab, served
from page_toy import example, image_bytes, predictor
from PIL import Image

from localizer.calibration import Calibration

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed; .ci/run installs it"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    shown = example(tmp_path_factory.mktemp("examples") / "shown.png", image_bytes(40, 80))
    with served(predictor(), examples=[shown]) as url:
        yield url


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    tab = Tab(tmp_path_factory.mktemp("browser"))
    yield tab
    tab.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    (tmp_path / "photo.png").write_bytes(image_bytes(80, 40))
    return tmp_path / "photo.png"


def test_a_chosen_image_is_shown_with_its_box_and_margin(tab: Tab, url: str, photo: Path) -> None:
    tab.open(url)
    tab.choose(photo)
    assert tab.js("[image.hidden, image.naturalWidth, image.naturalHeight]") == [False, 80, 40]
    assert tab.shares("box") == [0.25, 0.25, 0.75, 0.75]
    assert tab.shares("around") == [0.16, 0.06, 0.84, 0.94]  # 7.5 px more on each side of 20, 10, 60, 30 in 80 x 40
    assert tab.js("getComputedStyle(box).stroke") == "rgb(230, 0, 126)"


def test_box_margin_and_confidence_are_described(tab: Tab, url: str, photo: Path) -> None:
    tab.open(url)
    tab.choose(photo)
    answer = tab.answer()
    assert answer.startswith(
        "Confident: the model finds the same place in the mirror image. It may do so even if there is no cat."
    )
    assert "from (20, 10) to (60, 30), 40 x 20 pixels of 80 x 40." in answer
    assert "±7.5 pixels: enlarged by this margin on each side, the box contains the whole cat with 90%" in answer


def test_the_box_keeps_its_position_when_the_window_is_resized(tab: Tab, url: str, photo: Path) -> None:
    tab.open(url)
    tab.choose(photo)
    wide = tab.js("stage.getBoundingClientRect().width")
    tab.size(390, 844)
    assert tab.js("stage.getBoundingClientRect().width") < wide
    assert tab.shares("box") == [0.25, 0.25, 0.75, 0.75]


def test_a_rotated_photo_and_its_box_are_upright(tab: Tab, url: str, tmp_path: Path) -> None:
    stored = Image.new("RGB", (80, 40), "white")
    stored.paste("red", (0, 0, 80, 8))  # the top, which is on the right after turning it 90 degrees clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "turned.jpg", exif=exif)
    tab.open(url)
    tab.choose(tmp_path / "turned.jpg")
    assert "pixels of 40 x 80" in tab.answer()
    assert tab.js("[image.hidden, image.naturalWidth, image.naturalHeight]") == [False, 40, 80]
    assert tab.js("stage.clientHeight / stage.clientWidth") == pytest.approx(2, abs=0.01)
    box = tab.js("(({ left, top, width, height }) => [left, top, width, height])(stage.getBoundingClientRect())")
    shot = tab.shot()
    left, right = (shot.getpixel((box[0] + share * box[2], box[1] + box[3] / 2)) for share in (0.1, 0.9))
    assert left == (255, 255, 255)
    assert isinstance(right, tuple)
    assert right[1] < 20  # red's green


def test_an_image_that_the_browser_cannot_show_has_its_box_on_an_empty_image(
    tab: Tab, url: str, tmp_path: Path
) -> None:
    (tmp_path / "scan.tif").write_bytes(image_bytes(80, 40, kind="TIFF"))
    tab.open(url)
    tab.choose(tmp_path / "scan.tif")
    assert "Your browser can't show this image format" in tab.answer()
    assert tab.js("[image.hidden, stage.hidden]") == [True, False]
    assert tab.shares("box") == [0.25, 0.25, 0.75, 0.75]


def test_errors_are_announced_to_screen_readers(tab: Tab, url: str, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    tab.open(url)
    tab.choose(photo)
    tab.choose(tmp_path / "notes.txt")
    assert tab.answer().startswith("Sorry, that didn't work.")
    assert "notes.txt: not an image of a supported format" in tab.answer()
    assert tab.js("[stage.hidden, document.getElementById('answer').ariaLive]") == [True, "polite"]


def test_an_image_after_an_error_is_shown(tab: Tab, url: str, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    tab.open(url)
    tab.choose(tmp_path / "notes.txt")
    tab.choose(photo)
    assert tab.answer().startswith("Confident")
    assert tab.js("stage.hidden") is False


def test_a_file_that_is_too_large_is_not_sent(tab: Tab, url: str, tmp_path: Path) -> None:
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    tab.open(url)
    tab.choose(tmp_path / "large.tif")
    assert "large.tif: it is larger than 64 MiB" in tab.answer()


@pytest.mark.parametrize(("key", "text", "code"), [("Enter", "\r", 13), (" ", " ", 32)])
def test_a_key_opens_the_file_dialog(tab: Tab, url: str, key: str, text: str, code: int) -> None:
    tab.open(url)
    tab.call("Page.setInterceptFileChooserDialog", enabled=True)
    tab.call("Input.dispatchKeyEvent", type="keyDown", key="Tab", windowsVirtualKeyCode=9)
    assert tab.js("document.activeElement.id") == "drop"  # the first stop
    tab.call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text, windowsVirtualKeyCode=code)
    tab.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)
    end = time.monotonic() + WAIT
    while not any(event.get("method") == "Page.fileChooserOpened" for event in tab.events):
        assert time.monotonic() < end
        tab.js("1")  # reads what else the browser tells
    tab.call("Page.setInterceptFileChooserDialog", enabled=False)


@pytest.mark.parametrize(
    "event",
    [
        "new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true })",
        "new ClipboardEvent('paste', { clipboardData: files, bubbles: true })",
    ],
)
def test_an_image_is_dropped_or_pasted(tab: Tab, url: str, event: str) -> None:
    tab.open(url)
    content = list(image_bytes(80, 40))
    file = f"new File([new Uint8Array({content})], 'dropped.png')"
    tab.js(f"{{ const files = new DataTransfer(); files.items.add({file}); document.body.dispatchEvent({event}); }}")
    tab.answered()
    assert tab.answer().endswith("dropped.png")
    assert tab.shares("box") == [0.25, 0.25, 0.75, 0.75]


def test_a_paste_without_an_image_is_an_error(tab: Tab, url: str) -> None:
    tab.open(url)
    tab.js("document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() })) && 1")
    assert "there is no image on the clipboard" in tab.answer()


def test_an_example_is_a_button_that_shows_its_box(tab: Tab, url: str) -> None:
    tab.open(url)
    tab.until("document.querySelector('#thumbs button img')?.naturalWidth === 40")
    tab.js("document.querySelector('#thumbs button').click()")
    tab.answered()
    assert tab.answer().endswith("shown.png")
    assert tab.js("[examples.hidden, image.naturalHeight]") == [False, 80]


def test_only_the_last_of_two_images_is_answered(tab: Tab, url: str) -> None:
    tab.open(url)
    slow, quick = (f"new File([new Uint8Array({[*image_bytes(80, side)]})], '{side}.png')" for side in (40, 50))
    tab.js(f"var slow = {slow}, read = slow.arrayBuffer()")
    tab.js("slow.arrayBuffer = () => new Promise((done) => setTimeout(done, 500)).then(() => read)")
    tab.js(f"Promise.all([predict(slow), predict({quick})])")
    assert tab.answer().endswith("50.png")


@pytest.mark.parametrize(
    ("calibration", "confidence", "margin"),
    [
        (Calibration(20, 0.25, 1.1), "Not confident: in the mirror image", "±7.5 pixels"),  # no agreement reaches 1.1
        (Calibration(0, None, None), "Confidence unknown", "The margin is unknown"),
    ],
)
def test_an_uncertain_box_has_a_warning(
    tab: Tab, photo: Path, calibration: Calibration, confidence: str, margin: str
) -> None:
    with served(predictor(calibration), examples=[]) as url:
        tab.open(url)
        tab.choose(photo)
        answer = tab.answer()
        assert tab.js("examples.hidden") is True
    assert answer.startswith(confidence)
    assert margin in answer


def test_an_unknown_margin_is_not_drawn(tab: Tab, photo: Path) -> None:
    with served(predictor(Calibration(5, None, 0.5)), examples=[]) as url:
        tab.open(url)
        tab.choose(photo)
        assert tab.js("getComputedStyle(around).display") == "none"


def test_a_stopped_server_is_an_error(tab: Tab, photo: Path) -> None:
    with served(predictor(), examples=[]) as url:
        tab.open(url)
    tab.choose(photo)
    assert "the server doesn't answer; is `localizer demo` still running?" in tab.answer()


def test_a_phone_scrolls_in_one_direction_and_its_buttons_fit_a_finger(tab: Tab, url: str, photo: Path) -> None:
    tab.open(url, width=390, height=844)
    tab.choose(photo)
    tab.until("document.querySelectorAll('button').length === 2")
    assert tab.js("document.documentElement.scrollWidth") == 390
    assert tab.js("Math.min(...[...document.querySelectorAll('button')].map((button) => button.offsetHeight))") >= 44


def test_the_browser_logs_no_errors(tab: Tab, url: str, photo: Path) -> None:
    tab.open(url)
    tab.choose(photo)
    errors = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")  # CSP violations are the first
    assert not [event for event in tab.events if event.get("method") in errors]


def test_scripts_added_to_the_page_do_not_run(tab: Tab, url: str) -> None:
    tab.open(url)
    tab.js("document.body.append(Object.assign(document.createElement('script'), { textContent: 'var ran = 1' }))")
    assert tab.js("typeof ran") == "undefined"
