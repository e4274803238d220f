"""Each refused cell is named with what was expected and found."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from core.notations import DateNotation
from core.score.cells import Cells, Wanted
from core.score.reasons import NOT_FINITE, refusal_reasons


def test_a_row_has_a_sentence_for_each_refused_cell() -> None:
    """In the order of the columns, without control characters; a row without one has no finite answer."""
    wanted = (
        Wanted("age", "DOUBLE"),
        Wanted("since", "TIMESTAMP", notation=DateNotation(("%d.%m.%Y",))),
        Wanted("id", "VARCHAR", "key"),
        Wanted("owner", "BOOLEAN"),
    )
    cells = Cells(4)
    cells.refused = {
        "age": np.array([True, False, True, False]),
        "since": np.array([True, False, False, False]),
        "id": np.array([False, False, True, False]),
        "owner": np.array([False, True, False, False]),
    }
    texts = {
        "age": pa.array(["young", "1", "inf", "2"]),
        "since": pa.array(["2026-13-01", None, None, None]),
        "id": pa.array(["a", "b", "c\x00", "d"]),
        "owner": pa.array(["", "maybe", "", ""]),
    }
    found = refusal_reasons(cells, np.arange(4), texts, wanted)
    assert found[0].startswith("column 'age': expected a number, found 'young'; column 'since': expected a date")
    assert found[1] == "column 'owner': expected true or false, found 'maybe'"
    assert found[2].startswith("column 'age': expected a finite number of at most 3.403e+38, found 'inf'; column 'id'")
    assert "\x00" not in found[2]
    assert found[3] == NOT_FINITE
