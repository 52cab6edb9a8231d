"""Pooled results on disk: reports/folds/NAME has the files of an evaluation, and a record of what was pooled."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from localizer.config import Record

FOLDER = Path("reports/folds")
RECORD = "folds.json"


class FoldRecord(Record):
    """A fold's experiment of DVC, its commit, and the id of its run in MLflow, empty if unknown."""

    experiment: str
    revision: str
    run: str


class PooledRecord(Record):
    """What was pooled.

    commit: that the experiments are on. params: all but the fold, by dotted name. sources: digests of the code and data
    that the folds were made from, by path.
    """

    name: str
    commit: str
    params: dict[str, Any]
    sources: dict[str, str]
    folds: tuple[FoldRecord, ...]

    def to_json(self) -> str:
        return self.model_dump_json(indent=2) + "\n"


def find_pooled(name: str) -> Path | None:
    """Return the folder of pooled results by its path or name; None if there is none."""
    folders = (Path(name), FOLDER / name) if name else ()
    return next((folder for folder in folders if (folder / RECORD).is_file()), None)


def read_record(folder: Path) -> PooledRecord:
    """Return the record of pooled results; ValueError if it can't be read."""
    path = folder / RECORD
    try:
        return PooledRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ValueError(f"{path}: {error.errors()[0]['msg']}; run `localizer cross-validate` again") from None
