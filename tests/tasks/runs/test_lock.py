from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import RunInProgressError, StorageError
from tasks.runs.lock import hold_model

HOLDER = """
import sys, time
from pathlib import Path
from config.settings import Settings
from tasks.runs.lock import hold_model
with hold_model("credit", Settings(var=Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_run_is_refused_with_the_firsts_process(tmp_path: Path) -> None:
    """The message names the process and since when; what a dead process held is free."""
    settings = Settings(var=tmp_path)
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with (
        pytest.raises(RunInProgressError, match=rf"process {holder.pid}, since 20\d\d-"),
        hold_model("credit", settings),
    ):
        pass
    with hold_model("churn", settings):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with hold_model("credit", settings, wait_seconds=5):
        pass


def test_a_flow_may_call_a_flow_that_holds_the_same_model(tmp_path: Path) -> None:
    """Within one thread holding twice is holding once; another thread of the worker is refused."""
    settings = Settings(var=tmp_path)

    def refused() -> str:
        with pytest.raises(RunInProgressError) as caught, hold_model("credit", settings):
            pass
        return str(caught.value)

    with ThreadPoolExecutor(1) as pool, hold_model("credit", settings):
        with hold_model("credit", settings):
            pass
        assert f"process {os.getpid()}" in pool.submit(refused).result()
    with hold_model("credit", settings):
        pass


def test_a_lock_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """A file where the folder should be is the user's to repair."""
    (tmp_path / "var").write_text("")
    with pytest.raises(StorageError, match="cannot be acquired"), hold_model("credit", Settings(var=tmp_path / "var")):
        pass
