"""The monitor of the stream benchmark judges windows as `perennial monitor` does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.stream_monitor import Champion, errors, verdicts
from benchmarks.stream_worlds import stream


@pytest.mark.parametrize("name", ["SEA", "LED"])
def test_a_change_is_watched_then_drift(name: str) -> None:
    """Windows before the change are ok; the first one after it is a signal, the second one drift, with its labels."""
    whole = stream(name, "abrupt", 0)
    assert whole.change is not None
    around = whole.rows.part(whole.change - 1_000, whole.change + 2_000)
    champion = Champion.of(replace(whole, rows=around, change=1_000))

    found = list(verdicts(champion, 1_000))

    assert [end for end, *_ in found] == [1_000, 2_000, 3_000]
    assert [labelled.status for _, labelled, _ in found] == ["ok", "watch", "drift"]
    # The features of SEA do not change with its labels.
    assert [unlabelled.drifted for *_, unlabelled in found] == [False, name == "LED", name == "LED"]


def test_errors_of_a_champion_are_wrong_classes() -> None:
    """The mean error on the holdout is that of the most probable class."""
    champion = Champion.of(stream("LED", "none", 0))

    assert errors(champion.stream.holdout, champion.output).mean() == pytest.approx(1 - champion.performance.value)
