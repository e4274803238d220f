"""Values of the prediction log mean what they mean in a file and in a request."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pyarrow as pa
import pytest

from core.feature_contract import FeatureContract
from core.notations import DateNotation, NumberNotation, to_json
from core.served.values import ServedValues


def contract(**changes: Any) -> FeatureContract:
    """Return a contract with a column of each kind."""
    kinds: dict[str, Any] = {
        "task": "binary",
        "target": "y",
        "classes": ("0", "1"),
        "numeric": ("income",),
        "categorical": ("region",),
        "boolean": ("owner",),
        "dates": ("joined",),
        "missing": ("", "NA"),
    }
    return FeatureContract(**{**kinds, **changes})


def one(reader: ServedValues, **values: Any) -> dict[str, Any]:
    """Return a row's values as Python's."""
    row = {"income": None, "region": None, "owner": None, "joined": None, **values}
    return {name: column.to_pylist()[0] for name, column in reader.columns([row]).items()}


def test_the_types_are_those_of_stored_batches() -> None:
    """Also where all values of a column are missing."""
    found = ServedValues(contract()).columns([dict.fromkeys(("income", "region", "owner", "joined"))])
    types = {name: column.type for name, column in found.items()}
    assert types == {
        "income": pa.float64(),
        "region": pa.string(),
        "owner": pa.bool_(),
        "joined": pa.timestamp("us"),
    }
    assert [column.null_count for column in found.values()] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("sent", "level"), [(" north ", "north"), ("3.0", "3"), ("NA", None), ("", None), ("NaN", "NaN")]
)
def test_a_text_is_the_level_that_ingestion_makes_of_it(sent: str, level: str | None) -> None:
    """Surrounding space and a fraction of zero go; texts that mean no value are missing."""
    assert one(ServedValues(contract()), region=sent)["region"] == level


def test_levels_of_an_older_bundle_are_the_texts_as_sent() -> None:
    """Its contract names no texts that mean a missing value."""
    reader = ServedValues(contract(missing=None))
    assert [one(reader, region=sent)["region"] for sent in (" a", "3.0", "")] == [" a", "3.0", ""]


def test_dates_are_utc_without_a_zone() -> None:
    """As in stored batches."""
    found = one(ServedValues(contract()), joined="2026-03-01T01:30:00+02:00")
    assert found["joined"] == datetime(2026, 2, 28, 23, 30)


def test_notations_of_the_contract_are_read() -> None:
    """Texts of numbers and dates, and numbers that count from 1970."""
    notations = {"income": to_json(NumberNotation(",", ".")), "joined": to_json(DateNotation(("seconds",)))}
    reader = ServedValues(contract(notations=notations))
    assert one(reader, income="1.234,5", joined=86_400) == {
        "income": 1234.5,
        "region": None,
        "owner": None,
        "joined": datetime(1970, 1, 2),
    }
    assert one(reader, income=" NA ")["income"] is None


def test_many_levels_are_read_without_remembering_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of texts is bounded."""
    monkeypatch.setattr("core.served.values.MAX_REMEMBERED", 3)
    reader = ServedValues(contract())
    rows = [{"income": 1, "region": f"r{place}", "owner": True, "joined": None} for place in range(20)]
    for _ in range(2):
        assert reader.columns(rows)["region"].to_pylist() == [row["region"] for row in rows]
