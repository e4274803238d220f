"""Show tests that have become slow: those that ``make test-fast`` runs and that take longer than it can bear."""

from __future__ import annotations

from collections import defaultdict

import pytest

SLOW_SECONDS = 10.0
"""Beyond this a test is marked ``slow`` or ``e2e``, or made quicker."""

_seconds: defaultdict[str, float] = defaultdict(float)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what is long first, so that both processes are busy to the end."""
    items.sort(key=lambda item: not _is_marked(item))


def _is_marked(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "e2e"))


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
