"""The flow ``prune`` on a real Prefect server."""

from __future__ import annotations

import time
from typing import Any

import pytest

from config.settings import Settings
from core.retention.outcome import PruneOutcome, Removal
from tests.tasks.prune.files import aged

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def test_what_is_removed_is_an_event_in_prefect(
    project: Settings, prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The flow removes, and tells Prefect what; a repeat finds nothing and tells nothing."""
    assert prefect_api
    from flows.prune import prune

    monkeypatch.setenv("PERENNIAL_RETENTION_SNAPSHOTS", "1")
    for number in range(2):
        aged(project.var / "snapshots" / "seldom" / f"{number:032x}" / "rows.parquet", 9 - number)
    outcome = prune()
    name = f"{0:032x}"
    assert outcome == PruneOutcome(False, (Removal("snapshots", "seldom", 1, 100, (name,)),))
    [event] = _events("perennial.retention.pruned")
    assert event["resource"]["prefect.resource.id"] == "perennial.model.seldom"
    removed = {"kind": "snapshots", "model": "seldom", "n": 1, "size_bytes": 100, "names": [name]}
    assert event["payload"]["removed"] == [removed]
    assert prune() == PruneOutcome(False, ())


def _events(name: str) -> list[dict[str, Any]]:
    """Events of a name on the server; they arrive by a queue."""
    from prefect.client.orchestration import get_client

    found: list[dict[str, Any]] = []
    for _attempt in range(50):
        with get_client(sync_client=True) as client:
            answer = client._client.post("/events/filter", json={"filter": {"event": {"name": [name]}}, "limit": 50})
        # Other tests of this process prune on the same server.
        found = [one for one in answer.json()["events"] if one["resource"]["prefect.resource.name"] == "seldom"]
        if found:
            return found
        time.sleep(0.2)
    return found
