"""The order of the tests, and the names of those that have become slow.

What takes long stands first, so that both processes are busy to the end. xdist gives each process a part of the list
and lets one that is through take from the end of another's part: each part begins with what is long and ends with what
is short. A module stays together, because its fixtures are made once per process.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import TypeVar

import pytest

SLOW_SECONDS = 10.0
"""Beyond this a test is marked ``slow`` or ``e2e``, or made quicker."""

Test = TypeVar("Test", bound=Hashable)

_seconds: defaultdict[str, float] = defaultdict(float)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests; all processes sort alike."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    short: list[pytest.Item] = []
    for item in items:
        if _is_marked(item):
            long[item.nodeid.partition("::")[0]].append(item)
        else:
            short.append(item)
    by_patience = sorted(long.values(), key=lambda module: -max(map(_patience, module)))
    items[:] = chain.from_iterable(parts(by_patience, short, processes))


def parts(long: Iterable[Sequence[Test]], short: Sequence[Test], processes: int) -> list[list[Test]]:
    """Deal tests to parts of the same number of tests.

    Parameters
    ----------
    long
        Modules of what takes long, the longest first; they are dealt in turn.
    short
        What fills the parts up.
    processes
        Number of parts.

    Examples
    --------
    >>> parts([["a1", "a2"], ["b"], ["c"]], ["p", "q", "r", "s"], 2)
    [['a1', 'a2', 'c', 'p'], ['b', 'q', 'r', 's']]
    """
    dealt: list[list[Test]] = [[] for _ in range(processes)]
    for number, module in enumerate(long):
        dealt[number % processes].extend(module)
    # As xdist cuts them: the last part has what does not divide.
    size, rest = (sum(map(len, dealt)) + len(short)) // processes, list(short)
    for part in dealt[:-1]:
        n_missing = max(0, size - len(part))
        part += rest[:n_missing]
        rest = rest[n_missing:]
    dealt[-1] += rest
    return dealt


def _is_marked(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "e2e"))


def _patience(item: pytest.Item) -> float:
    """Return the seconds that a test may take: a longer time-out than the usual one was given to what takes long."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add up what a test took, its own fixtures included; those of a module or session count for their first test."""
    if report.when == "call" and not {"slow", "e2e"} & report.keywords.keys():
        _seconds[report.nodeid] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the slow ones."""
    slow = [(seconds, name) for name, seconds in _seconds.items() if seconds > SLOW_SECONDS]
    if slow:
        terminalreporter.section(f"longer than {SLOW_SECONDS:g} s and not marked slow or e2e")
        for seconds, name in sorted(slow, reverse=True):
            terminalreporter.line(f"{seconds:.1f} s {name}")
