"""How the platform's processes are started, and when they are healthy."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from config.platform import service_beat
from config.settings import Settings
from tasks.platform.processes import (
    BEAT_SECONDS,
    MARK,
    SERVICE_BEAT_SECONDS,
    WORKER_BEAT_SECONDS,
    Service,
    command,
    environment,
    health,
    is_healthy,
    is_suspended,
    services,
    worker_name,
    worker_seen,
)
from tasks.runs.heartbeat import beat_path
from tests.platform_states import platform_state
from tests.tasks.platform.answering import answering
from tests.tasks.platform.platforms import await_true


def test_what_others_wait_for_starts_first() -> None:
    """The servers, then the service, then what asks them; a server elsewhere is not started."""
    assert [one.name for one in services(platform_state())] == ["prefect", "mlflow", "serve", "relay", "worker"]
    elsewhere = services(platform_state(prefect_port=None, mlflow_port=None))
    assert [one.name for one in elsewhere] == ["serve", "relay", "worker"]
    assert elsewhere[0].stop_seconds > 30, "open requests have 30 s to end"


@pytest.mark.parametrize("name", ["prefect", "mlflow", "serve", "relay", "worker"])
def test_no_command_line_holds_a_password(name: str) -> None:
    """Other users of the machine can read it; addresses are in the environment."""
    assert "secret" not in " ".join(command(name, platform_state()))


def test_every_process_is_marked_and_knows_the_project(project: Settings) -> None:
    """Settings of the shell stay, but for those that the platform decides."""
    given = {"PREFECT_API_URL": "http://elsewhere/api", "PREFECT_WORKER_QUERY_SECONDS": "9", "OWN": "1"}
    found = environment("worker", platform_state(), project, given)
    assert (found[MARK], found["PERENNIAL_ROOT"], found["OWN"]) == ("0" * 32, str(project.root), "1")
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:1/api"
    assert found["PREFECT_WORKER_QUERY_SECONDS"] == "9"
    assert found["PREFECT_WORKER_HEARTBEAT_SECONDS"] == "10", "the watchdog relies on it"
    assert found["PERENNIAL_DATABASE_URL"] == "postgresql://ada:secret@db/x"
    assert environment("relay", platform_state(), project, {}).get("PREFECT_WORKER_QUERY_SECONDS") is None


@pytest.mark.parametrize(
    ("age", "started_before", "healthy"),
    [(0.0, 10.0, True), (BEAT_SECONDS - 10, BEAT_SECONDS, True), (BEAT_SECONDS + 1, 100.0, False), (5.0, 2.0, False)],
)
def test_a_relay_is_healthy_while_its_beat_is_young(
    project: Settings, age: float, started_before: float, healthy: bool
) -> None:
    """A beat of the process before it does not count."""
    path, now = beat_path(project), time.time()
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (now - age, now - age))
    assert is_healthy(Service("relay", ""), platform_state(), now - started_before, project) is healthy


def test_a_relay_without_a_beat_is_not_healthy(project: Settings) -> None:
    """It has not gone round yet."""
    assert not is_healthy(Service("relay", ""), platform_state(), 0, project)


@contextmanager
def _prefect(*workers: dict[str, Any], status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps(workers).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_the_newest_beat_of_this_machines_worker_counts() -> None:
    """Not another machine's, nor one that has never told anything."""
    names = (worker_name(), worker_name(), worker_name(), "other")
    moments = ("2026-01-02T03:04:05Z", "2026-01-02T03:04:06+00:00", None, "2030-01-01T00:00:00Z")
    workers = [{"name": name, "last_heartbeat_time": moment} for name, moment in zip(names, moments, strict=True)]
    with _prefect(*workers) as url:
        assert worker_seen(url, "mine") == datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC)
        assert worker_seen(url, "mine", "other") == datetime(2030, 1, 1, tzinfo=UTC)
        assert worker_seen(url, "mine", "nobody") is None
    with _prefect(*workers, status=404) as url:
        assert worker_seen(url, "mine") is None


@pytest.mark.parametrize(
    ("age", "status", "expected"),
    [
        (5.0, 200, "healthy"),
        (WORKER_BEAT_SECONDS + 5, 200, "unresponsive"),
        (None, 200, "unresponsive"),
        (5.0, 503, "unknown"),
    ],
)
def test_a_worker_is_healthy_while_its_heartbeat_is_young(
    project: Settings, age: float | None, status: int, expected: str
) -> None:
    """Whatever it said when it started; while Prefect does not answer, nothing is known of it."""
    moment = None if age is None else (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
    with _prefect({"name": worker_name(), "last_heartbeat_time": moment}, status=status) as url:
        state = platform_state(prefect_api_url=url)
        assert health(Service("worker", ""), state, time.time() - 600, project) == expected


def test_a_relay_is_not_blamed_for_prefect(project: Settings) -> None:
    """Its duties wait for Prefect: while that is away, an old heartbeat says nothing."""
    relay = Service("relay", "")
    assert health(relay, platform_state(prefect_api_url="http://127.0.0.1:9/api"), 0, project) == "unknown"
    with answering() as port:
        there = platform_state(prefect_api_url=f"http://127.0.0.1:{port}/api")
        assert health(relay, there, 0, project) == "unresponsive"


def test_a_service_without_supervisor_is_not_healthy(project: Settings) -> None:
    """Its workers answer, but nothing restarts them and no new champion comes."""
    with answering() as port:
        state = platform_state(serving_port=port)
        service = next(one for one in services(state) if one.name == "serve")
        beat = service_beat(project.var, port)
        beat.parent.mkdir(parents=True)
        assert health(service, state, 0, project) == "unresponsive"
        beat.touch()
        assert health(service, state, time.time() - 60, project) == "healthy"
        assert health(service, state, time.time() + 60, project) == "unresponsive", "a beat of the process before"
        old = time.time() - SERVICE_BEAT_SECONDS - 1
        os.utime(beat, (old, old))
        assert health(service, state, 0, project) == "unresponsive"


def test_a_stopped_process_is_seen_at_once() -> None:
    """Before any heartbeat is missed; one that is gone is not stopped."""
    with subprocess.Popen(["sleep", "60"]) as process:
        assert not is_suspended(process.pid)
        process.send_signal(signal.SIGSTOP)
        await_true(lambda: is_suspended(process.pid))
        process.kill()
    assert not is_suspended(process.pid)
