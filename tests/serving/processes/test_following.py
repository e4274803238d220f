"""The thread that follows champions is replaced when it hangs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from serving.processes.following import MAX_DOUBLINGS, STEP_SECONDS, Following, Pulse


class Threads:
    """Threads that wait until they are released, with their pulses in the order of their starts."""

    def __init__(self) -> None:
        self.pulses: list[Pulse] = []
        self.begun = threading.Semaphore(0)
        self.released = threading.Event()

    def follow(self, pulse: Pulse) -> None:
        """Hang."""
        self.pulses.append(pulse)
        self.begun.release()
        self.released.wait(60)


@pytest.fixture
def threads() -> Iterator[Threads]:
    """Return threads that end with the test."""
    made = Threads()
    yield made
    made.released.set()


def test_a_thread_that_beats_is_kept(threads: Threads) -> None:
    """However long it works, also on one step that takes as long as it said."""
    following = Following(threads.follow)
    for now in range(0, 2000, 100):
        following.keep(float(now))
        if now == 0:
            assert threads.begun.acquire(timeout=120)
        threads.pulses[0].beat()
    threads.pulses[0].beat(4800.0)
    following.keep(2000.0)
    following.keep(6800.0)
    assert len(threads.pulses) == 1
    assert not threads.pulses[0].stop.is_set()


def test_a_thread_that_hangs_is_replaced_more_and_more_seldom(
    threads: Threads, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told to publish nothing, a warning says so once, and the next one has twice the time."""
    following, now = Following(threads.follow), 0.0
    following.keep(now)
    for n_left in range(MAX_DOUBLINGS + 3):
        assert threads.begun.acquire(timeout=120)
        deadline = STEP_SECONDS * 2 ** min(n_left, MAX_DOUBLINGS)
        following.keep(now + deadline)
        assert len(threads.pulses) == n_left + 1
        now += deadline + 1
        following.keep(now)
        assert threads.pulses[n_left].stop.is_set()
    assert [record.getMessage() for record in caplog.records][:2] == [
        "the thread that follows champions and keys showed no sign of life for 121 s; starting another one. "
        "Check that the database answers",
        "the thread that follows champions and keys showed no sign of life for 241 s; starting another one. "
        "Check that the database answers",
    ]


def test_a_thread_that_ended_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """An error that nothing caught would otherwise leave the service with its last champion for ever."""
    begun = threading.Semaphore(0)
    following = Following(lambda _pulse: begun.release())
    following.keep(0.0)
    assert begun.acquire(timeout=120)
    for number in range(1, 100):
        following.keep(float(number))
        if begun.acquire(timeout=0.05):
            break
    assert "ended after" in caplog.records[0].getMessage()


def test_the_end_tells_the_thread(threads: Threads) -> None:
    """The service stops without waiting for it."""
    following = Following(threads.follow)
    following.keep(0.0)
    assert threads.begun.acquire(timeout=120)
    following.end()
    assert threads.pulses[0].stop.is_set()
