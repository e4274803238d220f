"""Alerts and deliveries as lines."""

from __future__ import annotations

from collections.abc import Sequence

from cli.output import table
from store.alerts import StoredAlert
from tasks.operate.alerts import Delivery


def alert_lines(alerts: Sequence[StoredAlert]) -> list[str]:
    """Return a table of alerts, one row each."""
    if not alerts:
        return ["no alerts yet"]
    rows = [
        (f"{one.created_at:%Y-%m-%d %H:%M}", one.destination, one.status, one.level, one.title, str(one.n_more or ""))
        for one in alerts
    ]
    return table(("AT (UTC)", "TO", "STATUS", "LEVEL", "WHAT", "MORE"), rows)


def delivery_lines(deliveries: Sequence[Delivery]) -> list[str]:
    """Return a line for each destination."""
    return [f"{one.destination}: {one.problem or 'ok'}" for one in deliveries]
