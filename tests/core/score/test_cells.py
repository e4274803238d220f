"""Cells are read as the service reads them, and what it refuses is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from core.row_limits import MAX_NUMBER
from core.score.cells import CellReader, Wanted, bounded, needs_engine

READER = CellReader(("", "NA"))


def _read(column: pa.Array, wanted: Wanted) -> tuple[list[Any], list[bool]]:
    found = READER.read(column, wanted)
    assert found is not None
    return found[0].to_pylist(), bounded(*found, wanted).tolist()


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_levels_are_named_as_at_ingestion(kind: pa.DataType) -> None:
    """Trimmed, without a fraction of zero, null where the text means no value; damaged and long texts are refused."""
    texts = [" red ", "3.0", "NA", "", None, "a\x00b", "x" * 1025, "x" * 1024]
    values, refused = _read(pa.array(texts, pa.string()).cast(kind), Wanted("c", "VARCHAR"))
    assert values[:5] == ["red", "3", None, None, None]
    assert refused == [False] * 5 + [True, True, False]


def test_whole_numbers_are_levels_too() -> None:
    """A level 3 is the same whether its file has it as a number or as a text."""
    assert _read(pa.array([3, None], pa.int64()), Wanted("c", "VARCHAR")) == (["3", None], [False, False])


def test_numbers_beyond_single_precision_are_refused() -> None:
    """NaN is no value; infinity, and what becomes infinity in float32, is no number."""
    values, refused = _read(pa.array([1.5, float("nan"), None, np.inf, -MAX_NUMBER, 3.5e38]), Wanted("n", "DOUBLE"))
    assert values[:3] == [1.5, None, None]
    assert refused == [False, False, False, True, False, True]
    values, refused = _read(pa.array([2**53 + 1, None], pa.int64()), Wanted("n", "DOUBLE"))
    assert (values, refused) == ([float(2**53), None], [False, False])


def test_moments_outside_the_years_are_refused() -> None:
    """A zone is dropped, its moment is kept; the years are 1 to 9999."""
    column = pa.array([0, None, 253_402_300_800_000_000], pa.timestamp("us", tz="Europe/Berlin"))
    found = READER.read(column, Wanted("d", "TIMESTAMP"))
    assert found is not None
    assert found[0].type == pa.timestamp("us")
    assert found[1].tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("kind", "wanted", "engine"),
    [
        (pa.float64(), Wanted("c", "DOUBLE"), False),
        (pa.string(), Wanted("c", "DOUBLE"), True),
        (pa.decimal128(9, 2), Wanted("c", "DOUBLE"), True),
        (pa.float64(), Wanted("c", "VARCHAR"), True),
        (pa.int64(), Wanted("c", "BOOLEAN"), True),
        (pa.timestamp("ns"), Wanted("c", "TIMESTAMP"), True),
    ],
)
def test_other_types_are_left_to_the_engine(kind: pa.DataType, wanted: Wanted, engine: bool) -> None:
    """Their rules are SQL."""
    assert needs_engine(kind, wanted) is engine


@pytest.mark.parametrize("text", [" a", "a ", "1.0", "NA", "", "ä", "a\tb", "a\x00b", "7.05"])
def test_texts_that_a_cast_may_change_are_left_to_the_engine(text: str) -> None:
    """A column of keys is taken as it is where each key is visible ASCII, untrimmed and canonical."""
    key = Wanted("id", "VARCHAR", "key")
    found = READER.read(pa.array(["A-1", None, "x y", "7.5"]), key)
    assert found is not None
    assert found[0].to_pylist() == ["A-1", None, "x y", "7.5"]
    assert READER.read(pa.array(["A-1", text]), key) is None
