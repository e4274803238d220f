"""What a delivery of a source brought, in sentences."""

import pytest

from core.data.deliveries import ReadBefore, file_notes, files_to_read, row_notes, source_id
from core.references import DeliveredFiles, RowCounts


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
            RowCounts(n_known=20, n_gone=20),
            0,
            False,
            (
                "20 rows: 20 known from earlier batches and left out, 0 new",
                "not in this delivery: 20 rows of earlier batches of this source, kept in the data",
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


def batch(name: str, *files: str, n_known: int = 0) -> ReadBefore:
    """Build the record of a batch of 80 rows."""
    return ReadBefore(name, 80, 80 + n_known, files, "how", f"fingerprint of {name}")


@pytest.mark.parametrize(
    ("files", "before", "append", "read", "held"),
    [
        ("ab", [], False, "ab", ""),
        ("ab", [batch("1", "a")], False, "b", "1"),
        ("ab", [batch("1", "a", "c")], False, "ab", ""),
        ("ab", [batch("1", "a", "c")], True, "b", "1"),
        ("ab", [batch("1", "a", n_known=1)], False, "ab", ""),
        ("ab", [batch("1", "a", n_known=1)], True, "b", "1"),
        ("aab", [batch("1", "a")], False, "b", "1"),
        ("aab", [], False, "ab", ""),
        ("aab", [], True, "ab", ""),
        ("aab", [batch("1", "a")], True, "b", "1"),
        ("aab", [batch("1", "a", "a"), batch("2", "b")], False, "", "12"),
        ("a", [batch("1")], False, "a", ""),
    ],
)
def test_files_are_left_out_with_their_batches(
    files: str, before: list[ReadBefore], append: bool, read: str, held: str
) -> None:
    """Copies are read once, and a file is left out if a batch holds its rows, or of an appending source its content."""
    places, batches = files_to_read(files, "how", before, append=append)
    assert "".join(files[place] for place in places) == read
    assert "".join(one.batch for one in batches) == held
    if not append:
        places, batches = files_to_read(files, "in another way", before, append=False)
        assert ("".join(files[place] for place in places), batches) == ("".join(dict.fromkeys(files)), [])


def test_files_that_were_not_read_are_told() -> None:
    """With their number; nothing is said if all were read, or there are no files."""
    assert file_notes(DeliveredFiles(("a", "b", "c"), ("c",))) == (
        "2 of 3 files have the content of another file, or of one that was read before: not read again",
    )
    assert file_notes(DeliveredFiles(("a",), ("a",))) == file_notes(DeliveredFiles()) == ()


def test_a_source_is_recognised_by_its_name() -> None:
    """Neither the spelling of a path nor more simulated months make another source; addresses stay as they are."""
    assert source_id("./raw/") == source_id("raw")
    assert source_id("12 simulated months (seed 7)") == source_id("14 simulated months (seed 7)")
    assert source_id("s3://raw/") == "s3://raw/"
    assert source_id("./") == source_id("./")
