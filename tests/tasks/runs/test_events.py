"""Events reach a real Prefect server, once each, and wait where there is none."""

from __future__ import annotations

import http.server
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from config.settings import Settings
from core.errors import StorageError
from core.operate.events import Event, champion_changed, retrain_refused
from store.database import open_database, writing
from store.events import record_event, unsent_events
from tasks.runs.api import prefect_client
from tasks.runs.events import BATCH, send_events
from tests.factories import make_project

MOST_TRIES = 4
"""Requests that one call of the sender may make where none is confirmed."""


@pytest.fixture
def outbox(tmp_path: Path) -> Settings:
    """Return a project whose Prefect is away: nothing listens there."""
    return make_project(tmp_path).model_copy(update={"prefect_api_url": "http://127.0.0.1:9/api"})


def happen(settings: Settings, *events: Event) -> None:
    """Put events into the outbox."""
    with writing(open_database(settings.database_url)) as connection:
        for event in events:
            record_event(connection, event)


def refusals(count: int, model: str = "credit") -> list[Event]:
    """Return that many refusals."""
    return [retrain_refused(model, f"t{i}", "budget", "why", None, datetime.now(UTC)) for i in range(count)]


def waiting(settings: Settings) -> int:
    """Count what was not sent."""
    return len(unsent_events(open_database(settings.database_url), 10_000))


def at(settings: Settings, address: str) -> Settings:
    """Return the project with another Prefect."""
    return settings.model_copy(update={"prefect_api_url": address})


@contextmanager
def answering(answer: Callable[[list[dict[str, Any]]], int]) -> Iterator[str]:
    """Run an API that answers a batch of events with a status; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(200 if self.path == "/login" else 404)  # and no tokens against forged requests

        def do_POST(self) -> None:
            self._reply(answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))))

        def _reply(self, status: int) -> None:
            text = b'{"exception_detail": "no"}' if status == 422 else b""
            self.send_response(status)
            self.send_header("Location", "/login")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/api"
        running.shutdown()


def test_an_event_can_be_read_back_with_what_it_is_related_to(prefect_api: str, outbox: Settings) -> None:
    """Labels, payload and related resources arrive as they were built; a second call finds nothing to do."""
    model = f"m{uuid4().hex}"
    facts: dict[str, Any] = {"sequence": 2, "version": 3, "previous": 1, "kind": "gate", "actor": "ann"}
    event = champion_changed(model, reason="a\x00b <script>", at=datetime.now(UTC), **facts)
    happen(outbox, event)
    assert [send_events(at(outbox, prefect_api)) for _ in range(2)] == [1, 0]
    [found] = awaited(lambda: stored(model))
    sent = event.to_prefect()
    assert {name: found[name] for name in ("id", "event", "resource", "payload")} == {
        name: sent[name] for name in ("id", "event", "resource", "payload")
    }
    ours = [one for one in found["related"] if one["prefect.resource.id"].startswith("perennial.")]
    assert ours == sent["related"]


@pytest.mark.slow
def test_an_event_that_is_sent_twice_sets_off_an_automation_once(prefect_api: str, outbox: Settings) -> None:
    """Whoever dies between the answer and the mark sends again: Prefect keeps and acts on the first."""
    model = f"m{uuid4().hex}"
    automation = automate(model)
    try:
        assert awaited(lambda: probed(automation, model))
        # After the automation: it is not set off by what happened before the server knew it.
        [event] = refusals(1, model)
        happen(outbox, event)
        for folder in ("a", "b"):
            again = make_project(outbox.var / folder)
            happen(again, event)
            assert send_events(at(again, prefect_api)) == 1
        assert send_events(at(outbox, prefect_api)) == 1
        [marker] = refusals(1, f"{model}-after")
        happen(outbox, marker)
        send_events(at(outbox, prefect_api))
        awaited(lambda: stored(marker.model))  # the queue has passed the repeats
        assert len(awaited(lambda: fired(automation, event.id))) == 1
        assert len(stored(model)) == 1
    finally:
        request("DELETE", f"/automations/{automation}")


@pytest.mark.parametrize("answer", [500, 503, 400, 401, 404, 413, 429])
def test_what_prefect_does_not_confirm_stays(outbox: Settings, answer: int) -> None:
    """Errors of the server, of access, or of the address: nothing is marked, nothing is tried again and again."""
    happen(outbox, *refusals(2))
    asked: list[int] = []

    def answered(events: list[dict[str, Any]]) -> int:
        asked.append(len(events))
        return answer

    with answering(answered) as address, pytest.raises(StorageError, match=f"answers {answer}.*outbox"):
        send_events(at(outbox, address))
    assert len(asked) <= MOST_TRIES
    assert waiting(outbox) == 2


def test_a_login_page_is_no_prefect(outbox: Settings) -> None:
    """An answer to another request than ours confirms nothing."""
    happen(outbox, *refusals(1))
    with answering(lambda _: 302) as address, pytest.raises(StorageError, match="outbox"):
        send_events(at(outbox, address))
    assert waiting(outbox) == 1


def test_without_a_server_nothing_is_lost(outbox: Settings) -> None:
    """Nothing listens, nothing is configured, or the address is none: an error that says so."""
    assert send_events(outbox) == 0  # with nothing to send, nobody is asked
    happen(outbox, *refusals(2))
    for address in ("http://127.0.0.1:9/api", "http://user:hunter2@[::1", "nonsense", None):
        with pytest.raises(StorageError, match=r"outbox|PREFECT_API_URL") as caught:
            send_events(outbox.model_copy(update={"prefect_api_url": address}), seconds=3)
        assert "hunter2" not in str(caught.value)
    assert waiting(outbox) == 2


def test_a_server_that_does_not_answer_is_not_waited_for(outbox: Settings) -> None:
    """The sender gives up while the server still thinks."""
    happen(outbox, *refusals(1))
    released, answered = threading.Event(), threading.Event()

    def answer(_: object) -> int:
        released.wait(120)
        answered.set()
        return 204

    with answering(answer) as address:
        with pytest.raises(StorageError, match="no answer within"):
            send_events(at(outbox, address), seconds=0.5)
        assert not answered.is_set()
        released.set()
    assert waiting(outbox) == 1


def test_many_events_go_in_batches_and_no_more_than_asked_for(outbox: Settings) -> None:
    """Oldest first; the rest waits for the next call."""
    happen(outbox, *refusals(2 * BATCH + 20))
    sizes: list[int] = []

    def answer(events: list[dict[str, Any]]) -> int:
        sizes.append(len(events))
        return 204

    with answering(answer) as address:
        assert send_events(at(outbox, address), limit=BATCH + 10) == BATCH + 10
        assert send_events(at(outbox, address)) == BATCH + 10
    assert sizes == [BATCH, 10, BATCH, 10]
    assert waiting(outbox) == 0


def test_one_event_that_prefect_refuses_for_good_keeps_nobody(
    outbox: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are sent; it is told in the log and not sent for ever."""
    events = refusals(5)
    happen(outbox, *events)
    taken: set[str] = set()

    def answer(batch: list[dict[str, Any]]) -> int:
        ids = {event["id"] for event in batch}
        if str(events[2].id) in ids:
            return 422
        taken.update(ids)
        return 204

    with answering(answer) as address:
        send_events(at(outbox, address))
    assert taken == {str(event.id) for event in events} - {str(events[2].id)}
    assert waiting(outbox) == 0
    assert str(events[2].id) in caplog.text


def request(method: str, path: str, **given: Any) -> Any:
    """Ask the real server."""
    # By its address and not by the environment: Prefect read that when another test imported it.
    with prefect_client(Settings(prefect_api_url=os.environ["PREFECT_API_URL"])) as client:
        return client._client.request(method, path, **given)


def stored(model: str) -> list[dict[str, Any]]:
    """Return the events of a model that the server has."""
    wanted = {"resource": {"id": [f"perennial.model.{model}"]}}
    return list(request("POST", "/events/filter", json={"filter": wanted}).json()["events"])


def automate(model: str) -> str:
    """Make an automation on refusals of a model that does nothing; return its id."""
    trigger = {"type": "event", "expect": ["perennial.retrain.refused"], "posture": "Reactive", "threshold": 1}
    trigger |= {
        "within": 0,
        "match": {"prefect.resource.id": [f"perennial.model.{model}", f"perennial.model.{model}-probe"]},
    }
    content = {"name": model, "trigger": trigger, "actions": [{"type": "do-nothing"}]}
    return str(request("POST", "/automations/", json=content).json()["id"])


def fired(automation: str, event: UUID) -> list[dict[str, Any]]:
    """Return when an automation was set off by an event."""
    wanted = {"event": {"name": ["prefect.automation.triggered"]}}
    wanted |= {"resource": {"id": [f"prefect.automation.{automation}"]}}
    found = request("POST", "/events/filter", json={"filter": wanted}).json()["events"]
    return [one for one in found if str(event) in json.dumps(one)]


def probed(automation: str, model: str) -> list[dict[str, Any]]:
    """Set an automation off, which the server knows a moment after it has taken it; return when it was."""
    probe = retrain_refused(f"{model}-probe", uuid4().hex, "budget", "why", None, datetime.now(UTC))
    request("POST", "/events", json=[probe.to_prefect()])
    time.sleep(1)
    return fired(automation, probe.id)


def awaited(look: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Look until there is something; events arrive by a queue."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.25)
    return []
