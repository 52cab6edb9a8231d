"""The warning of threads that wait for a core: when it is printed, and what it says."""

import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import torch

from localizer.training import contention
from localizer.training.contention import (
    WAITING,
    contention_warning,
    waited_seconds,
    waiting_threads,
    warn_of_contention,
)
from localizer.training.launch import cores

CPU = torch.device("cpu")
LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10**6))"


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def watched(monkeypatch: pytest.MonkeyPatch, *waits: float, device: str = "cpu") -> None:
    """Go through a block that lasts `len(waits) - 1` intervals or more, as if one thread had waited so long at each."""
    told = iter([*waits, *[waits[-1]] * 9999])
    monkeypatch.setattr(contention, "waited_seconds", lambda: {1: next(told)})
    monkeypatch.setattr(contention, "cores", lambda: 2)
    monkeypatch.setattr(contention, "INTERVAL_S", 0.01)
    with warn_of_contention(torch.device(device), processes=1):
        time.sleep(0.1 + 0.02 * len(waits))


def test_two_threads_beside_a_busy_loop_get_the_time_of_one_core_and_a_third() -> None:
    # Three on two cores have 2/3 of a core each, so each of the two threads waits for 1/3 of the time.
    text = contention_warning(2 * (1 - 2 / 3), threads=2, available=2)
    assert text == (
        "WARNING: 2 threads get the time of 1.3 cores, since other work runs, too: train.threads: 1 would be "
        "faster now; it gives other weights, the same each time"
    )


@pytest.mark.parametrize(
    ("loops", "threads", "faster"),
    [(3, 2, 1), (1, 16, 15), (2, 8, 6), (4, 8, 5), (8, 8, 4), (30, 8, 1)],
)
def test_the_number_that_would_be_faster_is_that_of_whole_cores_which_the_threads_get(
    loops: int, threads: int, faster: int
) -> None:
    """With as many cores as threads, threads and loops have threads / (threads + loops) of a core each."""
    waiting = threads * (1 - threads / (threads + loops))
    assert f"train.threads: {faster} would" in contention_warning(waiting, threads=threads, available=threads)


def test_more_threads_than_cores_are_named_as_the_cause() -> None:
    text = contention_warning(2.0, threads=4, available=2)
    assert "since there are more of them than cores (2): train.threads: 2 would" in text


def test_there_is_no_warning_while_nearly_all_threads_have_a_core() -> None:
    assert contention_warning(WAITING - 0.01, threads=2, available=2) == ""
    assert contention_warning(WAITING, threads=2, available=2)


def test_one_thread_is_not_warned_of_as_no_other_number_would_be_faster() -> None:
    assert contention_warning(0.9, threads=1, available=2) == ""


def test_threads_that_wait_are_counted_over_the_interval_with_those_that_began_in_it() -> None:
    # In 4 seconds one waits for 1, a new one for 2, and one that has ended is not known any more: 3 / 4.
    before, after = {1: 10.0, 3: 7.0}, {1: 11.0, 2: 2.0}
    assert waiting_threads(before, after, seconds=4) == pytest.approx(0.75)


@pytest.mark.usefixtures("two_threads")
def test_the_warning_is_printed_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    watched(monkeypatch, 0, 100, 200, 300)
    assert capsys.readouterr().out.count("train: WARNING: 2 threads get the time of 0.0 cores") == 1


@pytest.mark.usefixtures("two_threads")
def test_contention_that_begins_later_is_warned_of_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(monkeypatch, 5, 5, 5, 100)
    assert "WARNING" in capsys.readouterr().out


@pytest.mark.usefixtures("two_threads")
def test_an_undisturbed_training_prints_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(monkeypatch, 5, 5, 5)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("two_threads")
def test_a_training_on_a_gpu_is_not_watched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(monkeypatch, 0, 100, 200, device="cuda")
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.skipif(not waited_seconds(), reason="the system counts no waiting")
@pytest.mark.usefixtures("two_threads")
def test_threads_beside_busy_processes_wait(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(contention, "INTERVAL_S", 1.0)
    loops = [subprocess.Popen([sys.executable, "-c", LOOP]) for _ in range(3 * cores())]
    try:
        square, printed, until = torch.rand(256, 256), "", time.monotonic() + 120
        with warn_of_contention(CPU, processes=1):
            while not printed and time.monotonic() < until:
                square = (square @ square).clamp(0, 1)
                printed = capsys.readouterr().out
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    assert "train: WARNING: 2 threads get the time of " in printed
