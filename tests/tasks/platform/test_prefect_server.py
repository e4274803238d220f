"""Prefect's server of the platform answers this machine and its own pages, and no page of another site."""

import os
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from config.settings import PACKAGES
from tasks.platform.ports import free_port
from tasks.runs.local_server import prefect_environment, start_environment
from tests.factories import make_project
from tests.tasks.platform.platforms import await_true


@pytest.mark.e2e
@pytest.mark.timeout(540)
def test_only_this_machine_is_answered(tmp_path: Path) -> None:
    """By host and by origin, on the API and the page; it listens on the loopback address alone, and ends by SIGTERM."""
    settings, port = make_project(tmp_path), free_port()
    environment = os.environ | prefect_environment(settings) | {"PYTHONPATH": str(PACKAGES)}
    environment |= start_environment(settings)
    command = [sys.executable, "-m", "tasks.platform.prefect_server", str(port)]
    process = subprocess.Popen(command, env=environment, cwd=tmp_path)
    try:
        address = f"http://127.0.0.1:{port}"
        await_true(lambda: _status(f"{address}/api/ready") == 200, 120)
        assert _status(f"{address}/api/ready", origin=f"http://localhost:{port}") == 200
        for path in ("/api/admin/settings", "/", "/api/ready"):
            assert _status(address + path, host=f"evil.example:{port}") == 403
            assert _status(address + path, origin="https://evil.example") == 403
        sockets = psutil.Process(process.pid).net_connections()
        assert {one.laddr.ip for one in sockets if one.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    finally:
        process.terminate()
    assert process.wait(120) in (0, -15)


def _status(url: str, **headers: str) -> int:
    try:
        return httpx.get(url, headers=headers, timeout=120, trust_env=False).status_code
    except httpx.TransportError:
        return 0
