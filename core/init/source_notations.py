"""State the notations of columns in the section ``source`` of a model file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from core.init.columns import ColumnStatistics
from core.notations import DateNotation, Notation, NumberNotation


def source_notations(notations: Mapping[str, Notation], columns: Sequence[ColumnStatistics]) -> dict[str, Any]:
    """Return the fields ``decimal``, ``thousands``, ``units`` and ``dates`` that differ from the usual.

    A mark holds for all columns if no column of the source contradicts it, so that a fraction in a column that has none
    yet is read right; else it is stated by column.

    Parameters
    ----------
    notations
        By column that is read as a number or as a date.
    columns
        Statistics of all columns.
    """
    numbers = {name: one for name, one in notations.items() if isinstance(one, NumberNotation)}
    plain = [one for one in columns if one.is_number and one.name not in numbers and one.type_name == "VARCHAR"]
    decimals = {one.decimal for one in numbers.values()}
    thousands = {one.thousands for one in numbers.values()} - {""}
    fields: dict[str, Any] = {}
    # A number without groups of digits reads the same, whatever separates them elsewhere.
    if len(decimals) == 1 and len(thousands) < 2 and all(one.is_integer for one in plain):
        fields = {"decimal": decimals.pop(), "thousands": "".join(thousands)}
    elif numbers:
        fields = {
            "decimal": {name: one.decimal for name, one in numbers.items() if one.decimal != "."},
            "thousands": {name: one.thousands for name, one in numbers.items() if one.thousands},
        }
    fields["units"] = {name: one.unit for name, one in numbers.items() if one.unit}
    fields["dates"] = {
        name: one.formats[0] if len(one.formats) == 1 else list(one.formats)
        for name, one in notations.items()
        if isinstance(one, DateNotation)
    }
    return {name: value for name, value in fields.items() if value and (name, value) != ("decimal", ".")}
