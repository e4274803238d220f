"""Processes that outlive the command that starts them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from config.background import start_in_background

CODE = "import os, sys, time; print(os.getcwd(), os.environ['MINE'], flush=True); time.sleep(60)"


def test_a_process_is_no_child_and_has_its_own_session(tmp_path: Path) -> None:
    """It has its environment, folder and output, and this process does not wait for it."""
    log = tmp_path / "log"
    with log.open("wb") as output:
        start_in_background([sys.executable, "-c", CODE], {**os.environ, "MINE": "a b"}, output, tmp_path)
    until = time.monotonic() + 60
    while not log.read_text().endswith("\n"):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert log.read_text() == f"{tmp_path} a b\n"
    [process] = [one for one in psutil.process_iter(["cmdline"]) if CODE in (one.info["cmdline"] or [])]
    try:
        assert process not in psutil.Process().children(recursive=True)
        assert os.getsid(process.pid) != os.getsid(0)
    finally:
        process.kill()


def test_a_process_that_cannot_be_started_is_an_error(tmp_path: Path) -> None:
    """Here because its folder does not exist."""
    with (tmp_path / "log").open("wb") as output, pytest.raises(FileNotFoundError):
        start_in_background([sys.executable, "-c", "pass"], os.environ, output, tmp_path / "none")
