"""Describe an expectation and its result in plain sentences.

The common types have sentences of our own, because Great Expectations' renderers take a millisecond per member of a
set; the renderers describe all other types.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from string import Template
from typing import Any

from config.similar_names import unseen_difference
from core.text import readable
from tasks.validation.expectations import QUERY, ROW_COUNT, Expected

MAX_SENTENCE = 300
NOTHING = "--"
"""What was observed where there is no value, as Great Expectations' renderers write it."""

_EXAMPLES = 3
_MEMBERS = 12
_MEMBER = re.compile(r"(v|ov|exp|column_list)__?\d+$")


def sentence(expected: Expected, result: Any) -> str:
    """Return what the expectation requires, as one plain sentence."""
    own = _SENTENCES.get(expected.kind) if expected.kwargs.get("row_condition") is None else None
    text = own(expected.kwargs) if own else _rendered(result, "prescriptive").strip().removesuffix(".")
    arguments = ", ".join(f"{name} = {value}" for name, value in expected.kwargs.items())
    fallback = f"{expected.kind.removeprefix('expect_').replace('_', ' ')}: {arguments}"
    return readable(text or fallback, MAX_SENTENCE)


def observed(result: Any, counts_rows: bool, n_rows: int, members: Sequence[Any] = ()) -> str:
    """Return what was observed, as short text.

    Parameters
    ----------
    result
        Of the expectation.
    counts_rows
        Whether it is about rows.
    n_rows
        Rows of the batch.
    members
        Values of which each row should have one; a value that looks like one of them is told apart.
    """
    if raised(result):
        return f"could not be evaluated: {readable(raised(result), 200)}"
    if counts_rows:
        return _rows_observed(result.result, n_rows, members)
    value = result.result.get("observed_value")
    if value is None and "observed_value" in result.result:
        return NOTHING
    if isinstance(value, list):
        return readable(_members(value), 200)
    return readable(_plain(value) if isinstance(value, str | int | float) else _rendered(result, "diagnostic"), 200)


def n_unexpected(result: Any) -> int:
    """Return the number of rows that failed."""
    found = result.result
    return int(found.get("unexpected_count", found.get("observed_value", 0)) or 0)


def raised(result: Any) -> str:
    """Why an expectation could not be evaluated, in one line; empty if it could."""
    raised = [one for one in _exceptions(result) if one.get("raised_exception")]
    messages = (str(one.get("exception_message") or "").strip() for one in raised)
    return next((message.splitlines()[0] for message in messages if message), "no reason given" if raised else "")


def traceback(result: Any) -> str:
    """All tracebacks that the library kept."""
    return "\n".join(str(one.get("exception_traceback") or "") for one in _exceptions(result))


def _exceptions(result: Any) -> list[dict[str, Any]]:
    # There are two forms: the exception itself, or one exception per metric.
    info = result.exception_info or {}
    return [info] if "raised_exception" in info else [one for one in info.values() if isinstance(one, dict)]


def _rows_observed(found: dict[str, Any], n_rows: int, members: Sequence[Any]) -> str:
    n_failed = found.get("unexpected_count", found.get("observed_value")) or 0
    if not n_failed:
        return "no row fails"
    examples = list(dict.fromkeys(_plain(value) for value in found.get("partial_unexpected_list") or ()))[:_EXAMPLES]
    shown = f", e.g. {'; '.join(readable(example, 40) for example in examples)}" if examples else ""
    alike = next((text for example in examples for member in members if (text := _look_alike(example, member))), "")
    return f"{n_failed:,} of {found.get('element_count', n_rows):,} rows fail{shown}{alike}"


def _look_alike(example: str, member: Any) -> str:
    difference = unseen_difference(member, example) if isinstance(member, str) else ""
    return f", which looks like {readable(member, 40)!r} but {difference}" if difference else ""


def _range(arguments: dict[str, Any]) -> str:
    low, high = arguments.get("min_value"), arguments.get("max_value")
    more, less = arguments.get("strict_min"), arguments.get("strict_max")
    if low is not None and high is not None and not more and not less:
        return f"between {_plain(low)} and {_plain(high)}"
    lower = f"{'more than' if more else 'at least'} {_plain(low)}" if low is not None else ""
    upper = f"{'less than' if less else 'at most'} {_plain(high)}" if high is not None else ""
    return " and ".join(part for part in (lower, upper) if part) or "anything"


def _mostly(arguments: dict[str, Any]) -> str:
    share = arguments.get("mostly")
    return f", in at least {100 * share:.4g}% of rows" if isinstance(share, int | float) and share < 1 else ""


def _members(values: Sequence[Any]) -> str:
    more = len(values) - _MEMBERS
    shown = ", ".join(
        repr(readable(value, 40)) if isinstance(value, str) else _plain(value) for value in values[:_MEMBERS]
    )
    return f"{shown} and {more:,} more" if more > 0 else shown


def _of_values(says: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], str]:
    return lambda arguments: f"{readable(arguments['column'], 60)} {says(arguments)}{_mostly(arguments)}"


def _of_column(what: str) -> Callable[[dict[str, Any]], str]:
    return lambda arguments: f"{what} {readable(arguments['column'], 60)} must be {_range(arguments)}"


_SENTENCES: dict[str, Callable[[dict[str, Any]], str]] = {
    ROW_COUNT: lambda arguments: f"the number of rows must be {_range(arguments)}",
    QUERY: lambda arguments: f"this query must return no row: {arguments['unexpected_rows_query']}",
    "expect_table_columns_to_match_set": lambda arguments: (
        f"the columns must {'be exactly' if arguments.get('exact_match', True) else 'include'} "
        f"{_members(arguments.get('column_set') or [])}"
    ),
    "expect_compound_columns_to_be_unique": lambda arguments: (
        f"{_members(arguments['column_list'])} must be unique together{_mostly(arguments)}"
    ),
    "expect_column_values_to_not_be_null": _of_values(lambda _: "must have a value"),
    "expect_column_values_to_be_unique": _of_values(lambda _: "must be unique"),
    "expect_column_values_to_be_between": _of_values(lambda arguments: f"must be {_range(arguments)}"),
    "expect_column_value_lengths_to_be_between": _of_values(
        lambda arguments: f"must be {_range(arguments)} characters long"
    ),
    "expect_column_values_to_be_in_set": _of_values(
        lambda arguments: f"must be one of {_members(arguments.get('value_set') or [])}"
    ),
    "expect_column_values_to_not_be_in_set": _of_values(
        lambda arguments: f"must be none of {_members(arguments.get('value_set') or [])}"
    ),
    "expect_column_proportion_of_non_null_values_to_be_between": _of_column("the share of values present in"),
    "expect_column_unique_value_count_to_be_between": _of_column("the number of distinct values of"),
    "expect_column_mean_to_be_between": _of_column("the mean of"),
    "expect_column_median_to_be_between": _of_column("the median of"),
    "expect_column_stdev_to_be_between": _of_column("the standard deviation of"),
    "expect_column_min_to_be_between": _of_column("the smallest value of"),
    "expect_column_max_to_be_between": _of_column("the largest value of"),
}


def _rendered(result: Any, kind: str) -> str:
    if result.rendered_content is None:
        result.render()
    blocks = [*(result.rendered_content or ()), *(result.expectation_config.rendered_content or ())]
    return " ".join(_text(block.value.to_json_dict()) for block in blocks if f".{kind}." in block.name)


def _text(value: dict[str, Any]) -> str:
    if "template" in value:
        return _filled(value["template"], value)
    lines = [" | ".join(_cell(cell) for cell in row) for row in value.get("table") or ()]
    title = _cell(value["header"]).rstrip(".") if value.get("header") else ""
    names = " | ".join(_cell(cell) for cell in value.get("header_row") or ())
    return f"{title} ({names}): {'; '.join(lines)}".strip() if lines else title


def _cell(cell: Any) -> str:
    inner = cell.get("value") if isinstance(cell, dict) else cell
    return _filled(inner["template"], inner) if isinstance(inner, dict) and "template" in inner else _plain(inner)


def _filled(template: str, value: dict[str, Any]) -> str:
    params = {name: _param(name, param.get("value")) for name, param in (value.get("params") or {}).items()}
    return Template(template or "").safe_substitute(params)


def _param(name: str, value: Any) -> str:
    # Members of a set are listed; quotes show where each ends.
    return repr(value) if _MEMBER.match(name) and isinstance(value, str) else _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.12g}"
    return "no value" if value is None else str(value)
