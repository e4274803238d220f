"""The result of a batch scoring on a terminal."""

from __future__ import annotations

from cli.lines.scoring import score_lines
from core.score.outcome import ScoreOutcome


def test_places_and_numbers_are_told() -> None:
    """A file of rows that were set aside is named where there is one."""
    outcome = ScoreOutcome(
        model="credit",
        status="scored",
        version=3,
        output="/out/scores.parquet",
        set_aside="/out/scores.set-aside.parquet",
        n_rows=1000,
        n_scored=999,
        n_set_aside=1,
        predicted_at="2026-03-01T10:00:00+00:00",
        reasons=("scored 999 rows", "set 1 row aside that the feature contract refuses"),
    )
    assert score_lines(outcome) == [
        "credit version 3: scored 999 rows; set 1 row aside that the feature contract refuses",
        "",
        "  predicted at       2026-03-01T10:00:00+00:00",
        "  output             /out/scores.parquet",
        "  rows set aside     /out/scores.set-aside.parquet",
    ]
