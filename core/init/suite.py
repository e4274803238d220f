"""Infer a Great Expectations suite from statistics of a data set's columns.

The level of each expectation follows from what a failure means in production:

- ``schema``: the file has changed (a column is empty, most levels are unknown): the batch is refused.
- ``row``: single values are impossible (an unknown label, a date centuries away): these rows are set aside.
- ``warning``: the data may have drifted (a new level, a number out of range): it is only reported. Prices and fees
  rise, and the monitor decides whether that matters. The encoders accept unknown levels, so the rows of a new level are
  kept.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from config.schema import ModelConfig
from core.init.columns import MAX_CATEGORY_LEVELS, ColumnStatistics
from core.init.model_file import Findings
from core.text import number, percent

RANGE_SLACK = 0.25
TARGET_SLACK = 1.0
NULL_SLACK = 0.1
KNOWN_LEVELS = 0.9
MAX_WATCHED_LEVELS = 50
FOLLOWS_TIME = 0.8
EARLIEST = datetime(1, 1, 1)
SETS = ("column_set", "value_set")
"""Arguments whose order means nothing."""

LATEST = datetime(9999, 12, 31)

Expectation = dict[str, Any]


def suite_content(found: Findings, config: ModelConfig) -> dict[str, Any]:
    """Return the content of ``config/expectations/<model>.json``."""
    return {"name": config.model, "expectations": list(_expectations(found, config))}


def _expectations(found: Findings, config: ModelConfig) -> Iterator[Expectation]:
    yield _expectation(
        "rows", "table_row_count_to_be_between", "schema", "an empty batch indicates a broken export", min_value=1
    )
    yield _expectation(
        "columns",
        "table_columns_to_match_set",
        "schema",
        "exactly the columns that the model file declares",
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


def _expectation(rule: str, kind: str, level: str, why: str, **arguments: Any) -> Expectation:
    severity = "warning" if level == "warning" else "critical"
    written = {
        "type": f"expect_{kind}",
        "kwargs": arguments,
        "severity": severity,
        "meta": {"level": level, "why": why},
    }
    written["meta"] = {"level": level, "why": why, "inferred": f"{rule} {content_digest(written)}"}
    return written


def content_digest(expectation: Mapping[str, Any]) -> str:
    """Return eight hex digits of what an expectation does: its type, arguments, severity and level.

    In ``meta.inferred`` they show whether a person has changed the expectation since it was inferred.
    """
    meta = expectation.get("meta") or {}
    what = [expectation["type"], plain_arguments(expectation), expectation.get("severity"), meta.get("level")]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]


def plain_arguments(expectation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an expectation, sets in one order."""
    arguments = expectation.get("kwargs") or {}
    sets = {name: sorted(arguments[name], key=str) for name in SETS if isinstance(arguments.get(name), list)}
    return {**arguments, **sets}


def _key(config: ModelConfig) -> Iterator[Expectation]:
    if config.key is None:
        return
    yield _expectation(
        "key",
        "column_values_to_not_be_null",
        "row",
        "a row without its key cannot be joined to a label",
        column=config.key,
    )
    if config.key_is_unique:
        why = "each key occurred in one row of the first data"
        yield _expectation("unique", "column_values_to_be_unique", "row", why, column=config.key)


def _time(found: Findings, config: ModelConfig) -> Iterator[Expectation]:
    if config.time is None:
        return
    column = found.columns[config.time]
    if not column.n_missing:
        why = "a row without its time cannot be ordered"
        yield _expectation("time", "column_values_to_not_be_null", "row", why, column=column.name)
    if config.time not in config.features.dates:
        yield from _dates(column)


def _target(found: Findings, config: ModelConfig) -> Iterator[Expectation]:
    column = found.columns[config.target]
    labelled = 1 - column.missing_share
    yield _expectation(
        "labelled",
        "column_proportion_of_non_null_values_to_be_between",
        "warning",
        f"{percent(labelled)} of the first rows had a label; a share below half of that may be an error",
        column=column.name,
        min_value=round(labelled / 2, 4),
    )
    if config.task == "regression":
        yield from _between(column, TARGET_SLACK)
        return
    why = "an unknown label is an error, or a new class that must be added to the suite"
    labels = sorted(text for text, _ in found.goal.classes)
    yield _expectation("labels", "column_values_to_be_in_set", "row", why, column=column.name, value_set=labels)


def _numeric(column: ColumnStatistics) -> Iterator[Expectation]:
    yield from _between(column, RANGE_SLACK)
    yield from _present(column)


def _between(column: ColumnStatistics, slack: float) -> Iterator[Expectation]:
    if column.minimum is None or column.maximum is None:
        return
    low, high = column.minimum, column.maximum
    bounds = range_bounds(low, high, slack)
    why = f"observed {number(low)} to {number(high)}, with {percent(slack)} of that range as tolerance"
    why += "; never negative" if bounds["min_value"] == 0 and low >= 0 else ""
    follows = abs(column.time_correlation or 0.0) >= FOLLOWS_TIME
    why += "; correlates with the time column, so its range will shift" if follows else ""
    yield _expectation("range", "column_values_to_be_between", "warning", why, column=column.name, **bounds)


def range_bounds(low: float, high: float, slack: float) -> dict[str, float]:
    """Return the arguments ``min_value`` and ``max_value`` for an observed range; the sign does not change.

    Parameters
    ----------
    low, high
        Smallest and largest observed value.
    slack
        Tolerance on either side, as a share of the range.

    Examples
    --------
    >>> range_bounds(10, 100, 0.25)
    {'min_value': 0.0, 'max_value': 122.0}
    """
    room = slack * ((high - low) or abs(high) or 1.0)
    lower = max(0.0, low - room) if low >= 0 else low - room
    upper = min(0.0, high + room) if high <= 0 and low < 0 else high + room
    return {"min_value": _tidy(lower, room), "max_value": _tidy(upper, room)}


def _categorical(column: ColumnStatistics) -> Iterator[Expectation]:
    levels = sorted(text for text, _ in column.levels)
    if len(levels) <= MAX_CATEGORY_LEVELS:
        yield from _known_levels(column, levels)
    yield from _present(column)


def _known_levels(column: ColumnStatistics, levels: list[str]) -> Iterator[Expectation]:
    yield _expectation(
        "coding",
        "column_values_to_be_in_set",
        "schema",
        f"over {percent(1 - KNOWN_LEVELS)} of values not among the {len(levels)} known levels means the coding changed",
        column=column.name,
        value_set=levels,
        mostly=KNOWN_LEVELS,
    )
    if len(levels) <= MAX_WATCHED_LEVELS:
        why = "the model treats a new level as unknown"
        yield _expectation("levels", "column_values_to_be_in_set", "warning", why, column=column.name, value_set=levels)


def _present(column: ColumnStatistics) -> Iterable[Expectation]:
    """Expect a share of values, with more tolerance the more are missing; nothing if few values are expected."""
    present = 1 - column.missing_share
    least = present - NULL_SLACK - 0.25 * column.missing_share
    if least < NULL_SLACK:
        return []
    why = f"{percent(present)} of the first rows had a value; with far fewer, the column was lost"
    kind = "column_proportion_of_non_null_values_to_be_between"
    return [_expectation("present", kind, "schema", why, column=column.name, min_value=round(least, 4))]


def _dates(column: ColumnStatistics) -> Iterator[Expectation]:
    if column.earliest is None or column.latest is None:
        return
    span = column.latest - column.earliest
    before = max(span, timedelta(days=365))
    after = max(5 * span, timedelta(days=3653))
    first = column.earliest - min(before, column.earliest - EARLIEST)
    last = column.latest + min(after, LATEST - column.latest)
    yield _expectation(
        "dates",
        "column_values_to_be_between",
        "row",
        f"observed {column.earliest.date()} to {column.latest.date()}; far outside is a default value or an error",
        column=column.name,
        min_value=f"{first.date()} 00:00:00",
        max_value=f"{last.date()} 00:00:00",
    )


def _tidy(value: float, room: float) -> float:
    """Round a bound to the digits that matter beside its tolerance."""
    return round(value, 1 - math.floor(math.log10(room)))
