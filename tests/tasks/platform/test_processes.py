"""How the platform's processes are started, and when they are healthy."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from config.settings import Settings
from tasks.platform.processes import (
    BEAT_SECONDS,
    MARK,
    Service,
    command,
    environment,
    is_healthy,
    services,
    worker_name,
    worker_seen,
)
from tasks.runs.heartbeat import beat_path
from tests.platform_states import platform_state


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
