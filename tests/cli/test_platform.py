from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from cli.main import main
from config.platform import write_platform
from config.settings import Settings
from tests.platform_states import platform_state


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:s3cret@host/rows",
        "postgresql+psycopg://ann:s3cret@/rows?host=/run/postgresql",
        "postgresql://ann@host/rows?password=s3cret",
    ],
)
def test_a_password_on_the_command_line_is_refused(project: Settings, address: str) -> None:
    """The message says where to put it, does not repeat it, and nothing is started or written."""
    ended = CliRunner().invoke(main, ["up", "--detach", "--postgres", address])
    assert ended.exit_code == 2
    assert "PERENNIAL_DATABASE_URL" in ended.output
    assert "s3cret" not in ended.output
    assert not project.var.exists()


def test_an_address_that_is_none_is_refused(project: Settings) -> None:
    """It is not repeated either: what is malformed may hold a password."""
    ended = CliRunner().invoke(main, ["up", "--postgres", "s3cret@host"])
    assert ended.exit_code == 2
    assert "expected an address like postgresql://user@host/database" in ended.output
    assert "s3cret" not in ended.output
    assert not project.var.exists()


def test_a_platform_whose_process_manager_hangs_is_not_called_up(project: Settings, tmp_path: Path) -> None:
    """One message says what is wrong and how to end it; nothing says that the platform is up."""
    own = psutil.Process()
    socket = str(tmp_path / "silent")
    project.var.mkdir()
    write_platform(project.var, platform_state(pid=own.pid, created=own.create_time(), socket=socket, ready=True))
    ended = CliRunner().invoke(main, ["up"])
    assert ended.exit_code == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"error: the process manager at {socket} does not respond (")
    assert ended.stderr.endswith("end it and its processes with: perennial down\n")
    assert len(ended.stderr.splitlines()) == 1
