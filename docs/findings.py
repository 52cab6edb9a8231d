"""The page of findings: for each rule the block that `localizer` prints, by running it on docs/finding_cases.py."""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from docs.finding_cases import CASES, Case, Content
from localizer.cli import main

# A block of `validate`, or the line of a command that stops: `localizer convert: boxes.json: boxes_outside: …`.
BLOCK = re.compile(r"^(?:critical|warning): (\w+), .*(?:\n  .*)*|^localizer \w+: \S+: (\w+): .*", re.MULTILINE)

# What the block of a rule does not say.
CHANGED = "Only with `--against` or `--since`; `drift` of `dataset.yaml` has the limits."
DETECTED = "Only where no `dataset.yaml` and no option says how boxes are written."
DECLARED = "Only where a `dataset.yaml` declares the columns: else they are recognized as they are."
MISREAD = "Critical if the other format fits more than half of all boxes, else a warning."
UNUSUAL = "Only for labels with 30 boxes or more."
NOTES = {
    "box_format_unclear": DETECTED,
    "boxes_contradict_polygons": "Of COCO's annotations, those with polygons are compared.",
    "boxes_misfit": DETECTED,
    "boxes_outside": "Only of `localizer convert`.",
    "clipped": "Only with `clip_px`: a box that protrudes further is `outside_image`.",
    "column_missing": DECLARED,
    "column_spaces": DECLARED,
    "column_twice": DECLARED,
    "counted_from_one": "Of boxes that are counted from 0, some begin at 0.",
    "duplicate_content": "The files have the same bytes.",
    "image_missing": "A file of nearly this name, or of this name in another folder, is named.",
    "near_duplicate": "The perceptual hash tells how alike two images look; a mirrored copy is found, too.",
    "not_a_file": "A pipe or a device is never read.",
    "not_compared": "Only with `--since`.",
    "not_readable": "Mostly its permissions are the reason.",
    "semicolons": DECLARED,
    "several_boxes": "A warning with `multiple: largest` and `multiple: drop`.",
    "size_disagrees": "Only where the file has columns for width and height of its images.",
    "split_disagrees": "Only where the file assigns images to splits.",
    "too_many_bad_rows": "Only with `on_bad_row: quarantine`.",
    **dict.fromkeys(("drift_added", "drift_labels", "drift_moved", "drift_removed", "drift_sizes"), CHANGED),
    **dict.fromkeys(("outlier_aspect", "outlier_position", "outlier_size"), UNUSUAL),
    **dict.fromkeys(("read_as_cxcywh", "read_as_xyhw", "read_as_xywh", "read_as_xyxy"), MISREAD),
}


def sections() -> str:
    """Return a section for each rule: its name, what the block does not say, and the block."""
    texts = []
    for rule, block in sorted(rule_blocks().items()):
        note = f"{NOTES[rule]}\n\n" if rule in NOTES else ""
        texts.append(f"## `{rule}`\n\n{note}```text\n{block}\n```\n")
    return "\n".join(texts)


@cache
def rule_blocks() -> dict[str, str]:
    """Return the block of each rule, from the first case that breaks it."""
    found: dict[str, str] = {}
    for case in CASES:
        for rule, block in printed_blocks(case):
            found.setdefault(rule, block)
    return found


def printed_blocks(case: Case) -> Iterator[tuple[str, str]]:
    """Yield each rule that a case breaks, with what its command prints about it."""
    for match in BLOCK.finditer(output(case)):
        yield match[1] or match[2], match[0]


def output(case: Case) -> str:
    """Return what a command prints in a folder that has the files of its case, and nothing else."""
    git = [name for name in os.environ if name.startswith("GIT_")]  # a hook's, which name another repository
    with TemporaryDirectory() as folder, chdir(folder), patch.dict(os.environ):
        for name in git:
            del os.environ[name]
        for path, content in case.files.items():
            write(Path(path), content)
        with redirect_stdout(StringIO()) as text, redirect_stderr(text):
            main(shlex.split(case.command))
    return text.getvalue()


def write(path: Path, content: Content) -> None:
    """Write a file, or let it be made, in a folder that is made, too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path.absolute())
