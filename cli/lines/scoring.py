"""The result of a batch scoring, formatted for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.output import section, short_path

if TYPE_CHECKING:
    from core.score.outcome import ScoreOutcome


def score_lines(outcome: ScoreOutcome) -> list[str]:
    """Report what was scored by which version, and where it is."""
    places = {"output": outcome.output, "rows set aside": outcome.set_aside}
    links = [f"{title:18} {short_path(place)}" for title, place in places.items() if place]
    head = f"{outcome.model} version {outcome.version}: {'; '.join(outcome.reasons)}"
    return [head, *section([f"{'predicted at':18} {outcome.predicted_at}", *links])]
