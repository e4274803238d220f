from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import pytest

from core.metrics.slices import slice_rows
from tests.work import measured


def test_every_row_is_in_one_slice_of_each_column() -> None:
    """Missing and boolean levels have their canonical names, the largest level comes first, equals by name."""
    frame = pd.DataFrame(
        {
            "owner": np.array([True, False, None, True, False], dtype=object),
            "region": pd.Series(["b", "a", "a", None, "b"], dtype="str"),
        }
    )
    found = [(part.column, part.level, part.rows.tolist()) for part in slice_rows(frame, ("owner", "region"))]
    assert found == [
        ("owner", "false", [1, 4]),
        ("owner", "true", [0, 3]),
        ("owner", "(missing)", [2]),
        ("region", "a", [1, 2]),
        ("region", "b", [0, 4]),
        ("region", "(missing)", [3]),
    ]


@pytest.mark.parametrize("kind", ["str", "category", "object"])
def test_levels_beyond_the_tenth_are_one_slice(kind: Literal["str", "category", "object"]) -> None:
    """The ten largest levels stand alone, the others together at the end."""
    levels = np.repeat([f"r{number:02}" for number in range(14)], np.arange(14, 0, -1))
    parts = list(slice_rows(pd.DataFrame({"region": pd.Series(levels).astype(kind)}), ("region",)))
    assert [part.level for part in parts] == [f"r{number:02}" for number in range(10)] + ["(other)"]
    assert len(parts[-1].rows) == 4 + 3 + 2 + 1


def test_a_column_of_ten_thousand_values_is_eleven_slices() -> None:
    """It costs no more than a moment, and no row is lost."""
    values = pd.Series(np.random.default_rng(1).integers(0, 10_000, 100_000)).astype("str")
    with measured() as work:
        parts = list(slice_rows(pd.DataFrame({"postcode": values}), ("postcode",)))
    assert work.units < 40
    assert len(parts) == 11
    assert sum(len(part.rows) for part in parts) == 100_000


def test_no_rows_are_no_slices() -> None:
    """An empty frame is cut into nothing."""
    assert list(slice_rows(pd.DataFrame({"region": pd.Series([], dtype="str")}), ("region",))) == []
