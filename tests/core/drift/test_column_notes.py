"""Sentences about columns that are not compared."""

from __future__ import annotations

import doctest

import core.drift.column_notes
from core.drift.column_notes import contract_notes, undeclared_notes


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(core.drift.column_notes).failed == 0


def test_nothing_to_say_is_no_sentence() -> None:
    """Equal sets in any order, and no undeclared column."""
    assert undeclared_notes([]) == ()
    assert contract_notes(["age", "income"], ["income", "age"]) == ()


def test_foreign_names_cannot_steer_a_terminal() -> None:
    """Names come from a source; many are counted instead of listed."""
    (note,) = undeclared_notes(["a\x1b[2J", *(f"c{place}" for place in range(100))])
    assert "\x1b" not in note
    assert "declare them: " in note
    assert note.endswith("and 96 more")
