"""The platform's processes as lines."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from cli.lines.platform import change_line, platform_document, platform_lines
from config.platform import PlatformState
from tasks.platform.up import ServiceStatus, Status


def test_the_table_is_aligned(tmp_path: Path) -> None:
    """Every column begins below its header, colours or not."""
    rows = [Status("prefect", "healthy", "http://127.0.0.1:4200", 1, tmp_path / "a.log")]
    rows += [Status("mlflow", "unhealthy", "http://127.0.0.1:5000", 1, tmp_path / "b.log")]
    lines = [click.unstyle(line) for line in platform_lines(rows)]
    assert lines[0].split() == ["process", "state", "address", "log"]
    assert {line.index("http") for line in lines[1:]} == {lines[0].index("address")}


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("healthy", "healthy (process 8)"),
        ("starting", "restarted (process 8)"),
        ("unhealthy", "unresponsive (process 8); see /var/b.log"),
        ("waiting", "ended; restarting it. See /var/b.log"),
        ("stopped", "stopped"),
    ],
)
def test_a_change_of_a_process_is_one_line(state: ServiceStatus, says: str) -> None:
    """With the moment, the process, and where to look where it is in trouble."""
    before = Status("serve", "healthy", "http://127.0.0.1:8470", 7, Path("/var/a.log"))
    after = Status("serve", state, "http://127.0.0.1:8470", 8, Path("/var/b.log"))
    line = click.unstyle(change_line(before, after, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)))
    assert line == f"03:04:05  serve     {says}"


def test_the_document_tells_no_database(tmp_path: Path) -> None:
    """Its address may hold a password."""
    state = PlatformState.model_validate(
        {
            "id": "a",
            "pid": 7,
            "socket": "s",
            "pool": "p",
            "runs_at_once": 1,
            "serving_port": 8470,
            "prefect_api_url": "http://127.0.0.1:1/api",
            "mlflow_uri": "http://127.0.0.1:2",
            "mlflow_store": "postgresql://ada:secret@db/x",
            "database_url": "postgresql://ada:secret@db/x",
        }
    )
    rows = [Status("serve", "healthy", "http://127.0.0.1:8470", 7, tmp_path / "a.log")]
    text = json.dumps(platform_document(rows, state))
    assert "secret" not in text
    assert json.loads(text)["serving_url"] == "http://127.0.0.1:8470"
    assert [one["name"] for one in json.loads(text)["processes"]] == ["serve"]
