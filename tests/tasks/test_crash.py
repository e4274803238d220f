"""``kill -9`` at every point of an ingestion, then the same again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CRASHES = Path(__file__).with_name("crash_points.py")


@pytest.mark.slow
def test_a_killed_ingestion_finishes_when_it_is_run_again(tmp_path: Path) -> None:
    """Killed before a rename, link or commit, or at a random moment, the next run leaves one valid version."""
    done = subprocess.run(
        [sys.executable, str(CRASHES), str(tmp_path), "4"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    killed = [trial for trial in trials if trial["killed"]]
    assert len(killed) >= 10
    expected = trials[0]["version"]
    for trial in trials:
        assert trial["files"] == 1, trial
        assert trial["version"] == trial["restored"] == expected, trial
        assert trial["history"] == [expected], trial
        assert trial["leftovers"] == [], trial
