"""The cache of probed image contents: a SQLite file that may be lost, locked or broken at any time."""

import hashlib
import logging
import sqlite3
from pathlib import Path
from threading import Lock
from typing import Self

FILE = "probe.sqlite"
TIMEOUT_S = 10.0  # for another process that writes
BATCH = 256  # new values per transaction: a killed run loses no more
TABLE = "CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL)"

log = logging.getLogger(__name__)


class ProbeCache:
    """Texts by key, for concurrent threads and processes; after an error, which is logged, it stays empty.

    folder: of FILE; None for a cache that is always empty.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = Lock()
        self._new: dict[str, str] = {}
        self._connection: sqlite3.Connection | None = None
        if folder is not None:
            self._path = folder / FILE
            if self._open():
                self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Write the new values and close."""
        with self._lock:
            self._write()
            self._close()

    def get(self, key: str) -> str | None:
        """Return the value of a key, None if it is missing or corrupt."""
        with self._lock:
            if self._connection is None:
                return None
            try:
                row = self._connection.execute("SELECT value, digest FROM known WHERE key = ?", (key,)).fetchone()
            except sqlite3.Error as error:
                self._give_up(error)
                return None
            # SQLite does not notice a flipped bit in a value.
            return row[0] if row is not None and _digest(key, row[0]) == row[1] else None

    def put(self, key: str, value: str) -> None:
        """Set the value of a key."""
        with self._lock:
            if self._connection is not None:
                self._new[key] = value
                if len(self._new) >= BATCH:
                    self._write()

    def _open(self) -> bool:
        """Open the file, or create it; return whether a broken one was removed instead."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                self._path, timeout=TIMEOUT_S, check_same_thread=False, isolation_level="IMMEDIATE"
            )
            with self._connection:
                self._connection.execute(TABLE)
                self._connection.execute("SELECT key, value, digest FROM known LIMIT 1").fetchone()
        except (sqlite3.Error, OSError) as error:
            return self._give_up(error)
        return False

    def _write(self) -> None:
        if self._connection is None or not self._new:
            return
        rows = [(key, value, _digest(key, value)) for key, value in self._new.items()]
        self._new.clear()
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO known VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def _give_up(self, error: sqlite3.Error | OSError) -> bool:
        """Close the file; return whether it is removed: if it is broken, not locked or without permission."""
        log.warning("%s: %s; images are probed again", self._path, error)
        self._close()
        self._new.clear()
        broken = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        # With its journal, which SQLite would apply to a new file.
        for path in self._path.parent.glob(f"{FILE}*") if broken else ():
            try:
                path.unlink()
            except OSError as failure:
                log.warning("%s: %s", path, failure)
        return broken

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _digest(key: str, value: object) -> str:
    return hashlib.sha256(f"{key}\n{value}".encode(errors="surrogatepass")).hexdigest()
