"""Alerts and deliveries as lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cli.lines.alerts import alert_lines, delivery_lines
from store.alerts import StoredAlert
from tasks.operate.alerts import Delivery

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def _alert(title: str, n_more: int, next_at: datetime | None, sent_at: datetime | None) -> StoredAlert:
    return StoredAlert("1", "k", "slack", "warning", title, "body", AT, n_more, 1, next_at, sent_at)


def test_each_alert_says_whether_it_arrived() -> None:
    """Sent, waiting or given up; what was held back is counted, and none is no zero."""
    header, sent, waiting, given_up = alert_lines(
        [_alert("drift", 3, None, AT), _alert("drift", 0, AT + timedelta(hours=1), None), _alert("lost", 0, None, None)]
    )
    assert header.split() == ["AT", "(UTC)", "TO", "STATUS", "LEVEL", "WHAT", "MORE"]
    assert sent.split("  ")[0] == "2026-01-02 03:04"
    assert [line.split()[3] for line in (sent, waiting)] == ["sent", "waiting"]
    assert "given up" in given_up
    assert sent.endswith("3")
    assert waiting.endswith("drift")


def test_without_alerts_there_is_a_sentence() -> None:
    """An empty table says nothing."""
    assert alert_lines([]) == ["no alerts yet"]


def test_a_destination_that_failed_says_why() -> None:
    """The others are ok."""
    assert delivery_lines([Delivery("slack", None), Delivery("mail", "refused")]) == ["slack: ok", "mail: refused"]
