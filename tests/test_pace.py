"""The order in which the tests run."""

from __future__ import annotations

from itertools import chain

import pytest

from tests.pace import parts

SHORT = [f"s{number}" for number in range(20)]


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_every_part_begins_with_what_is_long_and_ends_with_what_is_short(processes: int) -> None:
    """No test is lost, and xdist's cuts fall where a part ends."""
    long = [["a1", "a2", "a3"], ["b1"], ["c1", "c2"]]
    found = parts(long, SHORT, processes)
    assert sorted(chain(*found)) == sorted(chain(*long, SHORT))
    assert [len(part) for part in found[:-1]] == [26 // processes] * (processes - 1)
    assert {part[0] for part in found} == {module[0] for module in long[:processes]}
    assert {part[-1][0] for part in found} == {"s"}


def test_a_module_stays_together() -> None:
    """Its fixtures would be made twice."""
    first, second = parts([["a1", "a2"], ["b1", "b2"], ["c1"]], SHORT, 2)
    assert (first[:3], second[:2]) == (["a1", "a2", "c1"], ["b1", "b2"])


def test_nothing_but_long_tests_is_dealt_too() -> None:
    """A part that is larger than its share takes no short test."""
    assert parts([["a1", "a2", "a3"], ["b1"]], ["s1"], 2) == [["a1", "a2", "a3"], ["b1", "s1"]]
