"""A row of the diagnosis, and sizes as text."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Check:
    """What was found about one thing; a problem stops the pipeline. fix: empty if ok."""

    state: State
    found: str
    fix: str = ""


def size_text(size: int) -> str:
    """Return a number of bytes in GB or MB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
