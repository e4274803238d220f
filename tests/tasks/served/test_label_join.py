"""Which label belongs to which prediction: by id, by the event after it, by the entity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from tasks.served.label_join import LABELS, LATER, has_events, labels_sql, write_keys, write_labels

T = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

Told = tuple[str, str, datetime | None, int, str, datetime]


def joined(
    folder: Path,
    predictions: Sequence[tuple[str, str | None, datetime]],
    labels: Sequence[Told],
    match_days: float | None = None,
    later: list[tuple[str, datetime]] | None = None,
) -> dict[str, str]:
    """Return the label of each labelled prediction by its id."""
    write_labels([labels[:2], labels[2:]], folder / LABELS)
    write_keys([later or []], folder / LATER)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE r (place INTEGER, id VARCHAR, entity VARCHAR, answered TIMESTAMP)")
        rows: list[Any] = [(place, *one[:2], one[2].replace(tzinfo=None)) for place, one in enumerate(predictions)]
        connection.executemany("INSERT INTO r VALUES (?, ?, ?, ?)", rows)
        found = connection.execute(labels_sql("r", folder, match_days)).fetchall()
    return {predictions[place][0]: label for place, label, _ in found}


def test_the_newest_known_value_counts(tmp_path: Path) -> None:
    """Of an id, by its number, whatever the order in which the values are read."""
    labels: list[Told] = [
        ("id", "a", None, 2, "1", T + DAY),
        ("id", "a", None, 1, "0", T),
        ("id", "x", None, 1, "0", T),
    ]
    assert joined(tmp_path, [("a", None, T), ("b", None, T)], labels) == {"a": "1"}


def test_an_event_belongs_to_the_nearest_prediction_before_it(tmp_path: Path) -> None:
    """Not to an earlier one of the entity, nor to a later one; all rows of that moment have it."""
    predictions = [("a", "k", T), ("b", "k", T + DAY), ("c", "k", T + DAY), ("d", "k", T + 3 * DAY), ("e", "m", T)]
    event: Told = ("key", "k", T + 2 * DAY, 1, "1", T + 9 * DAY)
    assert joined(tmp_path, predictions, [event]) == {"b": "1", "c": "1"}


def test_an_event_at_the_moment_of_a_prediction_is_its_own(tmp_path: Path) -> None:
    """One before the first prediction belongs to none."""
    events: list[Told] = [("key", "k", T, 1, "1", T), ("key", "k", T - DAY, 1, "0", T)]
    assert joined(tmp_path, [("a", "k", T)], events) == {"a": "1"}


def test_the_first_event_after_a_prediction_counts(tmp_path: Path) -> None:
    """An entity that has several outcomes and no prediction in between."""
    events: list[Told] = [("key", "k", T + 5 * DAY, 1, "1", T + 9 * DAY), ("key", "k", T + DAY, 1, "0", T + 9 * DAY)]
    assert joined(tmp_path, [("a", "k", T)], events) == {"a": "0"}


def test_the_bound_of_days_cuts_off_old_predictions(tmp_path: Path) -> None:
    """For events and for labels without a time, which are known at a time."""
    predictions = [("a", "k", T), ("b", "m", T)]
    labels: list[Told] = [("key", "k", T + 2 * DAY, 1, "1", T + 2 * DAY), ("key", "m", None, 1, "0", T + 2 * DAY)]
    assert joined(tmp_path, predictions, labels, 2.0) == {"a": "1", "b": "0"}
    assert joined(tmp_path, predictions, labels, 1.9) == {}


def test_a_label_without_a_time_is_about_all_predictions_before_it_was_known(tmp_path: Path) -> None:
    """The outcome of the entity, as far as it could be known."""
    predictions = [("a", "k", T), ("b", "k", T + DAY), ("c", "k", T + 3 * DAY)]
    assert joined(tmp_path, predictions, [("key", "k", None, 1, "1", T + 2 * DAY)]) == {"a": "1", "b": "1"}


def test_an_id_says_more_than_an_event_and_an_event_more_than_an_entity(tmp_path: Path) -> None:
    """The order in which labels of different kinds count."""
    predictions = [("a", "k", T), ("b", "k", T + DAY)]
    labels: list[Told] = [
        ("key", "k", None, 1, "entity", T + 9 * DAY),
        ("key", "k", T + 2 * DAY, 1, "event", T + 9 * DAY),
        ("id", "b", None, 1, "id", T + 9 * DAY),
    ]
    assert joined(tmp_path, predictions, labels) == {"a": "entity", "b": "id"}
    assert joined(tmp_path, predictions, labels[:2]) == {"a": "entity", "b": "event"}


def test_a_later_prediction_takes_the_event_although_it_is_not_in_the_window(tmp_path: Path) -> None:
    """The nearest prediction before the event was made after the window."""
    event: Told = ("key", "k", T + 5 * DAY, 1, "1", T + 9 * DAY)
    assert joined(tmp_path, [("a", "k", T)], [event], later=[("k", T + 4 * DAY)]) == {}
    with duckdb.connect() as connection:
        assert has_events(connection, tmp_path, T + 5 * DAY)
        assert not has_events(connection, tmp_path, T + 6 * DAY)
