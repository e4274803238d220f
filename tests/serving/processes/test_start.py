"""What a worker shows of its start."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

from config.settings import PACKAGES
from serving.processes.start import BEAT, show_progress, signal_life

_WORKER = """
import importlib, os, time

for number in range(6):
    importlib.import_module(f"part_{number}")
    time.sleep(0.6)

def main():
    print("served")
"""


def test_slow_imports_are_shown_as_progress(tmp_path: Path) -> None:
    """A worker whose imports take 4 s says more than once how far it is, and then serves."""
    (tmp_path / "slow_worker.py").write_text(_WORKER)
    for number in range(6):
        (tmp_path / f"part_{number}.py").touch()
    signs, descriptor = os.pipe()
    done = subprocess.run(
        [sys.executable, "-m", "serving.processes.start", "slow_worker", str(descriptor)],
        pass_fds=[descriptor],
        cwd=PACKAGES,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    os.close(descriptor)
    with os.fdopen(signs) as read:
        shown = [int(line) for line in read.read().splitlines()]
    assert done.stdout == "served\n"
    assert len(shown) >= 3
    assert shown == sorted(shown)


def test_a_start_that_stands_still_shows_nothing() -> None:
    """A thread that writes on by itself would hide a hang: without imports and processor time no line is written."""
    signs, descriptor = os.pipe()
    stop = threading.Event()
    thread = threading.Thread(target=show_progress, args=(descriptor, stop))
    thread.start()
    thread.join(2.0)
    stop.set()
    thread.join()
    os.close(descriptor)
    with os.fdopen(signs) as read:
        assert len(read.read().splitlines()) <= 2, "its first line, and one for a second of processor time"


def test_a_supervisor_that_does_not_read_stops_no_worker() -> None:
    """A full pipe takes no more heartbeats, and a closed one neither; the worker goes on."""
    signs, descriptor = os.pipe()
    os.set_blocking(descriptor, False)
    for _ in range(20_000):
        signal_life(descriptor, BEAT)
    assert os.read(signs, 5) == BEAT
    os.close(signs)
    signal_life(descriptor, BEAT)
    os.close(descriptor)
