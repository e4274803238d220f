"""The doctor's findings as lines."""

from __future__ import annotations

from collections.abc import Sequence

import click

from core.operate.findings import Finding

COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


def finding_lines(findings: Sequence[Finding]) -> list[str]:
    """Return one line per finding, its advice below it, and the total."""
    width = max(len(finding.check) for finding in findings)
    lines = []
    for finding in findings:
        level = click.style(f"{finding.level:<7}", fg=COLOURS[finding.level])
        lines.append(f"{level}  {finding.check:<{width}}  {finding.says}")
        if finding.advice and finding.level != "ok":
            lines.append(click.style(f"{'':<7}  {'':<{width}}  → {finding.advice}", dim=True))
    return [*lines, "", _sum(findings)]


def _sum(findings: Sequence[Finding]) -> str:
    counts = {level: sum(finding.level == level for finding in findings) for level in ("problem", "warning")}
    said = [f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n]
    return " and ".join(said) if said else f"all {len(findings)} checks passed"
