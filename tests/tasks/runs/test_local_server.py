"""The project's own Prefect server: started once, shared, gone when idle."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

from config.settings import PACKAGES, Settings
from core.errors import StorageError
from tasks.runs import local_server
from tasks.runs.local_server import (
    await_server,
    prefect_environment,
    running_server,
    start_environment,
    start_server,
    stop_server,
)
from tasks.runs.working_folder import unsafe_folder
from tests.factories import make_project
from tests.other_user import mounted
from tests.tasks.platform.platforms import await_true

pytestmark = pytest.mark.e2e


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Return an empty project and make sure that no server outlives the test."""
    settings = make_project(tmp_path)
    yield settings
    stop_server(settings)


def test_one_server_serves_every_command_until_it_is_stopped(settings: Settings) -> None:
    """Two starts at once leave one server; it answers on the loopback address alone, and stops when told."""
    assert running_server(settings) is None
    start_server(settings)
    start_server(settings)
    server = await_server(settings)
    time.sleep(1.0)
    start_server(settings)
    assert running_server(settings) == server
    with urllib.request.urlopen(f"{server.api_url}/health") as answer:  # noqa: S310 - our own loopback address
        assert answer.status == 200
    foreign = urllib.request.Request(f"{server.api_url}/health", headers={"Host": "evil.example"})  # noqa: S310 - our own
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(foreign)  # noqa: S310 - our own loopback address
    listening = [c.laddr.ip for c in psutil.Process(server.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {"127.0.0.1"}
    assert stop_server(settings)
    assert running_server(settings) is None
    assert not stop_server(settings)


def test_a_state_file_of_a_dead_server_is_not_believed(settings: Settings) -> None:
    """After kill -9 the file stays; what counts is whether the server answers."""
    state = settings.var / "prefect" / "server.json"
    state.parent.mkdir(parents=True)
    state.write_text('{"pid": 1, "port": 9}')
    assert running_server(settings) is None


def test_an_idle_server_ends_by_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to remember to stop it."""
    monkeypatch.setenv("PERENNIAL_SERVER_IDLE_MINUTES", "0.1")
    start_server(settings)
    process = psutil.Process(await_server(settings).pid)
    assert process.wait(timeout=60) is not None or not process.is_running()
    assert running_server(settings) is None


def test_importing_the_module_loads_no_prefect() -> None:
    """Asking whether a server runs must not cost a second of imports."""
    code = "import tasks.runs.local_server, sys; print('prefect' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == "False"


def test_two_projects_that_start_together_get_two_servers(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The usual port goes to one of them, and the other takes a free one."""
    other = make_project(tmp_path_factory.mktemp("other"))
    start_server(settings)
    start_server(other)
    try:
        assert await_server(settings).port != await_server(other).port
    finally:
        stop_server(other)


_ENDED_COMMAND = """
import os, signal, sys, time
from config.settings import load_settings
from tasks.runs.local_server import start_server
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
start_server(load_settings())
print("started", flush=True)
time.sleep(300)
"""


def _starting(settings: Settings) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_server = "tasks.runs.local_server" in process.cmdline() and process.status() != psutil.STATUS_ZOMBIE
            if is_server and process.environ().get("PERENNIAL_ROOT") == str(settings.root):
                found.append(process)
    return found


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_server_ends_with_the_command_that_was_starting_it(settings: Settings, kind: signal.Signals) -> None:
    """Until it answers, no other command knows of it; it would run until it is idle for long."""
    environment = os.environ | {"PERENNIAL_ROOT": str(settings.root)}
    environment.pop("PERENNIAL_VAR", None)
    command = [sys.executable, "-c", _ENDED_COMMAND]
    with subprocess.Popen(command, env=environment, cwd=PACKAGES, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        await_true(lambda: _starting(settings) != [])
        process.send_signal(kind)
    await_true(lambda: _starting(settings) == [])
    assert running_server(settings) is None


def test_a_command_that_waits_for_another_ones_server_starts_its_own(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other command was ended, and the server with it."""
    monkeypatch.setattr(local_server, "AGAIN_SECONDS", 1.0)
    assert await_server(settings).pid in [process.pid for process in _starting(settings)]


def test_a_server_that_hangs_is_replaced(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that needs it waits for its deadline, ends it and starts another; ``server stop`` ends one too.

    It takes two starts of Prefect's server, 10 s each on an idle machine.
    """
    start_server(settings)
    before = await_server(settings)
    psutil.Process(before.pid).suspend()
    monkeypatch.setattr(local_server, "AGAIN_SECONDS", 1.0)
    monkeypatch.setattr(local_server, "END_SECONDS", 2.0)
    monkeypatch.setattr(local_server, "HANG_SECONDS", 1.0)
    after = await_server(settings)
    assert after.pid != before.pid
    psutil.Process(after.pid).suspend()
    assert stop_server(settings)
    await_true(lambda: _starting(settings) == [])


def test_the_server_removes_what_deleted_runs_leave(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect deletes a run's logs with it, but its artifacts only if it is told to look for them."""
    from prefect.settings.models.server.services import ServerServicesDBVacuumSettings

    for name in prefect_environment(settings):
        monkeypatch.delenv(name, raising=False)  # of the session's server
    assert "orphans" not in ServerServicesDBVacuumSettings().enabled_vacuum_types
    for name, value in prefect_environment(settings).items():
        monkeypatch.setenv(name, value)
    assert ServerServicesDBVacuumSettings().enabled_vacuum_types == {"events", "orphans"}


def test_a_server_starts_without_what_no_local_run_needs(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """No migrations where the tables are the newest, and no types of blocks; an older database is migrated."""
    from prefect.settings.models.server.root import ServerSettings

    found = start_environment(settings)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    assert not ServerSettings().register_blocks_on_start
    assert not ServerSettings().database.migrate_on_start
    with closing(sqlite3.connect(settings.var / "prefect" / "prefect.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
        connection.commit()
    assert "PREFECT_SERVER_DATABASE_MIGRATE_ON_START" not in start_environment(settings)


def test_a_disk_that_filled_before_the_server_answers_is_named(settings: Settings) -> None:
    """The wait ends at once, because the server cannot even write its log, which is empty."""
    settings.var.mkdir(exist_ok=True)
    with mounted(settings.var, "size=2m"):
        (settings.var / "filler").write_bytes(b"x" * (2**20 + 2**16))
        with pytest.raises(StorageError, match=r"the disk of .*/var is full.*then run the same command again"):
            await_server(settings, seconds=20)


def test_prefects_home_is_private_whatever_the_umask(settings: Settings) -> None:
    """Also in a folder that a group shares: another mode would be refused by every later command."""
    settings.var.mkdir(exist_ok=True)
    settings.var.chmod(0o2770)
    os.umask(0o007)
    local_server._is_starting(settings)
    home = settings.var / "prefect"
    assert home.stat().st_mode & 0o777 == 0o700
    assert unsafe_folder(home) == ""
