"""The columns of an output."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from core.errors import ConfigError
from core.feature_contract import FeatureContract
from core.score.cells import Cells, wanted_columns
from core.score.output import output_columns, output_schema, output_table

CONTRACT = FeatureContract("binary", "y", ("no", "yes"), ("income",), (), (), (), key="id")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_key_time_and_answers_are_there_and_features_where_asked_for() -> None:
    """Classes by their names; the table has the schema."""
    wanted = wanted_columns(CONTRACT, "at", ("income", "id", "at", "more"))
    plain = output_columns(CONTRACT, wanted, features=False)
    answers = ("probability_no", "probability_yes")
    assert plain.names == ("id", "at", "row", "prediction_id", "model_version", "predicted_at", *answers)
    full = output_columns(CONTRACT, wanted, features=True)
    assert full.names[:3] == ("id", "at", "income")
    times = pa.array([AT.replace(tzinfo=None), None], pa.timestamp("us"))
    cells = Cells(2, {"income": pa.array([1.0, None]), "id": pa.array(["a", None]), "at": times})
    answers_ = np.array([[0.25, 0.75], [1, 0]], dtype=np.float32)
    table = output_table(cells, np.array([7, 9]), answers_, full, run="ab", version=3, at=AT)
    assert table.schema == output_schema(full)
    assert table["probability_yes"].to_pylist() == [0.75, 0]
    assert (table["row"].to_pylist(), table["predicted_at"].to_pylist()) == ([7, 9], [AT, AT])


def test_a_column_that_would_stand_twice_is_refused() -> None:
    """A feature named like an added column can only be left out."""
    contract = FeatureContract("regression", "y", (), ("row",), (), (), ())
    wanted = wanted_columns(contract, None, ("row",))
    assert output_columns(contract, wanted, features=False).answers == ("value",)
    with pytest.raises(ConfigError, match="two columns named 'row'"):
        output_columns(contract, wanted, features=True)
