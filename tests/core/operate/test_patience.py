"""When a silent process is restarted."""

from __future__ import annotations

import pytest

from core.operate.patience import HANG_SECONDS, MAX_DOUBLINGS, START_SECONDS, STEADY_SECONDS, Patience, PatientClock


def test_a_process_that_was_healthy_and_falls_silent_is_restarted() -> None:
    """After its deadline, not before; a sign of life in between starts it again."""
    patience = Patience()
    assert not patience.look(7, "healthy", 0)
    assert not patience.look(7, "unresponsive", HANG_SECONDS)
    assert not patience.look(7, "healthy", HANG_SECONDS + 1)
    assert not patience.look(7, "unresponsive", 2 * HANG_SECONDS + 1)
    assert patience.look(7, "unresponsive", 2 * HANG_SECONDS + 2)


def test_a_start_has_longer() -> None:
    """Until it was healthy for the first time; another process starts again."""
    patience = Patience()
    assert not patience.look(7, "unresponsive", 0)
    assert not patience.look(7, "unresponsive", START_SECONDS)
    assert not patience.look(8, "unresponsive", START_SECONDS + 1)
    assert not patience.look(8, "unresponsive", 2 * START_SECONDS + 1)
    assert patience.look(8, "unresponsive", 2 * START_SECONDS + 2)


def test_restarts_that_do_not_help_become_rare() -> None:
    """The deadline doubles up to a bound, and a steady time brings the first one back."""
    patience, deadlines = Patience(), []
    for pid in range(1, MAX_DOUBLINGS + 4):
        patience.look(pid, "healthy", 0)
        deadlines.append(patience.deadline)
        assert patience.look(pid, "unresponsive", patience.deadline + 1)
        patience.note_restart()
    assert deadlines == [HANG_SECONDS * 2 ** min(n, MAX_DOUBLINGS) for n in range(MAX_DOUBLINGS + 3)]
    patience.look(99, "healthy", 0)
    patience.look(99, "healthy", STEADY_SECONDS + 1)
    assert patience.deadline == HANG_SECONDS


@pytest.mark.parametrize(("pid", "health"), [(7, "unknown"), (0, "unresponsive")])
def test_what_cannot_be_judged_is_left(pid: int, health: str) -> None:
    """A worker whose heartbeats go to a server that is away, and a process that ended and is being restarted."""
    patience = Patience()
    patience.look(7, "healthy", 0)
    assert not patience.look(pid, health, 1e6)  # type: ignore[arg-type] # one of its words
    assert not patience.look(7, "unresponsive", 1e6 + 1)


def test_a_pause_of_who_watches_is_not_a_pause_of_who_is_watched() -> None:
    """After it was stopped for an hour, or the machine slept, the others have their time all the same."""
    moments = iter((100.0, 100.5, 101.0, 3701.0, 3701.5, 3701.25))
    clock = PatientClock(1.0, lambda: next(moments))
    assert [clock.read() for _ in range(5)] == [0.5, 1.0, 2.0, 2.5, 2.5]
