"""When a worker is slow, and when it hangs."""

from __future__ import annotations

from serving.processes.liveness import (
    BEAT_DEADLINE_SECONDS,
    MAX_START_DEADLINE_SECONDS,
    SLOW_START_SECONDS,
    START_DEADLINE_SECONDS,
    WHOLE_START,
    Vigil,
)
from serving.processes.start import BEAT


def test_a_slow_start_with_progress_is_no_hang() -> None:
    """However long the imports take, each sign of progress starts the deadline again."""
    vigil, now = Vigil(), 1000.0
    vigil.begin(now)
    assert vigil.state(now) == "starting"
    for imported in range(9):
        now += START_DEADLINE_SECONDS - 1
        assert vigil.state(now) == ("slow" if now - 1000 > SLOW_START_SECONDS else "starting")
        vigil.hear(b"%d\n" % imported, now)
    assert vigil.stage == "8 modules imported"
    vigil.hear(b"9\n10\n" + BEAT, now)
    assert (vigil.state(now), vigil.is_serving) == ("serving", True)


def test_a_start_without_progress_hangs_and_the_next_deadline_is_longer() -> None:
    """Deadlines double up to a bound; a worker that serves brings the first one back."""
    vigil, deadlines = Vigil(), []
    for _ in range(6):
        vigil.begin(0.0)
        deadlines.append(vigil.deadline)
        assert vigil.state(vigil.deadline) != "hung"
        assert vigil.state(vigil.deadline + 1) == "hung"
        vigil.lengthen()
    assert deadlines == [60.0, 120.0, 240.0, 480.0, 960.0, MAX_START_DEADLINE_SECONDS]
    vigil.hear(BEAT, 0.0)
    assert vigil.deadline == START_DEADLINE_SECONDS


def test_a_start_that_computes_for_ever_hangs() -> None:
    """Progress alone does not help: all of a start has a deadline too."""
    vigil, whole = Vigil(), int(WHOLE_START * START_DEADLINE_SECONDS)
    vigil.begin(0.0)
    for now in range(whole + 1):
        vigil.hear(b"7\n", float(now))
        assert vigil.state(float(now)) != "hung"
    assert vigil.state(whole + 1.0) == "hung"


def test_only_the_event_loop_proves_that_a_worker_serves() -> None:
    """Signs of the thread that shows imports do not hide that the event loop hangs."""
    vigil = Vigil()
    vigil.begin(0.0)
    vigil.hear(BEAT, 1.0)
    vigil.hear(b"900\n", BEAT_DEADLINE_SECONDS)
    assert vigil.state(BEAT_DEADLINE_SECONDS + 1) == "serving"
    assert vigil.state(BEAT_DEADLINE_SECONDS + 2) == "hung"
    vigil.hear(BEAT, BEAT_DEADLINE_SECONDS + 2)
    assert vigil.state(BEAT_DEADLINE_SECONDS + 2) == "serving"
