"""Whether an expectation of a suite can be evaluated on the kind of its column that the model file declares."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from config.schema import ModelConfig
from core.text import is_number, listed, readable

CONTENTS = {"VARCHAR": "text", "DOUBLE": "numbers", "BOOLEAN": "true or false", "TIMESTAMP": "dates"}
"""What the columns of a type contain, for people."""

RANGES = ("values_to_be_between", "max_to_be_between", "min_to_be_between")
SETS = (
    "values_to_be_in_set",
    "values_to_not_be_in_set",
    "distinct_values_to_be_in_set",
    "distinct_values_to_contain_set",
    "distinct_values_to_equal_set",
)
NEEDED_TYPES = {
    "mean_to_be_between": ("DOUBLE",),
    "stdev_to_be_between": ("DOUBLE",),
    "value_z_scores_to_be_less_than": ("DOUBLE",),
    "median_to_be_between": ("DOUBLE", "BOOLEAN"),
    "quantile_values_to_be_between": ("DOUBLE", "BOOLEAN"),
    "sum_to_be_between": ("DOUBLE", "BOOLEAN"),
    "value_lengths_to_be_between": ("VARCHAR",),
    "value_lengths_to_equal": ("VARCHAR",),
}
"""The types on which DuckDB evaluates an expectation; one that is not listed here is evaluated on all types."""

_TRUTH = frozenset({"true", "false", "t", "f", "1", "0", "yes", "no", "y", "n"})
_DATE = re.compile(r"\s*\d+-\d+-\d+")


def fit_problem(kind: str, arguments: Mapping[str, Any], config: ModelConfig, types: Mapping[str, str]) -> str | None:
    """Return why an expectation does not fit the model file; None if it does.

    Only what the engine cannot evaluate, or what no batch can pass, is a problem. A set of numbers on a column of text
    is none: the engine compares them if all texts are numbers.

    Parameters
    ----------
    kind
        Its type in Great Expectations' format, such as ``expect_column_values_to_be_between``.
    arguments
        Its ``kwargs``; the columns that they name are declared.
    config
        The model file.
    types
        Its declared columns and their types, see :func:`core.data.columns.column_types`.
    """
    if kind == "expect_table_columns_to_match_set":
        return _columns_problem(arguments, config)
    column, name = arguments.get("column"), kind.removeprefix("expect_column_")
    if not isinstance(column, str) or name == kind:
        return None
    found = types[column]
    wanted = _wanted(name, arguments, found)
    if wanted is None:
        return None
    return f"expects {wanted}, but {readable(column, 60)} contains {CONTENTS[found]} ({declaration(column, config)})"


def declaration(column: str, config: ModelConfig) -> str:
    """Return the place in the model file that decides a column's type.

    Parameters
    ----------
    column
        Name of a declared column.
    config
        The model file.
    """
    roles = {config.key: "key", config.time: "time", config.target: f"target, task: {config.task}"}
    kinds = ("numeric", "categorical", "boolean", "dates", "ignored")
    return roles.get(column) or next(f"features.{kind}" for kind in kinds if column in getattr(config.features, kind))


def _wanted(name: str, arguments: Mapping[str, Any], found: str) -> str | None:
    """Return what an expectation on one column expects, if a column of that type does not contain it."""
    needed = NEEDED_TYPES.get(name)
    if needed is not None:
        return None if found in needed else CONTENTS[needed[0]]
    if name in RANGES:
        return next(_unfit_bounds(name, arguments, found), None)
    values = arguments.get("value_set")
    if name not in SETS or not isinstance(values, list):
        return None
    unfit = [value for value in values if not _is_member(value, found)]
    return f"the value{'s' if len(unfit) > 1 else ''} {listed(unfit)}" if unfit else None


def _unfit_bounds(name: str, arguments: Mapping[str, Any], found: str) -> Iterator[str]:
    bounds = [bound for bound in (arguments.get("min_value"), arguments.get("max_value")) if bound is not None]
    for bound in bounds:
        wanted = "DOUBLE" if not isinstance(bound, str) or is_number(bound) else "TIMESTAMP"
        # The largest and the smallest value of truth values are compared as 0 and 1.
        if found != wanted and not (wanted == "DOUBLE" and found == "BOOLEAN" and name != RANGES[0]):
            yield CONTENTS[wanted]


def _is_member(value: object, found: str) -> bool:
    if not isinstance(value, str):
        return value is None or found != "TIMESTAMP"
    if found == "DOUBLE":
        return is_number(value)
    if found == "BOOLEAN":
        return value.strip().lower() in _TRUTH
    return found == "VARCHAR" or _DATE.match(value) is not None


def _columns_problem(arguments: Mapping[str, Any], config: ModelConfig) -> str | None:
    names = arguments.get("column_set")
    if not isinstance(names, Iterable) or arguments.get("exact_match") is False:
        return None
    lacks = sorted(set(config.columns).difference(names))
    return f"lacks {listed(lacks)}, which the model file declares" if lacks else None
