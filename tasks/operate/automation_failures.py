"""Detect failed actions of our Prefect automations; Prefect reports them only by an event."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from config.settings import Settings
from core.text import readable
from store.database import open_database
from tasks.operate.alerts import record_alert
from tasks.runs.api import prefect_client

ACTION_FAILED = "prefect.automation.action.failed"
OURS = "perennial"
"""Prefix of the names of our automations."""

HARMLESS = "already in terminal state"
"""A run of a second or two ends before its first heartbeat arrives; marking it as silent then fails harmlessly."""

EVERY = timedelta(seconds=60)
OVERLAP = timedelta(minutes=5)
"""Overlap of two searches: events reach Prefect's database some seconds after they occurred."""

MAX_REASON = 1_000


class FailureWatch:
    """Searches once a minute for failed actions of our automations, and records alerts.

    Parameters
    ----------
    settings
        Names the database and the Prefect API.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._since = datetime.now(UTC) - OVERLAP
        self._next_look = datetime.now(UTC)
        self._told: set[str] = set()

    def look(self) -> int:
        """Record an alert for each new failure; return how many.

        Raises
        ------
        StorageError
            Prefect or the database is unavailable.
        """
        now = datetime.now(UTC)
        if now < self._next_look:
            return 0
        failures = {
            id_: text for id_, text in failed_actions(self._settings, self._since).items() if id_ not in self._told
        }
        for id_, (name, reason) in failures.items():
            title = f"The automation {readable(name)!r} failed"
            body = f"Prefect reports: {reason}. Until this is fixed, only the relay or a person starts these runs"
            record_alert(open_database(self._settings.database_url), f"automation:{name}"[:128], "failure", title, body)
            self._told.add(id_)
        self._next_look, self._since = now + EVERY, now - OVERLAP
        return len(failures)


def failed_actions(settings: Settings, since: datetime) -> dict[str, tuple[str, str]]:
    """Return failed actions of our automations after a moment: event id to the automation's name and the reason."""
    asked = {
        "filter": {"event": {"name": [ACTION_FAILED]}, "occurred": {"since": since.isoformat()}},
        "limit": 50,
    }
    with prefect_client(settings) as client:
        found = client.request("POST", "/events/filter", json=asked).json()["events"]
    told = {}
    for event in found:
        name, reason = event["resource"].get("prefect.resource.name", ""), str(event["payload"].get("reason", ""))
        if name.startswith(OURS) and HARMLESS not in reason:
            told[event["id"]] = (name, readable(reason or "no reason given", MAX_REASON))
    return told
