"""Deliver alerts to the destinations in PERENNIAL_ALERTS_URLS."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import Engine

from config.settings import PACKAGES, AlertSettings, Settings, load_section
from core.errors import ConfigError
from core.operate.alerts import GIVE_UP_AFTER, Alert, Level, alert_of, wait_after
from core.operate.alerts import alert as new_alert
from store.alerts import (
    StoredAlert,
    claim_alerts,
    decide_alerts,
    mark_delivered,
    newest_alerts,
    postpone_alert,
    put_alert,
)
from store.database import open_database, writing

logger = logging.getLogger("perennial.alerts")

SCHEMES = (
    *("mailto", "mailtos", "json", "jsons", "form", "forms", "xml", "xmls", "https"),
    *("slack", "discord", "gchat", "workflow", "workflows", "webex", "wxteams", "zulip", "tgram"),
    *("matrix", "matrixs", "mmost", "mmosts", "rocket", "rockets"),
    *("ntfy", "ntfys", "gotify", "gotifys", "pover"),
    *("opsgenie", "pagerduty", "pagertree", "signl4", "splunk", "victorops", "twilio"),
    *("brevo", "mailgun", "postmark", "resend", "sendgrid", "smtp2go", "sparkpost"),
)
"""Supported services of Apprise: those that post to an HTTP service or send e-mail, and do nothing on this machine.

``https`` covers services that are configured by their webhook URL; Apprise recognizes them by the host.
"""

AT_ONCE = 8
"""Maximum concurrent deliveries, each in its own process."""

# Environment variables for Python, certificates and proxies; none of our secrets.
_ENVIRONMENT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


@dataclass(frozen=True)
class Delivery:
    """Result of a message at one destination; ``problem`` is None if it was delivered."""

    destination: str
    problem: str | None

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        return {"destination": self.destination, "delivered": self.problem is None, "problem": self.problem}


def alert(settings: Settings) -> int:
    """Decide which new events need alerts, deliver due alerts, and return how many were delivered.

    A repeat delivers nothing twice, unless it was killed between a delivery and its record. A destination that fails
    does not affect the others.

    Raises
    ------
    ConfigError
        A setting is malformed.
    StorageError
        The database failed.
    """
    given, engine = load_section(AlertSettings), open_database(settings.database_url)
    named = destinations(given)
    now = datetime.now(UTC)
    while decide_alerts(engine, lambda event: _told(event, now), tuple(named), _quiet(given), now):
        pass
    # The claim outlasts the slowest destination, so that no other relay delivers the same alerts.
    due = claim_alerts(engine, now, now + timedelta(seconds=3 * given.timeout_seconds))
    groups = {name: list(alerts) for name, alerts in groupby(sorted(due, key=_destination), key=_destination)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        counts = pool.map(lambda name: _deliver_due(engine, groups[name], named.get(name), given), groups)
        return sum(counts)


def record_alert(engine: Engine, key: str, level: Level, title: str, body: str) -> None:
    """Record an alert that has no event, such as an unavailable Prefect server; do nothing without a destination."""
    given = load_section(AlertSettings)
    with writing(engine) as connection:
        put_alert(connection, new_alert(key, level, title, body), destinations(given), _quiet(given), datetime.now(UTC))


def destinations(given: AlertSettings) -> dict[str, str]:
    """Return the configured URLs by displayable names, such as ``slack:1``, ``mailtos:1``, ``mailtos:2``.

    Raises
    ------
    ConfigError
        A destination is of an unsupported kind, or disables TLS verification.
    """
    named: dict[str, str] = {}
    for place, url in enumerate(given.destinations, start=1):
        scheme = url.partition("://")[0].lower()
        _check(place, scheme, url)
        number = 1 + sum(name.startswith(f"{scheme}:") for name in named)
        named[f"{scheme}:{number}"] = url
    return named


def check_destinations() -> list[str]:
    """Return the names of the destinations after Apprise has parsed each; no connection is made.

    Raises
    ------
    ConfigError
        Apprise cannot parse a destination.
    """
    given = load_section(AlertSettings)
    named = destinations(given)
    for name, url in named.items():
        [problem] = deliver(url, [], given)
        if problem is not None:
            raise ConfigError(f"destination {name} in PERENNIAL_ALERTS_URLS: {problem}; see docs/events.md")
    return list(named)


def send_test(settings: Settings) -> list[Delivery]:
    """Send a test message to every destination, and return the results.

    Raises
    ------
    ConfigError
        There is no destination, or one is of an unsupported kind.
    """
    given = load_section(AlertSettings)
    named = destinations(given)
    if not named:
        raise ConfigError("no destination is configured; set PERENNIAL_ALERTS_URLS, see docs/events.md")
    message = new_alert("test", "info", "Perennial: a test", f"Alerts of {settings.root.name} arrive here.")
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = pool.map(lambda url: deliver(url, [message], given), named.values())
        return [Delivery(name, problem) for name, [problem] in zip(named, answers, strict=True)]


def list_alerts(settings: Settings, limit: int) -> list[StoredAlert]:
    """Return the newest alerts, newest first."""
    return newest_alerts(open_database(settings.database_url), limit)


def deliver(url: str, messages: Sequence[Alert | StoredAlert], given: AlertSettings) -> list[str | None]:
    """Hand messages to a destination, in a separate process; see :mod:`tasks.operate.alert_delivery`.

    Returns
    -------
    list
        For each message None if it was delivered, else the reason. Without messages, only the URL is checked.
    """
    texts = [{"level": one.level, "title": one.title, "body": one.body} for one in messages]
    request = json.dumps({"url": url, "allow": given.allowed, "messages": texts})
    root = PACKAGES
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "tasks.operate.alert_delivery"],
            input=request.encode(),
            capture_output=True,
            timeout=given.timeout_seconds,
            env={**environment, "PYTHONPATH": str(root)},
            cwd=root,
            check=False,
        )
        output, silence = ended.stdout, "the delivery ended without an answer"
    except subprocess.TimeoutExpired as error:
        output, silence = error.stdout or b"", f"no answer within {given.timeout_seconds:g} s"
    answers = [json.loads(line) for line in output.splitlines()]
    expected = max(1, len(messages))
    if len(answers) == expected:
        return answers
    last = next((problem for problem in answers if problem is not None), silence)
    return [*answers, *[last] * (expected - len(answers))]


def _deliver_due(engine: Engine, due: Sequence[StoredAlert], url: str | None, given: AlertSettings) -> int:
    """Deliver the alerts of one destination, record each result, and return how many were delivered."""
    gone = "it is no longer in PERENNIAL_ALERTS_URLS"
    problems = [gone] * len(due) if url is None else deliver(url, due, given)
    for one, problem in zip(due, problems, strict=True):
        now = datetime.now(UTC)
        if problem is None:
            mark_delivered(engine, one.id, now)
        else:
            _put_off(engine, one, problem, now, for_good=url is None)
    return sum(problem is None for problem in problems)


def _put_off(engine: Engine, one: StoredAlert, problem: str, now: datetime, *, for_good: bool) -> None:
    attempts = one.attempts + 1
    again = now + wait_after(attempts)
    if for_good or again - one.created_at > GIVE_UP_AFTER:
        logger.warning("alert %r was not delivered to %s; giving up: %s", one.title, one.destination, problem)
        postpone_alert(engine, one.id, attempts, None)
        return
    logger.warning("alert %r was not delivered to %s (attempt %d): %s", one.title, one.destination, attempts, problem)
    postpone_alert(engine, one.id, attempts, again)


def _told(event: Mapping[str, Any], now: datetime) -> Alert | None:
    if now - datetime.fromisoformat(event["occurred"]) > GIVE_UP_AFTER:
        return None
    return alert_of(event)


def _check(place: int, scheme: str, url: str) -> None:
    # The URL may contain a secret; without '://', even its start may be one.
    where = f"destination {place} in PERENNIAL_ALERTS_URLS"
    if "://" not in url:
        raise ConfigError(f"{where} is not a URL such as mailtos://… or slack://…; see docs/events.md")
    if scheme not in SCHEMES:
        raise ConfigError(f"{where} has an unsupported scheme; supported are: {', '.join(SCHEMES)}")
    if any(name.lower() == "verify" for name, _ in parse_qsl(url.partition("?")[2])):
        raise ConfigError(
            f"{where} sets 'verify'; certificates are always verified. Set SSL_CERT_FILE to trust your own"
        )


def _quiet(given: AlertSettings) -> timedelta:
    return timedelta(hours=given.quiet_hours)


def _destination(one: StoredAlert) -> str:
    return one.destination
