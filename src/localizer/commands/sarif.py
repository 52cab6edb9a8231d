"""Findings as SARIF 2.1.0, the standard format of static analysis results, which GitHub's code scanning reads."""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import quote

from localizer.commands.finding_formats import path_below
from localizer.datasets.element_lines import Position, positions_of
from localizer.findings import Finding, group_by_rule, printable
from localizer.probing.file_names import as_utf8

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MOST_RESULTS = 5000  # that GitHub keeps of a run
MOST_CHARACTERS = 1000  # of a rule's texts; GitHub takes 1024
LEVELS = {"critical": "error", "warning": "warning"}
ROOT = "%SRCROOT%"
MOVING = re.compile(r"\bline [0-9]+|:[0-9]+|\[[0-9]+\]")  # what changes in a finding when lines are inserted before it


def as_sarif(findings: Sequence[Finding], *, root: Path) -> str:
    """Return a SARIF log of one run, with the most severe MOST_RESULTS findings, and how many are left out.

    root: the folder of the repository, to which paths are relative.
    """
    kept = _most_severe(findings)
    firsts: dict[str, Finding] = {}  # of each rule; where some are critical, that is the first of these
    for group in group_by_rule(kept):
        firsts.setdefault(group.first.rule, group.first)
    indices, counts = {rule: index for index, rule in enumerate(firsts)}, Counter[str]()
    results = [
        _result(finding, position, root, counts) | {"ruleIndex": indices[finding.rule]}
        for finding, position in zip(kept, positions_of(kept), strict=True)
    ]
    run = {
        "tool": {"driver": _driver(firsts.values())},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "the root of the repository"}}},
        "invocations": [_invocation(len(findings), len(kept))],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _most_severe(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings that are kept, critical ones first; of a severity, the first of each rule before the second.

    So no rule is crowded out by one that fails everywhere.
    """
    counts = Counter[tuple[str, str]]()
    ranks = []
    for number, finding in enumerate(findings):
        counts[finding.severity, finding.rule] += 1
        ranks.append((finding.severity, counts[finding.severity, finding.rule], number))
    kept = sorted((severity, number) for severity, _, number in sorted(ranks)[:MOST_RESULTS])
    return [findings[number] for _, number in kept]


def _driver(firsts: Iterable[Finding]) -> dict[str, Any]:
    driver: dict[str, Any] = {"name": "localizer"}
    with suppress(PackageNotFoundError):  # run from a checkout, without being installed
        driver["version"] = version("localizer")
    return driver | {"rules": [_rule(first) for first in firsts]}


def _rule(first: Finding) -> dict[str, Any]:
    """Return what SARIF says of a rule, by its first finding."""
    example = f"For example: expected {first.expected}, got {first.got}."
    return {
        "id": first.rule,
        "shortDescription": _text(first.rule.replace("_", " ").capitalize()),
        "fullDescription": _text(example[:MOST_CHARACTERS]),
        "help": _text(first.fix[:MOST_CHARACTERS]),
        "defaultConfiguration": {"level": LEVELS[first.severity]},
    }


def _result(finding: Finding, position: Position | None, root: Path, counts: Counter[str]) -> dict[str, Any]:
    """Return a finding as a result; counts: of the fingerprints so far, of which equal ones are numbered."""
    path = path_below(root, finding.file)
    fingerprint = _fingerprint(finding, path)
    counts[fingerprint] += 1
    message = f"expected {finding.expected}, got {finding.got}; {finding.fix}"
    location: dict[str, Any] = {"artifactLocation": _artifact(path)}
    if position:
        columns = {"startColumn": position.column} if position.column else {}
        location["region"] = {"startLine": position.line} | columns
    return {
        "ruleId": finding.rule,
        "level": LEVELS[finding.severity],
        "message": _text(f"{finding.column}: {message}" if finding.column else message),
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {"finding/v1": f"{fingerprint}:{counts[fingerprint]}"},
    }


def _artifact(path: str) -> dict[str, str]:
    """Return the location of a file by its URI, relative to the repository if it is in there."""
    if os.path.isabs(path):  # noqa: PTH117
        return {"uri": Path(path).as_uri()}
    return {"uri": quote(os.fsencode(path)), "uriBaseId": ROOT}


def _fingerprint(finding: Finding, path: str) -> str:
    """Return a digest of what stays the same of a finding when lines are inserted before it."""
    texts = (finding.rule, path, *(MOVING.sub("", text) for text in (finding.column, finding.expected, finding.got)))
    return hashlib.sha256(as_utf8("\0".join(texts)).encode()).hexdigest()[:16]


def _text(text: str) -> dict[str, str]:
    """Return a message in which nothing is a placeholder, `{0}`, or a link, `[text](target)`."""
    return {"text": printable(text).replace("{", "{{").replace("}", "}}").replace("](", "\\](")}


def _invocation(found: int, kept: int) -> dict[str, Any]:
    """Return that the checks were run, and how many of the findings are left out."""
    if found == kept:
        return {"executionSuccessful": True}
    text = f"{found - kept} of {found} findings are left out: GitHub keeps {kept}, and these are the most severe"
    notification = {"level": "warning", "message": _text(f"{text}; `localizer validate --format json` prints all")}
    return {"executionSuccessful": True, "toolExecutionNotifications": [notification]}
