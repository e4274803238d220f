"""What is known of a model's data, as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from core.data.history import BatchEntry, DataHistory, VersionEntry

OLD = VersionEntry("0" * 32 + ".dir", None, None, 1, None, "", is_current=False)
NEW = VersionEntry("1" * 32 + ".dir", datetime(2026, 1, 2, 3, tzinfo=UTC), 10, 2, 100, "c" * 40, is_current=True)
BATCH = BatchEntry("0001-a", 10, 100, "rows.csv", datetime(2025, 12, 1), None, None, None)


def test_the_current_version_is_the_one_of_the_working_copy() -> None:
    """Not the newest: an older one may have been restored."""
    assert DataHistory("credit", (OLD, NEW), ()).current == NEW.version
    restored = (replace(OLD, is_current=True), replace(NEW, is_current=False))
    assert DataHistory("credit", restored, ()).current == OLD.version
    assert DataHistory("credit", (OLD,), ()).current is None


def test_the_document_is_json() -> None:
    """Moments are ISO 8601, with a zone where they have one; what is not known is null."""
    content = json.loads(json.dumps(DataHistory("credit", (OLD, NEW), (BATCH,)).to_dict()))
    assert [one["created_at"] for one in content["versions"]] == [None, "2026-01-02T03:00:00+00:00"]
    (batch,) = content["batches"]
    assert (batch["first_time"], batch["last_time"]) == ("2025-12-01T00:00:00", None)
