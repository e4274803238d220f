"""Rates are kept by all processes together, survive a restart and heal."""

from __future__ import annotations

import os
import stat
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import StorageError
from serving.access.rates import SharedRates

ROOT = Path(__file__).resolve().parents[3]
HEADER = 64


class Clock:
    """Shows what it is set to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands."""
    return Clock()


@pytest.fixture
def rates(tmp_path: Path, clock: Clock) -> SharedRates:
    """Return rates of a fresh file."""
    return SharedRates(tmp_path / "rates", 64, clock=clock)


def test_a_burst_passes_and_then_one_at_a_time(rates: SharedRates, clock: Clock) -> None:
    """Ten at once, then one per interval; the wait that is told is exactly long enough."""
    assert [rates.allow("a", 2, 10) for _ in range(10)] == [0.0] * 10
    wait = rates.allow("a", 2, 10)
    assert wait == pytest.approx(0.5)
    clock.now += wait
    assert rates.allow("a", 2, 10) == 0.0
    assert rates.allow("a", 2, 10) == pytest.approx(0.5)


def test_what_is_refused_is_not_counted(rates: SharedRates) -> None:
    """Asking again and again does not make the wait longer."""
    rates.allow("a", 1)
    assert rates.allow("a", 1) == rates.allow("a", 1) == pytest.approx(1)


def test_a_slow_rate_still_lets_one_pass(rates: SharedRates) -> None:
    """A burst is at least one event."""
    assert rates.allow("a", 0.1) == 0.0
    assert rates.allow("a", 0.1) == pytest.approx(10)


def test_a_rate_of_nothing_is_a_mistake(rates: SharedRates) -> None:
    """No key may be bound to zero: it would be a revoked one."""
    with pytest.raises(ValueError, match="above 0"):
        rates.allow("a", 0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 3), min_size=1, max_size=60), st.floats(0.2, 50), st.floats(1, 20))
def test_no_window_holds_more_than_the_rate_explains(
    tmp_path_factory: pytest.TempPathFactory, pauses: list[float], per_second: float, burst: float
) -> None:
    """Between any two moments at most burst + rate × seconds events pass."""
    clock = Clock()
    rates = SharedRates(tmp_path_factory.mktemp("rates") / "rates", 4, clock=clock)
    passed = []
    for pause in pauses:
        clock.now += pause
        passed += [clock.now for _ in range(5) if not rates.allow("a", per_second, burst)]
    rates.close()
    for i, first in enumerate(passed):
        for j, last in enumerate(passed[i:], start=1):
            assert j <= burst + per_second * (last - first) + 1e-3


def test_counts_survive_a_restart(tmp_path: Path, clock: Clock) -> None:
    """A worker that is killed and started anew does not forgive."""
    before = SharedRates(tmp_path / "rates", 64, clock=clock)
    before.allow("a", 1)
    before.close()
    assert SharedRates(tmp_path / "rates", 64, clock=clock).allow("a", 1) > 0


def test_a_clock_that_is_set_back_locks_nobody_out(rates: SharedRates, clock: Clock) -> None:
    """The wait is never longer than the key's own rate explains."""
    rates.allow("a", 1)
    clock.now -= 1_000_000
    assert 0 < rates.allow("a", 1) <= 1 + 1e-6
    clock.now += 1
    assert rates.allow("a", 1) == 0.0


@pytest.mark.parametrize("slot", [float("nan"), float("inf"), -float("inf"), 1e300, -1.0])
def test_a_slot_with_nonsense_heals(tmp_path: Path, clock: Clock, slot: float) -> None:
    """Whatever stands in a slot, its key is served after one interval at most."""
    path = tmp_path / "rates"
    SharedRates(path, 1, clock=clock).close()
    with path.open("r+b") as file:
        file.seek(HEADER)
        file.write(struct.pack("=d", slot))
    rates = SharedRates(path, 1, clock=clock)
    if wait := rates.allow("a", 1):
        clock.now += wait
        assert rates.allow("a", 1) == 0.0
    assert rates.allow("a", 1) == pytest.approx(1)


@pytest.mark.parametrize("content", [b"", b"x" * 100, bytes(64 + 64 * 8)], ids=["empty", "short", "zeros"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, content: bytes) -> None:
    """Nothing is believed of a file that is not of our making, and no rate is lost for good."""
    path = tmp_path / "rates"
    path.write_bytes(content)
    assert SharedRates(path, 64).allow("a", 1) == 0.0
    assert path.stat().st_size == HEADER + 64 * 8
    assert [file.name for file in tmp_path.iterdir()] == ["rates"]


def test_other_slots_do_not_cut_the_file_that_others_have_open(tmp_path: Path, rates: SharedRates) -> None:
    """A worker of the next release puts its own file in place; the old one counts on in its own."""
    SharedRates(tmp_path / "rates", 8).allow("a", 1)
    assert rates.allow("a", 1) == 0.0
    assert rates.allow("a", 1) > 0


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    """Its header holds the key of the slots; a file that was open to others is closed to them."""
    path = tmp_path / "rates"
    SharedRates(path, 64).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    SharedRates(path, 64).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Somebody else's file is never written over."""
    other = tmp_path / "other"
    other.write_text("precious")
    (tmp_path / "rates").symlink_to(other)
    with pytest.raises(StorageError, match="cannot be opened"):
        SharedRates(tmp_path / "rates", 64)
    assert other.read_text() == "precious"


def test_two_files_put_the_same_key_in_different_slots(tmp_path: Path) -> None:
    """Slots follow a random key, so nobody outside can choose names that meet."""

    def used_slots(name: str) -> set[int]:
        rates = SharedRates(tmp_path / name, 65536)
        for i in range(8):
            rates.allow(str(i), 1)
        rates.close()
        content = (tmp_path / name).read_bytes()[HEADER:]
        return {i for i in range(65536) if content[8 * i : 8 * i + 8] != bytes(8)}

    assert used_slots("first") != used_slots("second")


def test_addresses_never_share_a_slot_with_a_caller(rates: SharedRates) -> None:
    """A client that fills all slots of addresses leaves every caller its whole rate."""
    for i in range(2000):
        rates.allow(f"guesses {i}", 1 / 60, 20, verified=False)
        rates.allow(f"guesses {i}", 1 / 60, 20, verified=False)
    # Each of the 32 slots of callers lets one of them pass.
    assert sum(rates.allow(f"caller {i}", 0.1) == 0.0 for i in range(2000)) == 32
    assert rates.allow("guesses 1", 1 / 60, 1, verified=False) > 0


def test_threads_share_a_rate(rates: SharedRates) -> None:
    """Eight threads pass exactly as often as one would."""
    passed: list[int] = []

    def ask() -> None:
        passed.append(sum(rates.allow("a", 1, 100) == 0.0 for _ in range(50)))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 100


def test_processes_share_a_rate(tmp_path: Path) -> None:
    """Three processes that make the file at once and ask at once pass exactly as often as one would."""
    code = (
        "import sys; from pathlib import Path; from serving.access.rates import SharedRates\n"
        "sys.stdin.readline()\n"
        "rates = SharedRates(Path(sys.argv[1]))\n"
        "print(sum(rates.allow('a', 1e-6, 500) == 0.0 for _ in range(400)))"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "rates")]
    workers = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    for worker in workers:
        assert worker.stdin
        worker.stdin.write("\n")
        worker.stdin.flush()
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 500
    assert os.listdir(tmp_path) == ["rates"]  # noqa: PTH208 - hidden ones too
