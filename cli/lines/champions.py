"""Tenures, reviews and moves of champions, formatted for a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from cli.lines.releases import step_row
from cli.output import section, table, utc_text

if TYPE_CHECKING:
    from store.champions import Review
    from store.releases.records import Step
    from tasks.champions.approvals import Move
    from tasks.champions.history import Tenure, TenureHistory


def tenure_lines(history: TenureHistory) -> list[str]:
    """List tenures, newest last, then reviews and the waiting version; or the champion at one moment."""
    if history.moment is not None:
        return _moment_lines(history, history.moment)
    if not (history.tenures or history.reviews or history.waiting or history.releases):
        return [f"{history.model} has no champion yet; train one with: perennial train {history.model}"]
    tenures = [_tenure_row(tenure) for tenure in history.tenures]
    reviews = [(utc_text(one.at), str(one.version), one.action, one.actor, one.reason) for one in history.reviews]
    steps = [_step_row(step, state.release.version) for state in history.releases for step in state.steps]
    return [
        *table(("", "champion", "since (UTC)", "until", "kind", "actor", "reason"), tenures),
        *section(table(("when (UTC)", "version", "review", "actor", "reason"), reviews)),
        *section(table(("when (UTC)", "release", "version", "stage", "share", "what", "actor", "reason"), steps)),
        *section(_waiting_lines(history)),
    ]


def move_lines(move: Move) -> list[str]:
    """Report the present champion, and how to undo the move."""
    entry = move.entry
    if not move.moved:
        since = f"{utc_text(entry.at)} UTC"
        return [f"nothing to do: version {entry.version} of {entry.model} has been champion since {since}"]
    instead = f"; it replaces version {move.replaced}" if move.replaced is not None else ""
    undo = [f"  to undo this: perennial rollback {entry.model} --reason …"] if entry.kind == "approval" else []
    return [
        f"version {entry.version} of {entry.model} is now champion{instead}",
        f"  {entry.reason} ({entry.actor})",
        *undo,
    ]


def rejection_lines(review: Review) -> list[str]:
    """Report a recorded rejection."""
    return [f"version {review.version} of {review.model} is rejected", f"  {review.reason} ({review.actor})"]


def _moment_lines(history: TenureHistory, moment: datetime) -> list[str]:
    if not history.tenures:
        return [f"{history.model} had no champion at {utc_text(moment)} UTC"]
    (tenure,) = history.tenures
    entry = tenure.entry
    span = f"from {utc_text(entry.at)}" + (f" to {utc_text(tenure.until)} UTC" if tenure.until else " UTC until now")
    return [
        f"version {entry.version} was champion of {history.model} at {utc_text(moment)} UTC: {span}",
        f"  by {entry.kind}: {entry.reason} ({entry.actor})",
    ]


def _tenure_row(tenure: Tenure) -> tuple[str, ...]:
    entry = tenure.entry
    now = "" if tenure.until else "*"
    until = utc_text(tenure.until) if tenure.until else "now"
    return (now, str(entry.version), utc_text(entry.at), until, entry.kind, entry.actor, entry.reason)


def _step_row(step: Step, version: int) -> tuple[str, ...]:
    at, *rest = step_row(step.to_dict())
    return (at, str(step.number), str(version), *rest)


def _waiting_lines(history: TenureHistory) -> list[str]:
    if history.waiting is None:
        return []
    named = f"{history.model}@{history.waiting} --reason …"
    return [
        f"version {history.waiting} waits for approval:",
        f"  perennial approve {named}",
        f"  perennial reject {named}",
    ]
