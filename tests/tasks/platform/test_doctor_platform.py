"""What the doctor says of the processes of ``perennial up``."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

import psutil
import pytest

from config.platform import write_platform
from config.settings import Settings
from tasks.platform import doctor_platform
from tasks.platform.doctor_platform import check_platform
from tasks.platform.processes import MARK
from tests.platform_states import platform_state
from tests.tasks.platform.examined import only
from tests.tasks.platform.platforms import await_true

GONE = 2**22 + 1


def test_no_platform_is_no_problem(settings: Settings) -> None:
    """Commands work without one."""
    assert only(check_platform(settings)).level == "ok"


@pytest.mark.parametrize("is_known", [True, False], ids=["killed manager", "lost state file"])
def test_processes_that_nothing_looks_after_are_a_problem(settings: Settings, is_known: bool) -> None:
    """They hold ports and databases, and none of them is restarted when it ends."""
    if is_known:
        write_platform(settings.var, platform_state(id="old", pid=GONE))
    told = {MARK: "old", "PERENNIAL_VAR": str(settings.var)}
    with subprocess.Popen(["sleep", "60"], env=os.environ | told) as process:
        await_true(lambda: check_platform(settings)[0].level == "problem")
        finding = only(check_platform(settings))
        process.kill()
    assert str(process.pid) in finding.says
    assert "perennial up" in finding.advice
    assert only(check_platform(settings)).level == ("warning" if is_known else "ok")


def test_a_process_manager_that_hangs_is_a_problem(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there and says nothing."""
    monkeypatch.setattr(doctor_platform, "CALL_SECONDS", 0.2)
    own = psutil.Process()
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        state = platform_state(pid=own.pid, created=own.create_time(), socket=str(tmp_path / "s"), ready=True)
        write_platform(settings.var, state)
        finding = only(check_platform(settings))
    assert finding.level == "problem"
    assert "does not respond" in finding.says
    assert "perennial down" in finding.advice
