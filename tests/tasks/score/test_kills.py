"""A scoring that is killed anywhere, and the same command again: the bytes of a run without a kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tasks.score.scoring import Scored, rows_to_score

POINTS = Path(__file__).with_name("score_points.py")

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_scoring_ends_with_the_same_bytes(champion: Scored, tmp_path: Path) -> None:
    """Before every third of its points and at random moments, for each kind of output: whole or not there."""
    frame = rows_to_score(1000)
    frame.loc[[10, 500, 999], "income"] = float("inf")
    rows = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), rows, row_group_size=100)
    command = [sys.executable, str(POINTS), str(champion.settings.root), str(rows), str(tmp_path / "trials"), "7", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    trials = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"kind"')]
    assert sum(trial.get("killed", False) for trial in trials) >= 20
    for kind in ("scores.parquet", "scores", "scores.csv"):
        whole, *others = [trial for trial in trials if trial["kind"] == kind]
        assert whole["counts"] == [1000, 997, 3]
        assert len(whole["files"]) == (6 if kind == "scores" else 2)
        for trial in others:
            assert trial["files"] == whole["files"], trial["trial"]
            assert (trial["counts"], trial["left"]) == (whole["counts"], [])
