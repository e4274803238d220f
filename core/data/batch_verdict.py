"""Whether a batch may land: the decision over what its expectations found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.references import ExpectationOutcome

SHOWN = 5
"""Failed expectations a verdict names."""


@dataclass(frozen=True)
class BatchVerdict:
    """Answer on one batch.

    Parameters
    ----------
    accepted
        False refuses the batch as a whole.
    reasons
        Sentences for people: why refused, what was set aside, what to look at.
    """

    accepted: bool
    reasons: tuple[str, ...]


def batch_verdict(
    outcomes: Sequence[ExpectationOutcome], n_rows: int, n_quarantined: int, max_quarantine: float
) -> BatchVerdict:
    """Judge a batch by its outcomes and by the share of rows to set aside.

    A failure at the level ``schema`` refuses the batch whatever its rows are like. Rows that failed at the level
    ``row`` are set aside while their share is at most ``max_quarantine`` and one row at least remains. Warnings are
    only told.

    Parameters
    ----------
    outcomes
        One per expectation.
    n_rows
        Rows looked at.
    n_quarantined
        Rows that failed at least one expectation at the level ``row``; a row counts once.
    max_quarantine
        Share of rows, 0 to 1.

    Examples
    --------
    >>> batch_verdict((), n_rows=200, n_quarantined=0, max_quarantine=0.02)
    BatchVerdict(accepted=True, reasons=('all 200 rows passed',))
    """
    schema = [outcome for outcome in outcomes if outcome.level == "schema" and not outcome.passed]
    warnings = tuple(
        f"warning: {_told(outcome)}" for outcome in outcomes if outcome.level == "warning" and not outcome.passed
    )
    if schema:
        reasons = (*_shown([f"refused: {_told(outcome)}" for outcome in schema]), *warnings)
        return BatchVerdict(False, reasons)
    if n_quarantined == 0:
        return BatchVerdict(True, (f"all {_rows(n_rows)} passed" if n_rows > 1 else "the one row passed", *warnings))
    aside = f"{n_quarantined:,} of {_rows(n_rows)} ({_percent(n_quarantined / n_rows)})"
    worst = _worst(outcomes)
    if n_quarantined == n_rows:
        return BatchVerdict(False, (f"refused: every row ({n_rows:,}) fails. Worst: {worst}", *warnings))
    if n_quarantined > max_quarantine * n_rows:
        limit = f"validation.max_quarantine allows {_percent(max_quarantine)}"
        return BatchVerdict(False, (f"refused: {aside} fail, {limit}. Worst: {worst}", *warnings))
    return BatchVerdict(True, (f"{aside} set aside: {worst}", *warnings))


def _told(outcome: ExpectationOutcome) -> str:
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
    """Share in percent, with digits enough that a small one is not zero and a high one not all.

    >>> _percent(0.02), _percent(0.000123), _percent(0.0204)
    ('2%', '0.0123%', '2.04%')
    """
    return f"{100 * share:.3g}%"
