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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


class PostgresServer:
    """A server of an empty database, which may be stopped and started again.

    Parameters
    ----------
    programs
        Folder of ``initdb`` and ``postgres``.
    """

    def __init__(self, programs: Path) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="perennial-pg-"))
        self._as_user = _unprivileged(self._folder)
        self._programs = programs
        self._process: subprocess.Popen[bytes] | None = None
        initdb = [*self._as_user, str(programs / "initdb"), "-D", str(self._folder / "data")]
        subprocess.run([*initdb, "-U", "perennial", "--auth=trust", "--no-sync"], check=True, **self._quiet())

    @property
    def address(self) -> str:
        """Of the database, for SQLAlchemy."""
        return f"postgresql+{DRIVER}://perennial@/postgres?host={self._folder}"

    def start(self) -> None:
        """Start, and return once it can be reached."""
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={self._folder}", "-c", "fsync=off"]
        command = [*self._as_user, str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options]
        self._process = subprocess.Popen(command, **self._quiet())
        # The socket is there before it takes connections.
        ready = [str(self._programs / "pg_isready"), "--quiet", f"--host={self._folder}"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert self._process.poll() is None, "PostgreSQL ended while it started"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop at once, whoever is connected."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=120)
            self._process = None

    def remove(self) -> None:
        """Stop and delete the database."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _quiet(self) -> dict[str, Any]:
        return {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": self._folder}


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Run a server for the length of a block; skips where PostgreSQL is not installed."""
    programs = _programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (no initdb on the path or under /usr/lib/postgresql)")
    server = PostgresServer(programs)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def postgres_address() -> Iterator[str]:
    """Address of an empty database of a server that ends with the session; skips where PostgreSQL is not installed."""
    with postgres_server() as server:
        yield server.address


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
