"""Sentences about columns that somebody does not look at."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from core.text import listed


def undeclared_notes(columns: Sequence[str]) -> tuple[str, ...]:
    """Say which columns of a source the model file does not name; nothing where it names all.

    Examples
    --------
    >>> undeclared_notes(["notes"])
    ('left behind, since the model file does not name it: notes',)
    """
    if not columns:
        return ()
    them = "it" if len(columns) == 1 else "them"
    return (f"left behind, since the model file does not name {them}: {listed(columns)}",)


def contract_notes(declared: Collection[str], taken: Collection[str]) -> tuple[str, ...]:
    """Say how the features of the model file of today differ from those a champion takes.

    Parameters
    ----------
    declared, taken
        Names of features: in the model file, and by the champion.

    Examples
    --------
    >>> contract_notes(["age", "savings"], ["age", "income"])
    ('the champion does not take savings: not compared', 'the champion takes income, which is no feature any more')
    """
    new = sorted(set(declared) - set(taken))
    gone = sorted(set(taken) - set(declared))
    notes = [f"the champion does not take {listed(new)}: not compared"] if new else []
    return (*notes, *([f"the champion takes {listed(gone)}, which is no feature any more"] if gone else []))
