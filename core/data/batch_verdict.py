"""The verdict on a batch: whether its rows are accepted, from the outcomes of its expectations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.references import ExpectationOutcome

SHOWN = 5
"""Maximum number of failed expectations that a verdict names."""


@dataclass(frozen=True)
class BatchVerdict:
    """Verdict on one batch.

    Parameters
    ----------
    accepted
        False refuses the batch as a whole.
    reasons
        Sentences for people: why the batch was refused, which rows were set aside, which warnings there are.
    """

    accepted: bool
    reasons: tuple[str, ...]


def batch_verdict(
    outcomes: Sequence[ExpectationOutcome], n_rows: int, n_quarantined: int, max_quarantine: float
) -> BatchVerdict:
    """Judge a batch by its outcomes and by the share of rows to set aside.

    A failure at the level ``schema`` refuses the batch. Rows that fail at the level ``row`` are set aside (quarantined)
    if their share is at most ``max_quarantine`` and at least one row remains; otherwise the batch is refused. Warnings
    are only reported.

    Parameters
    ----------
    outcomes
        One per expectation.
    n_rows
        Rows validated, at least 1.
    n_quarantined
        Rows that failed at least one expectation at the level ``row``; a row counts once.
    max_quarantine
        Maximum share of quarantined rows, 0 to 1.

    Examples
    --------
    >>> batch_verdict((), n_rows=200, n_quarantined=0, max_quarantine=0.02)
    BatchVerdict(accepted=True, reasons=('all 200 rows passed',))
    """
    schema = [outcome for outcome in outcomes if outcome.level == "schema" and not outcome.passed]
    warnings = tuple(
        f"warning: {_finding(outcome)}" for outcome in outcomes if outcome.level == "warning" and not outcome.passed
    )
    if schema:
        reasons = (*_shown([f"refused: {_finding(outcome)}" for outcome in schema]), *warnings)
        return BatchVerdict(False, reasons)
    if n_quarantined == 0:
        passed = "all " + _rows(n_rows) if n_rows > 1 else "the one row"
        with_warnings = ", with warnings" if warnings else ""
        return BatchVerdict(True, (f"{passed} passed{with_warnings}", *warnings, *_stored(outcomes)))
    aside = f"{n_quarantined:,} of {_rows(n_rows)} ({_percent(n_quarantined / n_rows)})"
    worst = _worst(outcomes)
    if n_quarantined == n_rows:
        return BatchVerdict(False, (f"refused: every row ({n_rows:,}) fails. Worst: {worst}", *warnings))
    if n_quarantined > max_quarantine * n_rows:
        limit = f"validation.max_quarantine allows {_percent(max_quarantine)}"
        return BatchVerdict(False, (f"refused: {aside} fail, {limit}. Worst: {worst}", *warnings))
    return BatchVerdict(True, (f"{aside} set aside: {worst}", *warnings, *_stored(outcomes)))


def _stored(outcomes: Sequence[ExpectationOutcome]) -> tuple[str, ...]:
    """Return what happens to rows that fail a warning; nothing if no row does."""
    if not any(outcome.level == "warning" and outcome.n_unexpected for outcome in outcomes):
        return ()
    return ("rows with a warning are stored; to set them aside, set meta.level of the expectation to 'row'",)


def _finding(outcome: ExpectationOutcome) -> str:
    return f"{outcome.description} (found: {outcome.observed})"


def _worst(outcomes: Sequence[ExpectationOutcome]) -> str:
    failed = [outcome for outcome in outcomes if outcome.level == "row" and not outcome.passed]
    ordered = sorted(failed, key=lambda outcome: -outcome.n_unexpected)
    return "; ".join(_shown([f"{outcome.description} ({_rows(outcome.n_unexpected)})" for outcome in ordered]))


def _shown(sentences: list[str]) -> list[str]:
    more = len(sentences) - SHOWN
    return [*sentences[:SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n:,} rows"


def _percent(share: float) -> str:
    """Format a share in percent with three significant digits, so that a small share is not shown as zero.

    >>> _percent(0.02), _percent(0.000123), _percent(0.0204)
    ('2%', '0.0123%', '2.04%')
    """
    return f"{100 * share:.3g}%"
