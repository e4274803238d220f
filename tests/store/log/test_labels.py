"""The labels on both databases: every value that was known, when it was known, and what it is about."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select, text

from store.database import reading
from store.log.labels import Label, RecordedLabels, known_labels_since, newest_label, record_labels
from store.tables import LabelRow
from tests.store.stories import Story, with_engine

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
EVENT = datetime(2026, 2, 1, tzinfo=UTC)
Tell = Callable[[Story], None]


def _newest(engine: Engine, model: str) -> dict[tuple[str, str], tuple[str, str]]:
    """Return the rows of the view."""
    statement = text("SELECT kind, reference, label, sender FROM labels WHERE model = :model")
    with reading(engine) as connection:
        return {(row[0], row[1]): (row[2], row[3]) for row in connection.execute(statement, {"model": model})}


def _history(engine: Engine, model: str) -> list[tuple[str, int, str, datetime]]:
    columns = (LabelRow.reference, LabelRow.number, LabelRow.label, LabelRow.received_at)
    chosen = select(*columns).where(LabelRow.model == model).order_by(LabelRow.reference, LabelRow.number)
    with reading(engine) as connection:
        return [tuple(row) for row in connection.execute(chosen)]


def test_labels_are_new_the_same_or_others(tell: Tell) -> None:
    """Sent again they change nothing; of a reference that occurs twice the last counts; kinds are apart."""

    def story(engine: Engine, model: str) -> None:
        first = [Label("id", "a", "1"), Label("key", "a", "0"), Label("key", "b", "0"), Label("key", "b", "1")]
        assert record_labels(engine, model, first, "shop", AT) == RecordedLabels(3, 0, 0)
        assert record_labels(engine, model, first, "else", AT) == RecordedLabels(0, 3, 0)
        assert record_labels(engine, f"{model}x", first[:1], "shop", AT) == RecordedLabels(1, 0, 0)
        changed = [Label("id", "a", "0"), Label("key", "b", "1"), Label("key", "c", "1")]
        assert record_labels(engine, model, changed, "bank", AT) == RecordedLabels(1, 1, 1)
        assert _newest(engine, model) == {
            ("id", "a"): ("0", "bank"),
            ("key", "a"): ("0", "shop"),
            ("key", "b"): ("1", "shop"),
            ("key", "c"): ("1", "bank"),
        }

    tell(story)


def test_ten_thousand_labels_are_recorded_at_once(tell: Tell) -> None:
    """And half of them replaced by the next ten thousand."""

    def story(engine: Engine, model: str) -> None:
        labels = [Label("key", f"{'k' * 249}{place:06d}", "0") for place in range(15_000)]
        assert record_labels(engine, model, labels[:10_000], "shop", AT) == RecordedLabels(10_000, 0, 0)
        others = [Label(label.kind, label.reference, "1") for label in reversed(labels[5_000:])]
        assert record_labels(engine, model, others, "shop", AT) == RecordedLabels(5_000, 0, 5_000)
        assert sorted(label for label, _ in _newest(engine, model).values()) == 5_000 * ["0"] + 10_000 * ["1"]

    tell(story)


def test_a_contradiction_is_a_new_row_and_what_was_known_before_stays(tell: Tell) -> None:
    """So a decision can be replayed with what was known then; going back to a value is a third row."""

    def story(engine: Engine, model: str) -> None:
        for place, value in enumerate(("0", "1", "1", "0")):
            record_labels(engine, model, [Label("key", "a", value)], "shop", AT + timedelta(days=place))
        assert _history(engine, model) == [
            ("a", 1, "0", AT),
            ("a", 2, "1", AT + timedelta(days=1)),
            ("a", 3, "0", AT + timedelta(days=3)),
        ]
        then = [row for part in known_labels_since(engine, model, AT, AT + timedelta(days=2)) for row in part]
        assert max(then, key=lambda row: row[3])[4] == "1"
        assert newest_label(engine, model) == AT + timedelta(days=3)
        assert newest_label(engine, f"{model}x") is None

    tell(story)


def test_events_of_one_entity_are_apart(tell: Tell) -> None:
    """The same key about two times is two outcomes, and the one without a time is a third."""

    def story(engine: Engine, model: str) -> None:
        events = [
            Label("key", "a", "0", EVENT),
            Label("key", "a", "1", EVENT + timedelta(days=30)),
            Label("key", "a", "1"),
        ]
        assert record_labels(engine, model, events, "shop", AT) == RecordedLabels(3, 0, 0)
        assert record_labels(engine, model, events, "shop", AT) == RecordedLabels(0, 3, 0)
        found = [row for part in known_labels_since(engine, model, AT, AT, rows=2) for row in part]
        expected = [(AT, "1"), (EVENT, "0"), (EVENT + timedelta(days=30), "1")]
        assert sorted((row[2] or AT, row[4]) for row in found) == sorted(expected)
        with reading(engine) as connection:
            statement = text("SELECT count(*), count(event_at) FROM labels WHERE model = :model")
            assert tuple(connection.execute(statement, {"model": model}).one()) == (3, 2)

    tell(story)


SENDER = """
import sys
from datetime import UTC, datetime
from tests.store.stories import with_engine
from store.log.labels import Label, record_labels

address, model, first, repeats = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])

def work(engine):
    for start in range(0, 1_000, 50):
        labels = [Label("key", f"k{(first + place) % 1_000}", "1") for place in range(start, start + 50)]
        record_labels(engine, model, labels, "sender", datetime.now(UTC))

for _ in range(repeats):
    with_engine(address, work)
"""


def _start(database: str, model: str, first: int, repeats: int) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-c", SENDER, database, model, str(first), str(repeats)]
    return subprocess.Popen(words, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_several_senders_and_kills_lose_none_and_record_none_twice(database: str) -> None:
    """Four processes send the same thousand labels from four places; two are killed and begin again."""
    model = f"m{os.getpid()}x{time.monotonic_ns()}"
    running = [_start(database, model, first, 1) for first in (0, 250, 500, 750)]
    for victim in running[:2]:
        while _n_rows(database, model) < 100 and victim.poll() is None:
            time.sleep(0.01)
        victim.send_signal(signal.SIGKILL)
        victim.communicate()
    running[:2] = [_start(database, model, first, 1) for first in (0, 250)]
    errors = [process.communicate()[1].decode() for process in running]
    assert errors == [""] * 4
    found: list[Any] = []
    with_engine(database, lambda engine: found.extend(_history(engine, model)))
    assert len(found) == 1_000
    assert {(number, label) for _, number, label, _ in found} == {(1, "1")}


def _n_rows(database: str, model: str) -> int:
    found: list[int] = []

    def count(engine: Engine) -> None:
        with reading(engine) as connection:
            found.append(
                connection.execute(
                    select(func.count()).select_from(LabelRow).where(LabelRow.model == model)
                ).scalar_one()
            )

    with_engine(database, count)
    return found[0]


@pytest.mark.slow
def test_senders_of_different_values_agree_on_an_order(database: str) -> None:
    """Each value that was told is in the history, numbered without gaps, and the last number counts."""
    model = f"m{os.getpid()}y{time.monotonic_ns()}"
    code = SENDER.replace('"1")', "sys.argv[5])")
    words = [[sys.executable, "-c", code, database, model, "0", "2", value] for value in ("0", "1", "2")]
    running = [subprocess.Popen(one, stderr=subprocess.PIPE) for one in words]
    assert [process.communicate()[1].decode() for process in running] == [""] * 3
    found: list[Any] = []
    with_engine(database, lambda engine: found.extend(_history(engine, model)))
    by_reference: dict[str, list[tuple[int, str]]] = {}
    for reference, number, label, _ in found:
        by_reference.setdefault(reference, []).append((number, label))
    assert len(by_reference) == 1_000
    for values in by_reference.values():
        assert [number for number, _ in values] == list(range(1, len(values) + 1))
        assert {label for _, label in values} == {"0", "1", "2"}
        assert all(one[1] != other[1] for one, other in itertools.pairwise(values))
