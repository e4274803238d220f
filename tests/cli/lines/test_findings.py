"""The doctor's findings as lines."""

from __future__ import annotations

import click
import pytest

from cli.lines.findings import finding_lines
from core.operate.findings import Finding

OK = Finding("disk", "ok", "10 GB are free", "nothing to do")
WARNING = Finding("clock", "warning", "2 s late", "set it")
PROBLEM = Finding("database", "problem", "does not answer")


def test_advice_stands_below_what_needs_it() -> None:
    """Not below what is ok, and not where there is none."""
    lines = [click.unstyle(line) for line in finding_lines([OK, WARNING, PROBLEM])]
    assert lines == [
        "ok       disk      10 GB are free",
        "warning  clock     2 s late",
        "                   → set it",
        "problem  database  does not answer",
        "",
        "1 problem and 1 warning",
    ]


@pytest.mark.parametrize(
    ("findings", "total"),
    [
        ([OK], "all 1 checks passed"),
        ([OK, OK], "all 2 checks passed"),
        ([WARNING, WARNING], "2 warnings"),
        ([PROBLEM, PROBLEM, WARNING], "2 problems and 1 warning"),
    ],
)
def test_the_total_counts_what_is_wrong(findings: list[Finding], total: str) -> None:
    """Problems first."""
    assert finding_lines(findings)[-1] == total
