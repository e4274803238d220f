"""Problems of requests whose body is not what the contract says, by field and by place in the body."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from config.similar_names import unseen_difference
from serving.problems import FieldError, Problem

MAX_SHOWN = 500
"""Most characters of a client's name or text that an answer repeats."""

MAX_COMPARED = 200
"""Longest name that is compared with the columns: it may come from any client."""

Locate = Callable[[int | None, str], str]
"""From the number of a row and the name of a field to its JSON pointer in the body; None: of the whole column."""

_OF_ROW = re.compile(r"(.*) - at `\$\.rows\[(\d+)\](?:\.(.*))?`", re.DOTALL)
_OF_COLUMN = re.compile(r"(.*) - at `\$\.columns(?:\.(.*))?`", re.DOTALL)
_OF_CELL = re.compile(r"(.*)\[(\d+)\]", re.DOTALL)
_NAMED = re.compile(r"(?:unknown|required) field `(.*)`$", re.DOTALL)


def in_rows(row: int | None, field: str) -> str:
    """Return the pointer of a field in a list of rows."""
    if row is None:
        return "/rows"
    return f"/rows/{row}/{_escaped(field)}" if field else f"/rows/{row}"


def in_columns(row: int | None, field: str) -> str:
    """Return the pointer of a row's value in an object of columns."""
    if not field:
        return "/columns"
    return f"/columns/{_escaped(field)}" if row is None else f"/columns/{_escaped(field)}/{row}"


def invalid(message: str, columns: Sequence[str]) -> Problem:
    """Convert a message of msgspec, ``what - at `$.rows[0].age```, into the error of a field of these columns.

    Parameters
    ----------
    message
        Text of the error; its places name the fields as in the contract.
    columns
        Names of the contract's columns.
    """
    of_row, of_column = _OF_ROW.fullmatch(message), _OF_COLUMN.fullmatch(message)
    of_part = of_row or of_column
    what = of_part[1] if of_part else message.rpartition(" - at `$")[0] or message
    named = _NAMED.search(what)
    if named:
        what += look_alike(named[1], columns)
    if of_row is not None:
        field = named[1] if named else of_row[3] or ""
        return field_problem(field or "rows", what, in_rows(int(of_row[2]), field))
    if of_column is not None:
        name, row = (named[1], None) if named else _column_and_row(of_column[2] or "", columns)
        return field_problem(name or "columns", what, in_columns(row, name))
    return field_problem(named[1] if named else "rows", what, "" if named else "/rows")


def _column_and_row(place: str, columns: Sequence[str]) -> tuple[str, int | None]:
    """Split ``age[3]``; a name may end like this too."""
    found = None if place in columns else _OF_CELL.fullmatch(place)
    return (place, None) if found is None else (found[1], int(found[2]))


def look_alike(name: str, columns: Sequence[str]) -> str:
    """Return how a name differs from a column's that looks the same; empty if there is no such column."""
    if len(name) > MAX_COMPARED:
        return ""
    found = ((column, unseen_difference(column, name)) for column in columns)
    return next(
        (f"; {column!r} looks the same, but this {difference}" for column, difference in found if difference), ""
    )


def not_json(body: bytes | bytearray, error: Exception) -> Problem:
    """Return the problem of a body that is not JSON; name a field with NaN or infinity, which some libraries write.

    Parameters
    ----------
    body
        The body.
    error
        Why it could not be parsed.
    """
    try:
        found = json.loads(body)
        strange = next((one for one in _places(found) if isinstance(one[2], float) and not math.isfinite(one[2])), None)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        strange = None
    if strange is None:
        return Problem("invalid-json", f"expected a JSON document: {error}")
    name, pointer, value = strange
    return field_problem(name, f"expected a finite number or null, found {value}", pointer)


def _places(body: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield name, pointer and value of each field of the rows or columns."""
    if "rows" in body:
        yield from (
            (name, in_rows(row, name), value) for row, one in enumerate(body["rows"]) for name, value in one.items()
        )
    else:
        columns = body["columns"].items()
        yield from ((name, in_columns(row, name), value) for name, one in columns for row, value in enumerate(one))


def field_problem(field: str, detail: str, pointer: str) -> Problem:
    """Return the problem of one field; texts of the client are shortened.

    Parameters
    ----------
    field, detail, pointer
        Its name, what was expected and found, and its place in the body.
    """
    field, detail, pointer = map(_shown, (field, detail, pointer))
    return Problem("invalid-request", f"{field!r}: {detail}", errors=(FieldError(field, detail, pointer),))


def _shown(text: str) -> str:
    """Shorten a text that may come from the client, and escape lone surrogates."""
    return text.encode("utf-8", "backslashreplace").decode()[:MAX_SHOWN]


def _escaped(field: str) -> str:
    return field.replace("~", "~0").replace("/", "~1")
