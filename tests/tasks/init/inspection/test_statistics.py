from __future__ import annotations

import duckdb
import pytest

from tests.tasks.init.inspection.inspecting import inspected


def test_lengths_and_levels_of_texts_are_counted(connection: duckdb.DuckDBPyConnection) -> None:
    """A column of text has the mean length of its values, those with a space, and its levels by frequency."""
    found = inspected(connection, {"place": ["New York", "Rome", "Rome", None], "y": ["a", "b", "a", "b"]})
    place = found.named("place")
    assert (place.n_missing, place.n_distinct, place.n_with_space) == (1, 2, 1)
    assert place.mean_length == pytest.approx(16 / 3)
    assert place.levels == (("Rome", 2), ("New York", 1))


def test_numbers_beyond_single_precision_are_infinite(connection: duckdb.DuckDBPyConnection) -> None:
    """Extremes are taken from the numbers that a model can hold."""
    found = inspected(connection, {"x": ["1", "2.5", "1e39", "-4"], "y": ["a", "b", "a", "b"]}).named("x")
    assert (found.n_numbers, found.n_infinite, found.n_integers) == (3, 1, 2)
    assert (found.minimum, found.maximum) == (-4, 2.5)
