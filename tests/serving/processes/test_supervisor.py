"""The command's own processes: who starts, who ends with whom, who knows what."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from config.settings import ServingSettings, Settings, load_section
from core.errors import ConfigError
from serving.processes import supervisor
from serving.processes.liveness import BEAT_DEADLINE_SECONDS, SLOW_START_SECONDS, START_DEADLINE_SECONDS
from serving.processes.start import BEAT
from serving.processes.supervisor import Worker, bound
from tasks.serving.keys import create_key, revoke
from tests.factories import make_project
from tests.serving.service_processes import Client, Served, ask, bodies, crown, register_version, serving

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Return a project with a champion."""
    settings = make_project(tmp_path_factory.mktemp("supervised"))
    crown(settings, register_version(settings, "a", 1.0))
    return settings


def _serve(settings: Settings, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("perennial")), "serve", *options]
    environment = os.environ | {"PERENNIAL_ROOT": str(settings.root)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_an_unprotected_service_does_not_start(project: Settings) -> None:
    """On an address that others reach it wants keys, and says how to make one; nothing is left behind."""
    asked = _serve(project, "--host", "0.0.0.0")  # noqa: S104 - what is to be refused
    opened = _serve(project, "--host", "0.0.0.0", "--access", "open")  # noqa: S104 - what is to be refused
    assert (asked.returncode, opened.returncode) == (2, 2)
    assert "perennial keys create" in asked.stderr
    assert "every client that reaches 0.0.0.0" in opened.stderr
    assert not (project.var / "serving").exists()


def test_an_address_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it, after a while in which a service that ends could have left it."""
    monkeypatch.setattr(supervisor, "BIND_SECONDS", 0.3)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1 port {port}.*choose another --port"):
            bound(load_section(ServingSettings, port=port))


@pytest.fixture
def silent() -> Iterator[Worker]:
    """Return a worker whose process says nothing."""
    worker = Worker(signs=os.open(os.devnull, os.O_RDONLY))
    worker.process = subprocess.Popen(["sleep", "100"])
    worker.vigil.begin(0.0)
    yield worker
    worker.process.kill()
    worker.process.wait(120)


def test_a_start_without_progress_is_ended_and_the_next_has_longer(
    silent: Worker, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once that the start is slow and once that it is ended, however often one looks."""
    assert silent.process is not None
    for now in (1.0, SLOW_START_SECONDS + 1, SLOW_START_SECONDS + 2, START_DEADLINE_SECONDS):
        supervisor._watch(silent, silent.process, now)
    assert silent.process.poll() is None
    for now in (START_DEADLINE_SECONDS + 1, START_DEADLINE_SECONDS + 2, START_DEADLINE_SECONDS + 3):
        supervisor._watch(silent, silent.process, now)
    assert silent.process.wait(120) == -signal.SIGKILL
    assert silent.vigil.deadline == 2 * START_DEADLINE_SECONDS
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert "has been starting for 31 s (nothing imported)" in said[0]
    assert "no progress within its deadline of 60 s" in said[1]


def test_a_worker_that_hangs_is_ended(silent: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """Once it has served, its heartbeats count; a worker that sends none is killed, and this is logged once."""
    assert silent.process is not None
    silent.vigil.hear(BEAT, 1.0)
    supervisor._watch(silent, silent.process, BEAT_DEADLINE_SECONDS)
    assert silent.process.poll() is None
    for later in (2, 3):
        supervisor._watch(silent, silent.process, BEAT_DEADLINE_SECONDS + later)
    assert silent.process.wait(120) == -signal.SIGKILL
    assert [record.getMessage() for record in caplog.records] == [
        f"worker {silent.process.pid} is unresponsive; restarting it"
    ]


def test_workers_end_with_their_supervisor(installation: Settings) -> None:
    """Nobody would look after them, and the port is free for the next one."""
    with serving(installation, "--workers", "2", PERENNIAL_SERVE_DRAIN_SECONDS="0") as served:
        served.await_workers(2)
        workers = served.workers()
        served.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=120)
        assert alive == []
        with bound(load_section(ServingSettings, port=served.port)):
            pass


def test_workers_know_no_secrets_but_the_database(installation: Settings) -> None:
    """What the registry and the artifact store are reached with is in no worker, the database in no command line."""
    secrets = {"AWS_SECRET_ACCESS_KEY": "s3cret-1", "MLFLOW_TRACKING_TOKEN": "s3cret-2", "PERENNIAL_X": "s3cret-3"}
    with serving(installation, **secrets) as served:
        served.await_workers(1)
        for worker in served.workers():
            assert "s3cret" not in json.dumps(worker.environ())
            assert "perennial.db" not in json.dumps(worker.cmdline())


def test_a_service_with_keys(installation: Settings) -> None:
    """Without a key there is no answer, with one there is, and soon after it is revoked there is none again."""
    key, text = create_key("shop", ("predict",), (), installation)
    with serving(installation, "--access", "required") as served:
        served.await_ready()
        asked = [asyncio.run(_predict(served, credential)) for credential in ("", "pk_000000000000_x", text)]
        revoke(key.id, installation)
        guard = time.monotonic() + 120
        while (status := asyncio.run(_predict(served, text))) == 200 and time.monotonic() < guard:
            time.sleep(0.1)
    assert asked == [401, 401, 200]
    assert status == 401


async def _predict(served: Served, key: str) -> int:
    client = Client(served.port, {"authorization": f"Bearer {key}"} if key else {})
    try:
        return (await client.ask("POST", "/v1/models/credit/predict", bodies()[0]))[0]
    finally:
        await client.close()


def test_metrics_are_those_of_all_workers(installation: Settings) -> None:
    """Whoever answers the request for them, they count what all of them did, and all of their memory."""
    with serving(installation, "--workers", "2") as served:
        served.await_workers(2)
        for body in bodies()[:20]:
            assert asyncio.run(ask(served.port, "POST", "/v1/models/credit/predict", body))[0] == 200
        counts = {served.metric("perennial_predictions_total") for _ in range(6)}
        memory = served.metric("process_resident_memory_bytes")
        assert counts == {20}
        assert memory > served.memory()
        assert served.metric("perennial_log_rows_total") == 20
