"""What a delivery of a source brought, in sentences."""

import pytest

from core.data.deliveries import row_notes, source_id
from core.references import RowCounts


@pytest.mark.parametrize(
    ("counts", "n_written", "keyed", "notes"),
    [
        (RowCounts(), 800, False, ()),
        (RowCounts(n_known=1), 0, False, ("1 row: 1 known from earlier batches and left out, 0 new",)),
        (
            RowCounts(n_known=30, n_replaced=5, n_gone=15),
            7,
            True,
            (
                "37 rows: 30 known from earlier batches and left out, 5 in place of an older row of the same key, "
                "2 new",
                "not in this delivery: 15 rows of earlier batches of this source, kept in the data",
            ),
        ),
        (RowCounts(n_gone=1000), 10, True, ()),
        (
            RowCounts(n_gone=1000),
            10,
            False,
            (
                "not in this delivery: 1,000 rows of earlier batches of this source, kept in the data; "
                "if the source delivers new rows only, set 'source.append: true'",
            ),
        ),
        (
            RowCounts(n_known=20, not_compared=("note",)),
            5,
            False,
            (
                "25 rows: 20 known from earlier batches and left out, 5 new",
                "compared without note, which the model file declares and earlier batches lack: "
                "known rows stay without a value there",
            ),
        ),
    ],
)
def test_the_numbers_are_told(counts: RowCounts, n_written: int, keyed: bool, notes: tuple[str, ...]) -> None:
    """Nothing is said of a first batch, nor of keys that a delivery of new rows alone does not hold."""
    assert row_notes(counts, n_written, keyed=keyed) == notes


def test_a_source_is_recognised_by_its_name() -> None:
    """Neither the spelling of a path nor more simulated months make another source; addresses stay as they are."""
    assert source_id("./raw/") == source_id("raw")
    assert source_id("12 simulated months (seed 7)") == source_id("14 simulated months (seed 7)")
    assert source_id("s3://raw/") == "s3://raw/"
    assert source_id("./") == source_id("./")
