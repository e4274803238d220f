from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest

from core.errors import SourceError
from tasks.init.inspection.markers import lost_levels, second_names
from tasks.init.model_file import init_model
from tests.factories import make_project

ROWS = pd.DataFrame(
    {
        "weight": [str(place / 7) for place in range(60)],
        "sign": ["+", "-", "0"] * 20,
        "pieces": [str(place % 11) for place in range(60)],
        "y": ["yes", "no", "no", "yes"] * 15,
    }
)


def test_a_marker_that_is_a_level_elsewhere_is_remarked_upon() -> None:
    """source.missing applies to every column; texts that mean no value everywhere need no remark."""
    with duckdb.connect() as connection:
        connection.register("t", ROWS)
        remarks = lost_levels(connection, "t", ["-", "NA", "x"], {"sign": "sign", "y": "y"})
    assert len(remarks) == 1
    assert remarks[0].startswith("'-' means no value among numbers or dates")
    assert "33.3 % of the rows of 'sign'" in remarks[0]


@pytest.mark.parametrize(
    ("first", "found"),
    [
        ({"weight": "kg", "pieces": "pcs"}, "'kg' in 'weight', 'pcs' in 'pieces'"),
        ({"weight": "---------", "pieces": "-----"}, "'---------' in 'weight', '-----' in 'pieces'"),
        ({"weight": "kg", "pieces": "7"}, ""),
        ({"weight": "kg", "pieces": None}, ""),
        ({"weight": "n/a", "pieces": "-"}, ""),
    ],
)
def test_a_second_line_of_names_has_no_number(first: dict[str, str | None], found: str) -> None:
    """One odd text may be an error of one cell, and markers of a missing value are a row."""
    rows = pd.concat([pd.DataFrame([ROWS.iloc[0].to_dict() | first]), ROWS])
    with duckdb.connect() as connection:
        connection.from_df(rows).create("t")
        typed = {name: (name, [(text, 1)] if text and not text.isdigit() else []) for name, text in first.items()}
        assert second_names(connection, "t", typed) == found


def test_a_line_of_units_is_refused_by_its_texts(tmp_path: Path) -> None:
    """It would be a row without a value, and its texts would mean no value in every column."""
    units = pd.DataFrame([{"weight": "kg", "sign": "", "pieces": "pcs", "y": ""}])
    pd.concat([units, ROWS]).to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(SourceError, match="the first row has 'kg' in 'weight', 'pcs' in 'pieces'"):
        init_model(str(tmp_path / "rows.csv"), "y", make_project(tmp_path))
