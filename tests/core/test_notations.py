"""The form of texts in a notation; ``test_cells.py`` reads values by it."""

from __future__ import annotations

import doctest

import pytest

import core.notations
from core.notations import (
    DateNotation,
    Notation,
    NumberNotation,
    column_notation,
    escaped,
    fits,
    format_form,
    from_json,
    to_json,
)
from tests.factories import credit_config


def test_the_examples_hold() -> None:
    """What the docstrings show is what the functions return."""
    assert doctest.testmod(core.notations).failed == 0


@pytest.mark.parametrize("notation", [NumberNotation(",", "'", "%"), DateNotation(("%d.%m.%Y", "%d.%m.%y"))])
def test_a_notation_is_kept_as_json(notation: Notation) -> None:
    """A bundle holds it so."""
    assert from_json(to_json(notation)) == notation


def test_a_notation_is_of_its_column_and_kind() -> None:
    """A mark may hold for all columns or for some; columns of text have none, and the usual one is none."""
    source = {
        "kind": "csv",
        "uri": "rows.csv",
        "decimal": ",",
        "thousands": {"income": "."},
        "units": {"age": "%"},
        "dates": {"region": "%d/%m/%Y"},
    }
    found = credit_config(source=source).source
    assert column_notation(found, "income", "DOUBLE") == NumberNotation(",", ".")
    assert column_notation(found, "age", "DOUBLE") == NumberNotation(",", "", "%")
    assert column_notation(found, "income", "VARCHAR") is column_notation(found, "income", "TIMESTAMP") is None
    assert column_notation(found, "region", "TIMESTAMP") == DateNotation(("%d/%m/%Y",))
    assert column_notation(credit_config().source, "income", "DOUBLE") is None


def test_digits_without_a_separator_are_all_there() -> None:
    """Else 1112024 could be the 1st of November or the 11th of January."""
    assert fits(format_form("%d%m%Y"), "01112024")
    assert not fits(format_form("%d%m%Y"), "1112024")
    assert fits(format_form("%d.%m.%Y"), "1.11.2024")


def test_a_unit_is_taken_literally() -> None:
    """Its characters have no meaning in the form."""
    assert fits(escaped("kg/m^2 (US)"), "kg/m^2 (US)")
    assert NumberNotation(".", "", "$").canonical("$5") == "5"
    assert NumberNotation(".", "", "US$").canonical("US$ 5") == "5"
