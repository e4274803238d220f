"""Sentences about columns that are dropped or not compared."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.text import listed


def undeclared_notes(columns: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence about the columns of a source that the model file does not declare; nothing if there are none.

    Examples
    --------
    >>> undeclared_notes(["notes"])
    ('dropped, because the model file does not declare it: notes',)
    """
    if not columns:
        return ()
    them = "it" if len(columns) == 1 else "them"
    return (f"dropped, because the model file does not declare {them}: {listed(columns)}",)


def contract_notes(declared: Collection[str], taken: Collection[str]) -> tuple[str, ...]:
    """Return sentences about the features of the current model file that differ from the champion's.

    Parameters
    ----------
    declared, taken
        Names of the features in the model file, and of the champion's features.

    Examples
    --------
    >>> contract_notes(["age", "savings"], ["age", "income"])
    ('the champion does not use savings: not compared', 'the champion uses income, which is no longer a feature')
    """
    new = sorted(set(declared) - set(taken))
    gone = sorted(set(taken) - set(declared))
    notes = [f"the champion does not use {listed(new)}: not compared"] if new else []
    return (*notes, *([f"the champion uses {listed(gone)}, which is no longer a feature"] if gone else []))
