"""A real PostgreSQL server for the tests that need one."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

DRIVER = "psycopg" if importlib.util.find_spec("psycopg") else "asyncpg"
"""The driver we document, or the asynchronous one that Prefect brings along."""


def call_with_driver(function: Callable[[], object]) -> object:
    """Call a function that uses the database, whichever driver there is: SQLAlchemy runs either in a greenlet."""
    if DRIVER == "psycopg":
        return function()
    from sqlalchemy.util import greenlet_spawn

    async def spawned() -> object:
        return await greenlet_spawn(function)

    return asyncio.run(spawned())


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """Address of an empty database of a server that ends with the session; skips where PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (no initdb on the path or under /usr/lib/postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="perennial-pg-"))
    as_user = _unprivileged(folder)
    data = folder / "data"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    initdb = [*as_user, str(programs / "initdb"), "-D", str(data), "-U", "perennial", "--auth=trust", "--no-sync"]
    subprocess.run(initdb, check=True, **quiet)  # type: ignore[call-overload]
    options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    server = subprocess.Popen([*as_user, str(programs / "postgres"), "-D", str(data), *options], **quiet)  # type: ignore[call-overload]
    try:
        _await_socket(folder / ".s.PGSQL.5432", server)
        yield f"postgresql+{DRIVER}://perennial@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def _programs() -> Path | None:
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def _unprivileged(folder: Path) -> list[str]:
    # PostgreSQL refuses to run as root.
    if os.geteuid() != 0:
        return []
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = known.get("postgres") or known["nobody"]
    os.chown(folder, user.pw_uid, user.pw_gid)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def _await_socket(socket: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if socket.exists():
            return
        assert server.poll() is None, "PostgreSQL ended while it started"
        time.sleep(0.1)
    pytest.fail("PostgreSQL did not start within 30 s")
