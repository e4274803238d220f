"""``kill -9`` at the points of every step of a release, then the same step again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tasks.release.traffic import QUICK

POINTS = Path(__file__).with_name("release_points.py")
STRIDE = 29


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_a_killed_step_is_done_once_or_not_at_all(tmp_path: Path) -> None:
    """The share is one of the steps, the aliases are the champion's, and a repeat ends as if nothing had happened."""
    command = [sys.executable, str(POINTS), str(tmp_path), str(STRIDE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert len([trial for trial in trials if trial["killed"]]) >= 15
    for trial in trials:
        after_any, after_same = trial["after_any"], trial["after_same"]
        assert {share for _, _, share in after_any["steps"]} <= {0, *QUICK["steps"]}, trial
        assert after_any["aliases"]["champion"] == after_any["champions"][-1], trial
        assert after_same == trial["expected"], trial
