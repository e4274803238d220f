"""The breaker of a released version: when it opens, and who learns of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from serving.release.breaker import FIRST_FAILURES, WINDOW, Breaker, breaker_file, read_report

SINCE = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return the place of a breaker's file."""
    return breaker_file(tmp_path, "credit", 2, SINCE)


def test_a_version_that_never_answers_is_out_after_three_requests(file: Path) -> None:
    """The file says why."""
    breaker = Breaker(file)
    for _ in range(FIRST_FAILURES - 1):
        breaker.failed("model-failed: no")
    assert not breaker.is_open
    breaker.failed("model-failed: no")
    assert breaker.reason == "3 of the last 3 requests of a worker failed, the newest: model-failed: no"
    assert read_report(file) == ("breaker", breaker.reason)


def test_five_failures_among_twenty_open_it(file: Path) -> None:
    """Four do not, whatever came before them."""
    breaker = Breaker(file)
    for _ in range(40):
        for _ in range(4):
            breaker.answered(0.001)
        breaker.failed("timeout")
    assert not breaker.is_open
    breaker.failed("timeout")
    assert breaker.is_open


def test_the_other_workers_learn_of_it(file: Path) -> None:
    """Those that run, and those that are started later; of two reasons the first one stays."""
    one, other = Breaker(file), Breaker(file)
    one.open("load", "no memory")
    assert not other.is_open
    other.look()
    other.open("breaker", "another reason")
    assert (other.reason, Breaker(file).reason) == ("no memory", "no memory")
    assert read_report(file) == ("load", "no memory")


def test_the_next_stage_begins_with_a_closed_one(file: Path, tmp_path: Path) -> None:
    """As does the next release."""
    Breaker(file).open("breaker", "slow")
    assert not Breaker(breaker_file(tmp_path, "credit", 2, "2026-01-02T03:04:06+00:00")).is_open
    assert not Breaker(breaker_file(tmp_path, "credit", 3, SINCE)).is_open


def test_a_half_written_file_says_that_it_is_open(file: Path) -> None:
    """A worker that was killed had a reason."""
    file.parent.mkdir()
    file.write_text('{"kind"')
    assert Breaker(file).reason == "another worker opened it"


def test_a_disk_that_cannot_be_written_stops_this_worker_all_the_same(tmp_path: Path) -> None:
    """The others find out by themselves."""
    breaker = Breaker(tmp_path / "missing" / "further" / "file.json")
    breaker.open("breaker", "slow")
    assert breaker.is_open


@pytest.mark.parametrize(
    ("own", "other", "is_open"),
    [(0.05, 0.001, True), (0.05, 0.04, False), (0.015, 0.001, False), (0.3, 0.2, False)],
)
def test_a_latency_far_above_the_other_versions(file: Path, own: float, other: float, *, is_open: bool) -> None:
    """Both the ratio and the excess count, from the twentieth answer of each."""
    breaker = Breaker(file)
    for _ in range(WINDOW):
        breaker.other_answered(other)
    for _ in range(WINDOW - 1):
        breaker.answered(own)
    assert not breaker.is_open
    breaker.answered(own)
    assert breaker.is_open is is_open


def test_the_time_of_a_request_follows_the_other_version(file: Path) -> None:
    """At least a second, at most what is left."""
    breaker = Breaker(file)
    assert breaker.limit(5.0) == 1.0
    assert breaker.limit(0.5) == 0.5
    for _ in range(WINDOW):
        breaker.other_answered(0.3)
    assert breaker.limit(5.0) == pytest.approx(3.0)
