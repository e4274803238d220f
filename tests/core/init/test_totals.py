from __future__ import annotations

from typing import Any

import pytest

from core.init.totals import LastRow, totals_doubt, totals_reason


def row(**known: Any) -> LastRow:
    """Build a last row of five filled cells."""
    return LastRow(**{"texts": {}, "n_empty": 0, "n_columns": 5, "sums": [], **known})


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (row(texts={"id": "Total"}, sums=["x"]), "'Total' in 'id'; 'x' has the sum or the mean of the rows above"),
        (row(texts={"id": "GRAND TOTAL:"}, n_empty=2), "'GRAND TOTAL:' in 'id'; 2 of its 5 cells are empty"),
        (row(texts={"id": "Summe"}, sums=["x"]), "'Summe' in 'id'; 'x' has the sum or the mean of the rows above"),
        (row(sums=["x", "y"]), "'x', 'y' have the sum or the mean of the rows above"),
        (row(sums=["x"]), ""),
        (row(texts={"id": "Total Energies SE"}, sums=["x"]), ""),
        (row(n_empty=4), ""),
        (row(texts={"id": "Total"}), ""),
    ],
)
def test_a_row_of_totals_is_known_by_its_word_and_its_sums(found: LastRow, reason: str) -> None:
    """A word needs a sum or empty cells, sums without a word need to be two."""
    assert totals_reason(found) == reason


def test_a_word_alone_is_a_doubt() -> None:
    """It may be a value; a row that is refused has no remark."""
    assert totals_doubt(row(texts={"brand": "total"})) == (
        "the last row has 'total' in 'brand'; if it is a row of totals, remove it"
    )
    assert totals_doubt(row(texts={"brand": "total"}, sums=["x"])) == ""
    assert totals_doubt(row(texts={"brand": "shell"})) == ""
