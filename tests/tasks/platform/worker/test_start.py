"""Which processes the worker starts."""

from __future__ import annotations

import inspect
import sys

from prefect.runner import _workspace_starter
from prefect.utilities.processutils import command_from_string, command_to_string

from tasks.platform.worker.run import SUPERVISOR
from tasks.platform.worker.start import forked


def test_the_process_of_a_run_is_ours() -> None:
    """Prefect's command for it, which another release may change, is the one that is replaced."""
    usual = command_to_string([sys.executable, "-m", SUPERVISOR, "/a b/supervisor.json"])
    found = command_from_string(forked(usual) or "")
    assert found == [sys.executable, "-m", "tasks.platform.worker.run", "prefect.engine", "/a b/supervisor.json"]
    assert SUPERVISOR in inspect.getsource(_workspace_starter)


def test_any_other_command_stays() -> None:
    """That of a work pool whose job has a command of its own."""
    assert forked("python -m prefect.engine") == "python -m prefect.engine"
    assert forked(None) is None
