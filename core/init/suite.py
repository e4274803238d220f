"""Infer a Great Expectations suite from statistics of a data set's columns.

How strict each expectation is follows from what a surprise of its kind means in production:

- ``schema``: the file is not what it was (a column went empty, most levels are unknown): the batch is refused.
- ``row``: single values are impossible (a number far outside, an unknown label): these rows are set aside.
- ``warning``: the world may have moved (a new level, a number that follows time): reported, nothing more. The encoders
  take unknown levels, so a new one is no reason to lose its rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from config.schema import ModelConfig
from core.init.columns import ColumnStatistics
from core.init.model_file import Findings
from core.text import percent

RANGE_SLACK = 0.25
TARGET_SLACK = 1.0
NULL_SLACK = 0.1
KNOWN_LEVELS = 0.9
MAX_WATCHED_LEVELS = 50
FOLLOWS_TIME = 0.8
EARLIEST = datetime(1, 1, 1)
LATEST = datetime(9999, 12, 31)

Expectation = dict[str, Any]


def suite_content(found: Findings, config: ModelConfig) -> dict[str, Any]:
    """Content of ``config/expectations/<model>.json``."""
    return {"name": config.model, "expectations": list(_expectations(found, config))}


def _expectations(found: Findings, config: ModelConfig) -> Iterator[Expectation]:
    yield _expectation("table_row_count_to_be_between", "schema", "an empty batch means a broken export", min_value=1)
    yield _expectation(
        "table_columns_to_match_set",
        "schema",
        "the columns the model file declares",
        column_set=list(config.columns),
        exact_match=True,
    )
    yield from _key(config)
    yield from _time(found, config)
    yield from _target(found, config)
    for name in config.features.numeric:
        yield from _numeric(found.columns[name])
    for name in config.features.categorical:
        yield from _categorical(found.columns[name])
    for name in config.features.boolean:
        yield from _present(found.columns[name])
    for name in config.features.dates:
        yield from _dates(found.columns[name])
        yield from _present(found.columns[name])


def _expectation(kind: str, level: str, why: str, **arguments: Any) -> Expectation:
    severity = "warning" if level == "warning" else "critical"
    return {
        "type": f"expect_{kind}",
        "kwargs": arguments,
        "severity": severity,
        "meta": {"level": level, "why": why},
    }


def _key(config: ModelConfig) -> Iterator[Expectation]:
    if config.key is None:
        return
    yield _expectation(
        "column_values_to_not_be_null", "row", "a row without its key cannot be joined to a label", column=config.key
    )
    if config.key_is_unique:
        yield _expectation(
            "column_values_to_be_unique", "row", "each key stood in one row of the first data", column=config.key
        )


def _time(found: Findings, config: ModelConfig) -> Iterator[Expectation]:
    if config.time is None:
        return
    column = found.columns[config.time]
    if not column.n_missing:
        why = "a row without its time has no place in the order"
        yield _expectation("column_values_to_not_be_null", "row", why, column=column.name)
    if config.time not in config.features.dates:
        yield from _dates(column)


def _target(found: Findings, config: ModelConfig) -> Iterator[Expectation]:
    column = found.columns[config.target]
    labelled = 1 - column.missing_share
    yield _expectation(
        "column_proportion_of_non_null_values_to_be_between",
        "warning",
        f"{percent(labelled)} of the first rows had a label; half of that is worth a look",
        column=column.name,
        min_value=round(labelled / 2, 4),
    )
    if config.task == "regression":
        yield _between(column, TARGET_SLACK, "row")
        return
    why = "a label the model does not know is a mistake, or a new class that needs a decision"
    labels = sorted(text for text, _ in found.goal.classes)
    yield _expectation("column_values_to_be_in_set", "row", why, column=column.name, value_set=labels)


def _numeric(column: ColumnStatistics) -> Iterator[Expectation]:
    follows = abs(column.time_correlation or 0.0) >= FOLLOWS_TIME
    yield _between(column, RANGE_SLACK, "warning" if follows else "row")
    yield from _present(column)


def _between(column: ColumnStatistics, slack: float, level: str) -> Expectation:
    low, high = column.minimum or 0.0, column.maximum or 0.0
    room = slack * ((high - low) or abs(high) or 1.0)
    lower = max(0.0, low - room) if low >= 0 else low - room
    upper = min(0.0, high + room) if high <= 0 and low < 0 else high + room
    why = f"seen {low:.6g} to {high:.6g}, with {percent(slack)} of that span as slack"
    why += "; never negative" if lower == 0 and low >= 0 else ""
    why += "; it follows the time column, so its range will move" if level == "warning" else ""
    bounds = {"min_value": _tidy(lower, room), "max_value": _tidy(upper, room)}
    return _expectation("column_values_to_be_between", level, why, column=column.name, **bounds)


def _categorical(column: ColumnStatistics) -> Iterator[Expectation]:
    levels = sorted(text for text, _ in column.levels)
    yield _expectation(
        "column_values_to_be_in_set",
        "schema",
        f"over {percent(1 - KNOWN_LEVELS)} of values outside the {len(levels)} known levels: the coding changed",
        column=column.name,
        value_set=levels,
        mostly=KNOWN_LEVELS,
    )
    if len(levels) <= MAX_WATCHED_LEVELS:
        why = "a level never seen before: the model treats it as unknown"
        yield _expectation("column_values_to_be_in_set", "warning", why, column=column.name, value_set=levels)
    yield from _present(column)


def _present(column: ColumnStatistics) -> Iterable[Expectation]:
    """Share of values, with more slack the more are missing anyway; none where hardly a value is expected."""
    present = 1 - column.missing_share
    least = present - NULL_SLACK - 0.25 * column.missing_share
    if least < NULL_SLACK:
        return []
    why = f"{percent(present)} of the first rows had a value; far fewer mean the column was lost"
    kind = "column_proportion_of_non_null_values_to_be_between"
    return [_expectation(kind, "schema", why, column=column.name, min_value=round(least, 4))]


def _dates(column: ColumnStatistics) -> Iterator[Expectation]:
    if column.earliest is None or column.latest is None:
        return
    span = column.latest - column.earliest
    before = max(span, timedelta(days=365))
    after = max(5 * span, timedelta(days=3653))
    first = column.earliest - min(before, column.earliest - EARLIEST)
    last = column.latest + min(after, LATEST - column.latest)
    yield _expectation(
        "column_values_to_be_between",
        "row",
        f"seen {column.earliest:%Y-%m-%d} to {column.latest:%Y-%m-%d}; far outside it is a default or an error",
        column=column.name,
        min_value=f"{first:%Y-%m-%d} 00:00:00",
        max_value=f"{last:%Y-%m-%d} 00:00:00",
    )


def _tidy(value: float, room: float) -> float:
    """Bound without digits that mean nothing beside its slack."""
    return round(value, 1 - math.floor(math.log10(room)))
