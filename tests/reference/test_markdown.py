"""Pieces of Markdown."""

import doctest

from reference import markdown
from reference.markdown import document, table


def test_examples_of_docstrings_hold() -> None:
    """What a docstring shows is what happens."""
    result = doctest.testmod(markdown)
    assert result.attempted
    assert result.failed == 0


def test_a_cell_keeps_its_text() -> None:
    """Bars do not end a cell, names in angle brackets are no tags, code stays as it is."""
    assert table(["x"], [["<var>/a | b `<c>`"]]).splitlines()[2] == "| &lt;var>/a \\| b `<c>` |"


def test_a_document_has_one_title_and_its_sections() -> None:
    """Sections follow the lead, each under its heading."""
    assert document("T", "Lead.", [("A", "one"), ("B", "two")]) == "# T\n\nLead.\n\n## A\n\none\n\n## B\n\ntwo\n"
