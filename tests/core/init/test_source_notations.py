"""How a model file states the notations of its columns."""

from __future__ import annotations

from core.init.columns import ColumnStatistics
from core.init.source_notations import source_notations
from core.notations import DateNotation, NumberNotation


def _numbers(name: str, n_integers: int = 9) -> ColumnStatistics:
    return ColumnStatistics(name, "VARCHAR", 9, 0, 9, n_numbers=9, n_integers=n_integers)


def test_one_mark_holds_for_the_whole_source() -> None:
    """If no column contradicts it: whole numbers do not."""
    noted = {"a": NumberNotation(",", "."), "b": NumberNotation(",", "", "%")}
    assert source_notations(noted, [_numbers("c")]) == {"decimal": ",", "thousands": ".", "units": {"b": "%"}}


def test_marks_that_differ_are_stated_by_column() -> None:
    """A column with points before its fractions would be misread by a mark for all."""
    noted = {"a": NumberNotation(",", "."), "b": NumberNotation(".", ",")}
    assert source_notations(noted, []) == {"decimal": {"a": ","}, "thousands": {"a": ".", "b": ","}}
    assert source_notations({"a": NumberNotation(",")}, [_numbers("c", 0)]) == {"decimal": {"a": ","}}
    assert source_notations({"a": NumberNotation(unit="kg")}, [_numbers("c", 0)]) == {"units": {"a": "kg"}}


def test_dates_are_stated_by_column() -> None:
    """One format, or a list of them; without any notation nothing is stated."""
    noted = {"a": DateNotation(("%d.%m.%Y",)), "b": DateNotation(("seconds",)), "c": DateNotation(("%d", "%m"))}
    assert source_notations(noted, []) == {"dates": {"a": "%d.%m.%Y", "b": "seconds", "c": ["%d", "%m"]}}
    assert source_notations({}, []) == {}
