"""What is known of contents that were probed before: a SQLite file that may be lost, locked or broken at any time."""

import hashlib
import logging
import sqlite3
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

FILE = "probe.sqlite"
WAIT_S = 10.0  # for another process that writes
PORTION = 256  # new values that are written at a time: a killed run loses no more
TABLE = "CREATE TABLE IF NOT EXISTS known (key TEXT PRIMARY KEY, value TEXT NOT NULL, digest TEXT NOT NULL)"

log = logging.getLogger(__name__)


class ProbeCache:
    """Texts by key, for threads and processes at once; what is wrong with it is logged once and then it is empty.

    folder: where FILE is or shall be; None for a cache that never knows a thing.
    """

    def __init__(self, folder: Path | None) -> None:
        self._lock = Lock()
        self._new: dict[str, str] = {}
        self._connection: sqlite3.Connection | None = None
        if folder is not None:
            self._folder = folder
            self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is new and close."""
        with self._lock:
            self._write()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def get(self, key: str) -> str | None:
        """Return the value of a key, if it is known and whole."""
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
        """Keep the value of a key."""
        with self._lock:
            if self._connection is not None:
                self._new[key] = value
                if len(self._new) >= PORTION:
                    self._write()

    def _open(self) -> None:
        """Open the file, a new one in the place of a broken one."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            try:
                self._connection = self._connect()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):  # locked, or not ours to write
                    raise
                log.warning("%s: %s; it is made anew", self._folder / FILE, error)
                self._remove()
                self._connection = self._connect()
        except (sqlite3.Error, OSError) as error:
            log.warning("%s: %s; all images are probed anew", self._folder / FILE, error)

    def _connect(self) -> sqlite3.Connection:
        path = self._folder / FILE
        connection = sqlite3.connect(path, timeout=WAIT_S, check_same_thread=False, isolation_level="IMMEDIATE")
        try:
            with connection:
                connection.execute(TABLE)
                connection.execute("SELECT key, value, digest FROM known LIMIT 1").fetchone()
        except sqlite3.Error:
            connection.close()
            raise
        return connection

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

    def _give_up(self, error: sqlite3.Error) -> None:
        """Go on without the file; a broken one is removed, so that the next run makes it anew."""
        log.warning("%s: %s; the run goes on without it", self._folder / FILE, error)
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._new.clear()
        if not isinstance(error, sqlite3.OperationalError):
            self._remove()

    def _remove(self) -> None:
        """Remove the file and its journal, which would be played back into a new one."""
        for path in self._folder.glob(f"{FILE}*"):
            try:
                path.unlink()
            except OSError as error:
                log.warning("%s: %s", path, error)


def _digest(key: str, value: object) -> str:
    return hashlib.sha256(f"{key}\n{value}".encode(errors="surrogatepass")).hexdigest()
