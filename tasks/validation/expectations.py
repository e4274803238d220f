"""Read a model's suite of expectations, and refuse errors that Great Expectations ignores silently."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.schema import ModelConfig
from config.settings import Settings
from config.similar_names import closest_text
from core.data.columns import column_types
from core.data.expectation_fit import fit_problem
from core.errors import ConfigError
from core.text import readable

MAX_BYTES = 10_000_000
MAX_SHOWN = 20
"""Maximum number of expectations that a message lists."""

LEVELS = ("schema", "row", "warning")
ROW_COUNT = "expect_table_row_count_to_be_between"
QUERY = "unexpected_rows_expectation"
_UNIQUE = ("expect_column_values_to_be_unique", "expect_compound_columns_to_be_unique")
_ONE_COLUMN = ("column", "column_A", "column_B")
_MANY_COLUMNS = ("column_list", "column_set")
_KEYS = {"type", "kwargs", "severity", "meta", "notes", "description", "id", "rendered_content"}


@dataclass(frozen=True)
class Expected:
    """One expectation of a suite.

    Parameters
    ----------
    place
        Its name in messages: the suite's file, its index and type.
    kind
        ``expect_...`` or ``unexpected_rows_expectation``.
    kwargs
        Its arguments.
    level
        ``schema``, ``row`` or ``warning``.
    severity
        The corresponding severity of Great Expectations.
    why
        The reason given in the suite, shown on the page.
    rule
        The rule that inferred it; empty if there is no ``meta.inferred``.
    """

    place: str
    kind: str
    kwargs: dict[str, Any] = field(repr=False)
    level: str
    severity: str = "critical"
    why: str = ""
    rule: str = ""

    @property
    def column(self) -> str | None:
        """Its column; None for an expectation on several columns or on the table."""
        column = self.kwargs.get("column")
        return column if isinstance(column, str) else None

    @property
    def is_uniqueness(self) -> bool:
        """Whether it requires unique values, so that rows fail as copies of each other."""
        return self.kind in _UNIQUE

    @property
    def columns(self) -> Iterator[str]:
        """All columns it names."""
        for key in _ONE_COLUMN:
            if key in self.kwargs:
                yield self.kwargs[key]
        for key in _MANY_COLUMNS:
            yield from self.kwargs.get(key) or ()


def read_suite(config: ModelConfig, settings: Settings) -> tuple[Expected, ...]:
    """Read the model's suite in its order; "at least one row" comes first unless the suite has it.

    Great Expectations checks the types and arguments when it builds the expectations.

    Raises
    ------
    ConfigError
        There is no such file, it is not a suite, a level is unknown, or expectations do not fit the model file: a
        column is not declared, or is of another kind.
    """
    expected = parsed_expectations(present_suite(config, settings), config)
    refuse_unfit(
        expected,
        config,
        f"Remove these expectations, or run 'perennial init --suite {config.model}', which infers again what was "
        "inferred and keeps what a person wrote",
    )
    if any(one.kind == ROW_COUNT and (one.kwargs.get("min_value") or 0) >= 1 for one in expected):
        return expected
    # An empty batch passes every expectation on a column.
    return (Expected("at least one row", ROW_COUNT, {"min_value": 1}, "schema"), *expected)


def present_suite(config: ModelConfig, settings: Settings) -> dict[str, Any]:
    """Return the content of the suite's file, with a list ``expectations``.

    Raises
    ------
    ConfigError
        There is no such file, or it is not a suite.
    """
    path = settings.root / config.validation.suite
    content = _parsed(path, config)
    if not isinstance(content, dict) or not isinstance(content.get("expectations"), list):
        raise ConfigError(f"{path}: expected an object with a list 'expectations', in Great Expectations' format")
    return content


def parsed_expectations(content: Mapping[str, Any], config: ModelConfig) -> tuple[Expected, ...]:
    """Return the expectations of a suite's content in its order.

    Raises
    ------
    ConfigError
        One is malformed; the message names its index.
    """
    items = enumerate(content["expectations"])
    return tuple(_expected(item, f"{config.validation.suite}: expectations[{index}]") for index, item in items)


def refuse_unfit(expected: Iterable[Expected], config: ModelConfig, advice: str) -> None:
    """Refuse all expectations that do not fit the model file at once: after an edit there are often several.

    Parameters
    ----------
    expected
        Expectations of the model's suite.
    config
        The model file.
    advice
        What to do, for the end of the message.

    Raises
    ------
    ConfigError
        A column is not declared or is of another kind; the message lists the expectations with index and type.
    """
    types = column_types(config)
    problems = [
        f"{one.place.removeprefix(f'{config.validation.suite}: ')}: {problem}"
        for one in expected
        if (problem := _problem(one, config, types))
    ]
    if not problems:
        return
    more = f"\n  and {len(problems) - MAX_SHOWN:,} more" if len(problems) > MAX_SHOWN else ""
    shown = "\n  ".join(problems[:MAX_SHOWN])
    raise ConfigError(
        f"{config.validation.suite} does not fit config/models/{config.model}.yaml:\n  {shown}{more}\n{advice}"
    )


def _parsed(path: Path, config: ModelConfig) -> Any:
    if not path.is_file():
        raise ConfigError(
            f"no suite {path}; validation.suite is {config.validation.suite!r}, relative to the project's folder. "
            f"Correct the path, or infer a suite from the source with 'perennial init --suite {config.model}'"
        )
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(
            f"{path}: larger than {MAX_BYTES:,} bytes; expected a suite, which lists expectations and no data"
        )
    try:
        return json.loads(path.read_bytes())
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}, line {error.lineno}: not valid JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid JSON: {error}") from error


def _expected(item: Any, place: str) -> Expected:
    if not isinstance(item, dict) or not isinstance(item.get("type"), str):
        raise ConfigError(f"{place}: expected an object with 'type' and 'kwargs', found {readable(item)}")
    place = f"{place} ({readable(item['type'])})"
    unknown = sorted(set(item) - _KEYS)
    if unknown:
        raise ConfigError(
            f"{place}: unknown keys {unknown}; put arguments under 'kwargs' and Perennial's keys under 'meta'"
        )
    kwargs, meta = item.get("kwargs") or {}, item.get("meta") or {}
    if not isinstance(kwargs, dict) or not isinstance(meta, dict):
        raise ConfigError(f"{place}: 'kwargs' and 'meta' must be objects")
    severity = item.get("severity") or "critical"
    level = meta.get("level") or ("warning" if severity == "warning" else "schema")
    if level not in LEVELS:
        raise ConfigError(f"{place}: meta.level is {readable(level)!r}, expected one of {', '.join(LEVELS)}")
    if item["type"] == QUERY and "{batch}" not in str(kwargs.get("unexpected_rows_query")):
        raise ConfigError(f"{place}: the query must read from {{batch}}, the rows to validate, and nothing else")
    rule = str(meta.get("inferred") or "").partition(" ")[0]
    return Expected(place, item["type"], kwargs, level, severity, str(meta.get("why") or ""), rule)


def _problem(expected: Expected, config: ModelConfig, types: Mapping[str, str]) -> str | None:
    for key in _MANY_COLUMNS:
        if not isinstance(expected.kwargs.get(key) or [], list):
            return f"{key} must be a list of column names"
    # An expectation on exactly these columns concerns the declared ones too.
    undeclared = [column for column in expected.columns if column not in types]
    if undeclared:
        close = closest_text(str(undeclared[0]), types)
        return (
            f"column {readable(undeclared[0])!r} is not declared in the model file, also not under features.ignored"
            + (f" ({close})" if close else "")
        )
    if expected.rule == "unique" and not config.key_is_unique:
        return "expects each key once, but key_is_unique is false in the model file"
    return fit_problem(expected.kind, expected.kwargs, config, types)
