"""A disk that fails at writes drawn from all; ``benchmarks/storage_faults.py`` tries every kind, in every command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="the faults are compiled, for Linux")
def test_a_failed_write_is_a_storage_error_and_the_same_again_works() -> None:
    """A full, read-only or broken disk leaves no broken file under a final name, and nothing that stops a repeat."""
    command = [sys.executable, "-m", "benchmarks.storage_faults", "store", "restore", "--every", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n## restore: ends with 0" in done.stdout
    assert done.stdout.endswith("0 trials failed\n")
