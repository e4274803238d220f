"""What the result and the record of an erasure tell."""

from __future__ import annotations

from datetime import UTC, datetime

from core.erasure.outcome import ErasureOutcome, ErasureRecord, Found, Remaining, Removed, together


def test_numbers_of_one_place_are_summed_up() -> None:
    """Labels by id and by key are one line; the order is that of the parts."""
    parts = (
        Found((Removed("labels", "label_history", 2),), (Remaining("source", "rows.csv", "why"),)),
        Found((Removed("snapshots", "a", 1), Removed("labels", "label_history", 3), Removed("snapshots", "b", 1))),
    )
    found = together(parts)
    assert [(one.what, one.where, one.n) for one in found.removed] == [
        ("labels", "label_history", 5),
        ("snapshots", "a", 1),
        ("snapshots", "b", 1),
    ]
    assert len(found.remaining) == 1


def test_the_record_has_numbers_and_no_names() -> None:
    """The name of a file may contain the key."""
    outcome = ErasureOutcome(
        "credit",
        False,
        (Removed("scored rows", "/out/4711.csv", 2), Removed("scored rows", "/out/b.csv", 1)),
        (Remaining("scored output", "/home/4711.csv", "elsewhere", 3), Remaining("source", "4711.csv", "why")),
        "id",
    )
    assert outcome.record() == {"removed": {"scored rows": 3}, "remaining": {"scored output": 1, "source": 1}}
    assert "4711" not in str(outcome.record())
    assert outcome.to_dict()["removed"][0] == {"what": "scored rows", "where": "/out/4711.csv", "n": 2}


def test_an_interrupted_erasure_has_no_end() -> None:
    """Times are texts in the document."""
    at = datetime(2026, 3, 1, tzinfo=UTC)
    record = ErasureRecord("id", "credit", "ada@host", "", at, None, {})
    assert (record.to_dict()["started_at"], record.to_dict()["finished_at"]) == ("2026-03-01T00:00:00+00:00", None)
