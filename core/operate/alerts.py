"""Which events cause an alert, and its text: plain, bounded, and without markup or mentions that a channel acts on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from core.operate.events import (
    DRIFT_DETECTED,
    MODEL_PROMOTED,
    MODEL_ROLLED_BACK,
    RELEASE_COMPLETED,
    RELEASE_ROLLED_BACK,
    RELEASE_STARTED,
    RETRAIN_FAILED,
    RETRAIN_REFUSED,
)
from core.text import readable

Level = Literal["info", "success", "warning", "failure"]

ALARMING_REFUSALS = ("validation", "leakage", "budget")
"""Refusals that need an action; the others are normal in a quiet week."""

MAX_KEY = 128
MAX_TITLE = 120
MAX_BODY = 4_000
MAX_LINE = 500
MAX_REASONS = 8

GIVE_UP_AFTER = timedelta(hours=48)
"""Age from which an alert is no longer retried, and an event causes no alert: it is no longer news."""

_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=4)

# Chat services notify all members for these words, anywhere in a message.
_CALL = re.compile(r"@(?=(?:everyone|here|channel|all|room)\b)", re.IGNORECASE)


@dataclass(frozen=True)
class Alert:
    """A message to people.

    Parameters
    ----------
    key
        What it is about: of alerts with the same key within the quiet hours, only the first is sent.
    level
        ``info``, ``success``, ``warning`` or ``failure``.
    title
        One line.
    body
        Lines of plain text.
    """

    key: str
    level: Level
    title: str
    body: str


def alert_of(event: Mapping[str, Any]) -> Alert | None:
    """Return the alert for an event; None where the event causes none.

    Parameters
    ----------
    event
        As :meth:`core.operate.events.Event.to_prefect` returns it.
    """
    name, payload = str(event["event"]), event["payload"]
    model = str(event["resource"]["prefect.resource.name"])
    if name == DRIFT_DETECTED:
        return _drift(model, payload)
    if name in (MODEL_PROMOTED, MODEL_ROLLED_BACK):
        return _champion(model, payload, back=name == MODEL_ROLLED_BACK)
    if name in _RELEASES:
        return _released(model, payload, name)
    if name == RETRAIN_FAILED:
        return _failed(model, payload)
    if name == RETRAIN_REFUSED and payload["code"] in ALARMING_REFUSALS:
        return _refused(model, payload)
    return None


def alert(key: str, level: Level, title: str, body: str) -> Alert:
    r"""Return an alert from untrusted texts: control characters and mentions are escaped, lengths are bounded.

    Parameters
    ----------
    key
        Alerts with the same key are sent once within the quiet hours.
    level
        ``info``, ``success``, ``warning`` or ``failure``.
    title, body
        One line, and lines of plain text.

    Examples
    --------
    >>> alert("k", "info", "a\tb", "one @channel\n\x1b[2Jtwo").body
    'one @ channel\n\\x1b[2Jtwo'
    """
    lines = "\n".join(_plain(line, MAX_LINE) for line in body.strip().splitlines())
    cut = lines if len(lines) <= MAX_BODY else lines[: MAX_BODY - 1] + "…"
    # Escaping makes texts longer; the database bounds both.
    return Alert(readable(key)[:MAX_KEY], level, _plain(title, MAX_TITLE)[: 2 * MAX_TITLE], cut)


def with_earlier(told: Alert, n_more: int, since: datetime) -> Alert:
    """Return an alert that also says how many earlier ones were not sent.

    Parameters
    ----------
    told
        The alert to send.
    n_more
        Number of earlier alerts of the same key that were not sent.
    since
        Moment of the first of them, aware.
    """
    if not n_more:
        return told
    note = f"{n_more:,} more of these alerts since {since:%Y-%m-%d %H:%M} UTC were not sent."
    return Alert(told.key, told.level, told.title, f"{told.body}\n\n{note}")


def wait_after(attempts: int) -> timedelta:
    """Return how long to wait after a number of failed attempts: a minute, doubled each time, four hours at most.

    Examples
    --------
    >>> [wait_after(n).total_seconds() / 60 for n in (1, 2, 5, 9, 1000)]
    [1.0, 2.0, 16.0, 240.0, 240.0]
    """
    doublings = max(0, min(attempts - 1, 20))
    return min(_FIRST_WAIT * (1 << doublings), _LONGEST_WAIT)


def _drift(model: str, payload: Mapping[str, Any]) -> Alert:
    advice = "A retraining was requested." if payload.get("retrain") else "No retraining was requested."
    return alert(
        f"drift:{model}",
        "warning",
        f"{model}: the rows have drifted",
        f"{_listed(payload['reasons'])}\n\n{advice}\nperennial drift {model}",
    )


def _champion(model: str, payload: Mapping[str, Any], *, back: bool) -> Alert:
    version, previous = payload["version"], payload["previous"]
    instead = "" if previous is None else f" in place of version {previous}"
    what = "is champion again" if back else "is champion"
    return alert(
        f"champion:{model}:{payload['sequence']}",  # every change of champion is sent
        "warning" if back else "success",
        f"{model}: version {version} {what}",
        f"Version {version} {what}{instead}, by {payload['kind']} ({payload['actor']}).\n"
        f"- {payload['reason']}\n\nperennial history {model}",
    )


_RELEASES: dict[str, tuple[Level, str]] = {
    RELEASE_STARTED: ("info", "is released step by step"),
    RELEASE_ROLLED_BACK: ("warning", "is not released"),
    RELEASE_COMPLETED: ("success", "has passed its release"),
}
"""Steps between them cause no alert: the release goes on by itself."""


def _released(model: str, payload: Mapping[str, Any], name: str) -> Alert:
    level, what = _RELEASES[name]
    version, number = payload["version"], payload["release"]
    how = payload["action"].replace("_", " ")
    return alert(
        f"release:{model}:{number}:{payload['sequence']}",  # each is sent
        level,
        f"{model}: version {version} {what}",
        f"Release {number}: {how} ({payload['actor']}).\n- {payload['reason']}\n\nperennial release {model}",
    )


def _failed(model: str, payload: Mapping[str, Any]) -> Alert:
    return alert(
        f"retrain-failed:{model}",
        "failure",
        f"{model}: a retraining failed",
        f"- {payload['reason']}\n- trigger {payload['trigger_id']}",
    )


def _refused(model: str, payload: Mapping[str, Any]) -> Alert:
    return alert(
        f"retrain-refused:{model}:{payload['code']}",
        "warning",
        f"{model}: a retraining was refused ({payload['code']})",
        f"- {payload['reason']}\n- trigger {payload['trigger_id']}",
    )


def _listed(reasons: list[str]) -> str:
    shown = [f"- {reason}" for reason in reasons[:MAX_REASONS]]
    more = len(reasons) - MAX_REASONS
    return "\n".join([*shown, *([f"- and {more} more"] if more > 0 else [])])


def _plain(text: str, limit: int) -> str:
    return readable(_CALL.sub("@ ", text), limit)
