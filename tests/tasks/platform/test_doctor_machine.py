"""What the doctor says of this machine."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

import tasks.platform.doctor_machine
import tasks.platform.doctor_services
from config.settings import PlatformSettings, ServingSettings, Settings
from tasks.platform.doctor_machine import (
    check_clock,
    check_disk,
    check_libraries,
    check_models,
    check_ports,
    check_python,
)
from tests.other_user import mounted
from tests.tasks.platform.examined import only

SERVING = ServingSettings(port=0)


def test_a_port_that_is_held_is_told_with_its_holder(settings: Settings) -> None:
    """The advice is the option that chooses another one."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        options = PlatformSettings(prefect_port=0, mlflow_port=held.getsockname()[1])
        finding = only(check_ports(settings, options, SERVING))
    assert finding.level == "warning"
    assert "MLflow" in finding.says
    assert str(os.getpid()) in finding.says
    assert "--mlflow-port" in finding.advice


def test_a_broken_model_file_is_told(settings: Settings) -> None:
    """With what is wrong in it."""
    path = settings.root / "config" / "models" / "credit.yaml"
    path.write_text(path.read_text().replace('"target"', '"targets"'))
    finding = only(check_models(settings))
    assert finding.level == "problem"
    assert "target" in finding.says
    assert "credit.yaml" in finding.advice


def test_a_suite_that_is_gone_is_told(settings: Settings) -> None:
    """A model file alone does not make a run."""
    (settings.root / "config" / "expectations" / "credit.json").unlink()
    assert only(check_models(settings)).level == "problem"


def test_another_version_than_the_locked_one_is_told(settings: Settings) -> None:
    """The project's own lock file is what counts."""
    (settings.root / "requirements.lock").write_text("click==0.0.1 \\\n    --hash=sha256:00\n")
    finding = only(check_libraries(settings))
    assert finding.level == "warning"
    assert "instead of 0.0.1" in finding.says


def test_a_version_that_breaks_something_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the lock file says."""
    monkeypatch.setattr(tasks.platform.doctor_machine, "broken_bounds", lambda _found: ["sqlalchemy 2.1.0 (no runs)"])
    assert only(check_libraries(settings)).level == "problem"


def test_ports_of_the_own_server_are_told_as_such(settings: Settings) -> None:
    """They are not free, and nothing is wrong with that."""
    (settings.var / "prefect").mkdir()
    with _answering(datetime.now(UTC)) as url:
        port = int(url.rpartition(":")[2])
        state = {"pid": os.getpid(), "port": port}
        (settings.var / "prefect" / "server.json").write_text(json.dumps(state))
        finding = only(check_ports(settings, PlatformSettings(prefect_port=port, mlflow_port=0), SERVING))
    assert (finding.level, finding.says) == ("ok", f"0 are free; the project's local server uses {port}")


def test_little_space_is_told(settings: Settings) -> None:
    """Of each disk that runs write to, with what was expected and found."""
    folder = settings.root / "data"
    folder.mkdir()
    with mounted(folder, "size=8m"):
        first, second = check_disk(settings)
    assert str(settings.var) in first.says
    assert (second.level, second.says) == ("problem", f"expected at least 1 GiB free under {folder}, found 8 MiB")
    assert "no run starts below 100 MiB" in second.advice


def test_another_python_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the versions that work."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    finding = only(check_python())
    assert (finding.level, "expected Python 3.11 to 3.13" in finding.says) == ("problem", True)


@contextmanager
def _answering(date: datetime) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Date", format_datetime(date, usegmt=True))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("minutes", "level"), [(0, "ok"), (-60, "problem")])
def test_a_clock_that_is_wrong_is_told(settings: Settings, minutes: int, level: str) -> None:
    """It is compared with the Date header of an address that is named."""
    with _answering(datetime.now(UTC) + timedelta(minutes=minutes)) as url:
        assert only(check_clock(settings, PlatformSettings(clock_url=url))).level == level
