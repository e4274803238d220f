"""``kill -9`` around register, verdict, compare-and-set and projection, then the next commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

POINTS = Path(__file__).with_name("gate_points.py")


@pytest.mark.timeout(1800)
@pytest.mark.slow
def test_a_killed_promotion_is_whole_after_the_next_command(tmp_path: Path) -> None:
    """One champion, aliases that equal the database, no version lost or doubled, wherever it was killed."""
    done = subprocess.run(
        [sys.executable, str(POINTS), str(tmp_path), "23", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines()]
    assert len([trial for trial in trials if trial["killed"]]) >= 5
    for trial in trials:
        after_any, after_same = trial["after_any"], trial["after_same"]
        assert after_any["history"] in ([[1, 1, None]], [[1, 1, None], [2, 2, 1]]), trial
        assert after_any["aliases"] == aliases(after_any["history"]), trial
        assert after_same["history"] == [[1, 1, None], [2, 2, 1]], trial
        assert after_same["aliases"] == {"champion": 2, "previous": 1}, trial
        assert after_same["keys"] == len(after_same["versions"]) == 2, trial
        assert after_same["verdicts"] == after_same["tagged"] == 2, trial


def aliases(history: list[list[int]]) -> dict[str, int]:
    """Aliases that a history asks for."""
    champion = {"champion": history[-1][1]}
    return champion | ({"previous": history[-2][1]} if len(history) > 1 else {})
