"""People are told of what needs them, once, at every destination that can be reached."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine

import cli.main
from config.settings import AlertSettings, Settings, load_section
from core.errors import ConfigError
from core.operate.alerts import Alert
from core.operate.events import champion_changed, retrain_failed
from store.alerts import StoredAlert, newest_alerts, postpone_alert, put_alert
from store.database import open_database, writing
from store.events import record_event
from tasks.operate.alerts import SCHEMES, alert, check_destinations, destinations, record_alert, send_test
from tests.tasks.operate.destinations import Received, mail_server, webhook

Configure = Callable[..., None]


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Return what sets the destinations; this machine may be reached."""
    for name in ("URLS", "QUIET_HOURS", "TIMEOUT_SECONDS"):
        monkeypatch.delenv(f"PERENNIAL_ALERTS_{name}", raising=False)
    monkeypatch.setenv("PERENNIAL_ALERTS_ALLOW", "127.0.0.1")

    def configured(*urls: str, **given: str) -> None:
        monkeypatch.setenv("PERENNIAL_ALERTS_URLS", " ".join(urls))
        for name, value in given.items():
            monkeypatch.setenv(f"PERENNIAL_ALERTS_{name.upper()}", value)

    return configured


@pytest.fixture
def engine(project: Settings) -> Engine:
    """Return the project's database."""
    return open_database(project.database_url)


@pytest.fixture
def hook() -> Iterator[Received]:
    """Return a webhook."""
    with webhook() as received:
        yield received


def fail(engine: Engine, trigger: str = "t1", age: timedelta = timedelta(0), reason: str = "MLflow is away") -> None:
    """Let a retraining fail some time ago."""
    with writing(engine) as connection:
        record_event(connection, retrain_failed("credit", trigger, reason, datetime.now(UTC) - age))


def due_now(engine: Engine) -> None:
    """Let the time pass that a destination is left alone."""
    for one in newest_alerts(engine):
        if one.status == "waiting":
            postpone_alert(engine, one.id, one.attempts, datetime.now(UTC) - timedelta(seconds=1))


def texts(received: Received) -> list[dict[str, Any]]:
    """Return the bodies that arrived."""
    return [json.loads(body) for _, body in received.requests]


def only(engine: Engine) -> StoredAlert:
    """Return the only alert."""
    [one] = newest_alerts(engine)
    return one


def test_what_needs_somebody_arrives_once_everywhere(
    configure: Configure, engine: Engine, project: Settings, hook: Received
) -> None:
    """By webhook, by a chat and by e-mail; a second call finds nothing to tell."""
    with mail_server() as mail, webhook() as chat:
        configure(
            f"json://127.0.0.1:{hook.port}/alerts",
            f"mmost://127.0.0.1:{chat.port}/abcdefghijklmnopqrstuvwxyz",
            f"mailto://127.0.0.1:{mail.port}?from=perennial@example.com&to=ann@example.com,ben@example.com",
        )
        fail(engine, reason="<!channel> @channel **look** <https://evil.example|here>")
        assert [alert(project) for _ in range(2)] == [3, 0]
        [body] = texts(hook)
        assert (body["title"], body["type"]) == ("credit: a retraining failed", "failure")
        assert "trigger t1" in body["message"]
        [message] = texts(chat)
        assert "@channel" not in json.dumps(message)
        assert len(mail.requests) == 2
    assert {one.status for one in newest_alerts(engine)} == {"sent"}


def test_the_same_within_the_quiet_hours_is_counted(
    configure: Configure, engine: Engine, project: Settings, hook: Received
) -> None:
    """One message for three failures; each move of the champion is told."""
    configure(f"json://127.0.0.1:{hook.port}")
    for trigger in ("t1", "t2", "t3"):
        fail(engine, trigger)
        alert(project)
    assert len(hook.requests) == 1
    assert only(engine).n_more == 2
    with writing(engine) as connection:
        for sequence in (1, 2):
            facts: dict[str, Any] = {"kind": "gate", "reason": "", "actor": "ann", "at": datetime.now(UTC)}
            moved = champion_changed("credit", sequence=sequence, version=sequence, previous=None, **facts)
            record_event(connection, moved)
    assert alert(project) == 2


def test_a_dead_destination_keeps_nothing_from_the_others_and_gets_its_own_later(
    configure: Configure, engine: Engine, project: Settings, hook: Received
) -> None:
    """It is left alone for a minute, then two; what arrived elsewhere is not sent there again."""
    with webhook() as dead:
        dead.status = 500
        configure(f"json://127.0.0.1:{dead.port}", f"json://127.0.0.1:{hook.port}")
        fail(engine)
        assert [alert(project) for _ in range(2)] == [1, 0]
        assert (len(dead.requests), len(hook.requests)) == (1, 1)
        due_now(engine)
        before = datetime.now(UTC)
        assert alert(project) == 0
        [waiting] = [one for one in newest_alerts(engine) if one.status == "waiting"]
        assert (waiting.destination, waiting.attempts) == ("json:1", 2)
        assert waiting.next_at is not None
        assert before + timedelta(seconds=119) < waiting.next_at < datetime.now(UTC) + timedelta(seconds=121)
        dead.status = 200
        due_now(engine)
        assert alert(project) == 1
    assert (len(dead.requests), len(hook.requests)) == (3, 1)


def test_after_two_days_a_destination_is_given_up(
    configure: Configure, engine: Engine, project: Settings, hook: Received, caplog: pytest.LogCaptureFixture
) -> None:
    """So is one that is no longer configured; both are said in the log."""
    configure(f"json://127.0.0.1:{hook.port}")
    hook.status = 500
    old = datetime.now(UTC) - timedelta(hours=48)
    with writing(engine) as connection:
        message = Alert("k", "info", "old news", "b")
        put_alert(connection, message, ["json:1", "slack:7"], timedelta(0), old)
    assert alert(project) == 0
    assert {one.status for one in newest_alerts(engine)} == {"given up"}
    assert "'old news' was not delivered to json:1; giving up" in caplog.text
    assert "slack:7; giving up: it is no longer in PERENNIAL_ALERTS_URLS" in caplog.text


def test_nobody_is_flooded_with_the_past(
    configure: Configure, engine: Engine, project: Settings, hook: Received
) -> None:
    """Neither by what happened before there was a destination, nor by what is days old."""
    configure()
    fail(engine, "t1")
    assert alert(project) == 0
    configure(f"json://127.0.0.1:{hook.port}")
    fail(engine, "t2", age=timedelta(hours=49))
    assert alert(project) == 0
    assert (hook.requests, newest_alerts(engine)) == ([], [])


def test_the_relay_tells_what_is_no_event(
    configure: Configure, engine: Engine, project: Settings, hook: Received
) -> None:
    """Deduplicated by its key like the rest; nothing without a destination."""
    configure()
    record_alert(engine, "prefect-away", "failure", "Prefect is away", "since 12:00")
    configure(f"json://127.0.0.1:{hook.port}")
    for _ in range(2):
        record_alert(engine, "prefect-away", "failure", "Prefect is away", "since 12:00\x1b[2J")
    assert alert(project) == 1
    assert texts(hook)[0]["message"] == "since 12:00\\x1b[2J"


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("file:///etc/passwd", "unsupported scheme"),
        ("dbus://", "unsupported scheme"),
        ("syslog://", "unsupported scheme"),
        ("macosx://", "unsupported scheme"),
        ("windows://", "unsupported scheme"),
        ("qt://", "unsupported scheme"),
        ("s3cret://s3cret", "unsupported scheme"),
        ("s3cret", "is not a URL"),
        ("jsons://s3cret.example/?verify=no", "certificates are always verified"),
        ("jsons://s3cret.example/?%76erify=no", "certificates are always verified"),
    ],
)
def test_destinations_that_are_none_are_refused_without_being_quoted(
    configure: Configure, url: str, match: str
) -> None:
    """Services of this machine, unknown ones, and those that would not verify whom they talk to."""
    configure("json://127.0.0.1", url)
    with pytest.raises(ConfigError, match=f"destination 2 .*{match}") as caught:
        destinations(load_section(AlertSettings))
    assert "s3cret" not in str(caught.value)


def test_every_destination_has_a_name_that_can_be_shown(configure: Configure) -> None:
    """A comma inside a URL does not end it, one before a URL does."""
    urls = "json://a,json://b\n mailto://u:pw@c?to=x@d,y@d , slack://e"
    named = destinations(AlertSettings(urls=urls))
    assert named == {
        "json:1": "json://a",
        "json:2": "json://b",
        "mailto:1": "mailto://u:pw@c?to=x@d,y@d",
        "slack:1": "slack://e",
    }
    configure(urls)
    assert "pw" not in f"{load_section(AlertSettings)!r}{load_section(AlertSettings)}"


def test_at_the_start_each_url_is_understood_or_named(configure: Configure) -> None:
    """By its name, not by its text; nothing is connected to."""
    configure("json://nowhere.invalid/x")
    assert check_destinations() == ["json:1"]
    configure("json://nowhere.invalid/x", "slack://s3cret")
    with pytest.raises(ConfigError, match="slack:1 in PERENNIAL_ALERTS_URLS: Apprise cannot parse") as caught:
        check_destinations()
    assert "s3cret" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # Apprise 1.13, not us
def test_every_scheme_is_one_of_apprises_services_that_use_the_network() -> None:
    """None of them starts a program or speaks to this machine's desktop or log."""
    from apprise.manager_plugins import NotificationManager

    services: Any = NotificationManager()  # type: ignore[no-untyped-call]
    for scheme in SCHEMES:
        if scheme != "https":
            source = inspect.getsource(inspect.getmodule(services[scheme]) or inspect)
            assert "subprocess" not in source
            assert "os.system" not in source
            assert "dbus" not in source.lower()


def test_a_test_message_says_per_destination_what_came_of_it(
    configure: Configure, project: Settings, hook: Received
) -> None:
    """The command ends with 2 where one did not arrive; without destinations it says how to name one."""
    configure(f"json://127.0.0.1:{hook.port}/t0ken-path", "json://169.254.169.254/t0ken-path")
    ended = CliRunner().invoke(cli.main.main, ["alerts", "test"])
    assert ended.exit_code == 2
    assert ended.output.splitlines() == [
        "json:1: ok",
        "json:2: 169.254.169.254 is not a public address (PERENNIAL_ALERTS_ALLOW)",
    ]
    assert texts(hook)[0]["title"] == "Perennial: a test"
    configure()
    with pytest.raises(ConfigError, match="PERENNIAL_ALERTS_URLS"):
        send_test(project)


def test_the_list_shows_who_was_told_what(
    configure: Configure, engine: Engine, project: Settings, hook: Received
) -> None:
    """Newest first, as a table or as JSON."""
    assert CliRunner().invoke(cli.main.main, ["alerts", "list"]).output == "no alerts yet\n"
    configure(f"json://127.0.0.1:{hook.port}")
    fail(engine)
    alert(project)
    shown = CliRunner().invoke(cli.main.main, ["alerts", "list"]).output
    assert "json:1" in shown
    assert "credit: a retraining failed" in shown
    [one] = json.loads(CliRunner().invoke(cli.main.main, ["alerts", "list", "--json"]).output)
    assert (one["status"], one["key"], one["attempts"]) == ("sent", "retrain-failed:credit", 1)
