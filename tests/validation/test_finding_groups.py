"""Findings as blocks of text, one a rule."""

from dataclasses import replace

from localizer.findings import BadFileError, Finding, Severity, blocks, count_of, group_by_rule

ONE = Finding("boxes.csv", 3, "xmax", "corner_order", "critical", "xmax 10", "more than xmin 90", "correct it", row=1)


def findings(count: int, *, rule: str = "a", severity: Severity = "critical") -> list[Finding]:
    return [replace(ONE, line=line, rule=rule, severity=severity) for line in range(2, count + 2)]


def text(*found: Finding, **options: str | int) -> list[str]:
    return [str(line) for line in blocks(found, **options)]  # type: ignore[arg-type]


def test_a_block_has_the_rule_its_places_and_the_fix() -> None:
    assert text(ONE) == [
        "critical: corner_order, 1 finding: expected more than xmin 90",
        "  boxes.csv:3:xmax: got xmax 10",
        "  fix: correct it",
    ]


def test_more_than_three_places_are_counted_with_where_they_are_listed() -> None:
    assert text(*findings(5), rest="out/findings.csv") == [
        "critical: a, 5 findings: expected more than xmin 90",
        *(f"  boxes.csv:{line}:xmax: got xmax 10" for line in (2, 3, 4)),
        "  and 2 more: out/findings.csv",
        "  fix: correct it",
    ]
    assert text(*findings(5), shown=0)[1] == "  and 5 more"


def test_where_places_expect_different_things_each_says_its_own() -> None:
    other = replace(ONE, line=4, expected="more than xmin 5")
    assert text(ONE, other)[:3] == [
        "critical: corner_order, 2 findings",
        "  boxes.csv:3:xmax: expected more than xmin 90, got xmax 10",
        "  boxes.csv:4:xmax: expected more than xmin 5, got xmax 10",
    ]


def test_critical_rules_come_first_then_what_is_about_the_file_then_the_frequent() -> None:
    whole = replace(ONE, rule="whole", row=None)
    found = [*findings(9, rule="w", severity="warning"), *findings(1, rule="rare"), *findings(4, rule="often"), whole]
    assert [group.first.rule for group in group_by_rule(found)] == ["whole", "often", "rare", "w"]


def test_a_rule_that_is_critical_for_some_rows_and_a_warning_for_others_has_two_blocks() -> None:
    assert [len(group.findings) for group in group_by_rule([*findings(2), *findings(3, severity="warning")])] == [2, 3]


def test_control_characters_are_shown_and_not_sent_to_the_terminal() -> None:
    lines = text(replace(ONE, file="a\nb.csv", got="\x1b[2J"))
    assert lines[1] == r"  a\nb.csv:3:xmax: got \x1b[2J"


def test_an_error_with_one_finding_is_a_line_and_with_more_a_block() -> None:
    assert str(BadFileError([ONE])) == str(ONE)
    assert str(BadFileError(findings(2))).splitlines()[0] == "critical: a, 2 findings: expected more than xmin 90"


def test_a_number_comes_with_its_noun() -> None:
    assert [count_of(1, "box"), count_of(2, "box"), count_of(0, "image")] == ["1 box", "2 boxes", "0 images"]
