"""The cache of probing: values are kept, and no damage to the file stops or changes anything."""

import logging
import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from localizer.probing.cache import BATCH, FILE, ProbeCache

SOURCES = Path(__file__).resolve().parents[2] / "src"


def keep(folder: Path, **values: str) -> None:
    with ProbeCache(folder) as cache:
        for key, value in values.items():
            cache.put(key, value)


def known(folder: Path, key: str = "a") -> str | None:
    with ProbeCache(folder) as cache:
        return cache.get(key)


def test_a_value_is_known_to_the_next_run(tmp_path: Path) -> None:
    keep(tmp_path / "new" / "folder", a="1", b="2")
    assert [known(tmp_path / "new" / "folder", key) for key in "abc"] == ["1", "2", None]


def test_the_last_value_of_a_key_counts(tmp_path: Path) -> None:
    keep(tmp_path, a="1")
    keep(tmp_path, a="2")
    assert known(tmp_path) == "2"


def test_a_cache_without_a_folder_knows_nothing_and_writes_nothing() -> None:
    with ProbeCache(None) as cache:
        cache.put("a", "1")
        assert cache.get("a") is None
    assert not list(Path.cwd().iterdir())


def test_a_run_that_is_killed_loses_only_its_last_batch(tmp_path: Path) -> None:
    cache = ProbeCache(tmp_path)  # never closed, as by a kill
    for number in range(BATCH + 1):
        cache.put(f"key {number}", "1")
    with sqlite3.connect(tmp_path / FILE) as other:
        assert other.execute("SELECT count(*) FROM known").fetchone() == (BATCH,)
    other.close()
    cache.__exit__(None, None, None)


@pytest.mark.parametrize("content", [b"no database " * 1000, b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_database_is_replaced_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / FILE).write_bytes(content)
    keep(tmp_path, a="1")
    assert FILE in caplog.text
    assert known(tmp_path) == "1"


def test_a_journal_of_the_broken_file_is_removed_with_it(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no database " * 1000)
    (tmp_path / f"{FILE}-journal").write_bytes(b"old")
    keep(tmp_path, a="1")
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_after_pages_that_are_found_broken_later_the_next_run_starts_a_new_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, **{f"key {number}": "1" * 50 for number in range(2000)})
    content = bytearray((tmp_path / FILE).read_bytes())
    content[3 * 4096 :] = b"\xff" * (len(content) - 3 * 4096)  # the first pages still open
    (tmp_path / FILE).write_bytes(content)
    with ProbeCache(tmp_path) as cache:
        values = {cache.get(f"key {number}") for number in range(2000)}
    assert values <= {"1" * 50, None}
    assert None in values
    assert "malformed" in caplog.text
    keep(tmp_path, a="1")
    assert known(tmp_path) == "1"


def test_a_corrupt_value_is_not_returned(tmp_path: Path) -> None:
    keep(tmp_path, a='{"width": 640}')
    content = (tmp_path / FILE).read_bytes()
    assert content.count(b"640") == 1
    (tmp_path / FILE).write_bytes(content.replace(b"640", b"641"))
    assert known(tmp_path) is None


def test_a_table_of_another_shape_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("CREATE TABLE known (something TEXT)")
    other.close()
    keep(tmp_path, a="1")
    assert known(tmp_path) is None
    assert "no such column" in caplog.text


@pytest.mark.parametrize("name", ["a-file", "a-file/below"])
def test_a_folder_that_cannot_be_made_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    (tmp_path / "a-file").write_text("")
    keep(tmp_path / name, a="1")
    assert known(tmp_path / name) is None
    assert "probed again" in caplog.text


def test_a_folder_in_the_place_of_the_file_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    keep(tmp_path, a="1")
    assert known(tmp_path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes every file")
def test_a_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    keep(tmp_path, a="1")
    (tmp_path / FILE).chmod(0o400)
    keep(tmp_path, b="2")
    assert known(tmp_path, "b") is None


def test_a_file_that_another_process_locks_stops_nothing_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    keep(tmp_path, a="1")
    monkeypatch.setattr("localizer.probing.cache.TIMEOUT_S", 0.01)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    keep(tmp_path, b="2")
    assert "locked" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    assert (known(tmp_path, "a"), known(tmp_path, "b")) == ("1", None)


def test_many_threads_share_a_cache(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ProbeCache(tmp_path) as cache, ThreadPoolExecutor(8) as pool:

        def ask(number: int) -> None:
            cache.get(str(number))
            cache.put(str(number), f"v{number}")

        list(pool.map(ask, range(2000)))
    with ProbeCache(tmp_path) as cache:
        assert [cache.get(str(number)) for number in range(2000)] == [f"v{number}" for number in range(2000)]
    assert caplog.records == []


def test_two_processes_share_a_cache(tmp_path: Path) -> None:
    code = """
import logging, sys
from pathlib import Path
from localizer.probing.cache import ProbeCache
logging.basicConfig(level=logging.WARNING)
with ProbeCache(Path(sys.argv[1])) as cache:
    for number in range(3000):
        cache.get(f"{sys.argv[2]} {number}")
        cache.put(f"{sys.argv[2]} {number}", str(number))
"""
    given: dict[str, Any] = {"env": os.environ | {"PYTHONPATH": str(SOURCES)}, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name], **given) for name in "ab"]
    assert [process.communicate()[1] for process in both] == ["", ""]
    with ProbeCache(tmp_path) as cache:
        assert all(cache.get(f"{name} {number}") == str(number) for name in "ab" for number in range(3000))


def test_without_an_error_nothing_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        keep(tmp_path, a="1")
    assert caplog.records == []
