"""Parse protobuf messages without building their objects.

Parsing an untrusted graph with the protobuf library could exhaust the memory: a message of two bytes takes hundreds of
bytes as an object. Here only the fields in a message's table are returned, and each field is charged to a budget.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from mmap import mmap

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]
Values = dict[str, list[int | Span]]

# Runs of repeated floats (field 7), integers (8) and strings of 4 to 63 bytes (9): a tree's attributes have millions of
# them, which one match skips. Shorter strings take more memory than bytes, so they are charged one by one.
_TEXTS = rb"|".join(rb"\x4a%s[\s\S]{%d}" % (re.escape(bytes([size])), size) for size in range(4, 64))
_RUN = re.compile(rb"(?:\x3d[\s\S]{4})++|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++|(?:" + _TEXTS + rb")++")


@dataclass(frozen=True)
class Entry:
    """An allowed field of a message.

    Parameters
    ----------
    name
        Name under which :meth:`Wire.message` returns it.
    kind
        Its wire type.
    many
        Whether it may be repeated.
    cost
        Most bytes of memory that one value takes as an object.
    kept
        Whether it is returned.
    """

    name: str
    kind: int
    many: bool = False
    cost: int = 200
    kept: bool = True


@dataclass(frozen=True)
class Message:
    """A message: its fields by number, and whether runs of numbers and strings are skipped."""

    entries: Mapping[int, Entry]
    runs: bool = False


@dataclass
class Wire:
    """Serialised messages, and the remaining memory budget for their objects.

    Parameters
    ----------
    content
        All bytes.
    budget
        Bytes of memory that the objects of further fields may take.
    """

    content: bytes | mmap = field(repr=False)
    budget: int

    def message(self, span: Span, kind: Message) -> Values:
        """Return a message's fields: varints as numbers, all others as the span of their bytes.

        Raises
        ------
        ValueError
            It is truncated, has an unknown field, a field of another type or a repeated one that must be single, or
            costs more than the budget.
        """
        found: Values = {}
        start, end = span
        while start < end:
            if kind.runs and (run := _RUN.match(self.content, start, end)) is not None:
                start = run.end()
                continue
            tag, start = self._varint(start, end)
            entry = kind.entries.get(tag >> 3)
            if entry is None or entry.kind != tag & 7:
                raise ValueError(f"it contains an unexpected field {tag >> 3} of wire type {tag & 7}")
            value, start = self._value(entry.kind, start, end)
            self._pay(entry.cost)
            if not entry.kept:
                continue
            values = found.setdefault(entry.name, [])
            if values and not entry.many:
                raise ValueError(f"it contains {entry.name!r} twice")
            values.append(value)
        return found

    def text(self, span: int | Span) -> str:
        """Return a field's bytes as text.

        Raises
        ------
        ValueError
            They are not UTF-8, or too long for a name.
        """
        start, end = as_span(span)
        if end - start > 10_000:
            raise ValueError(f"expected a name of at most 10,000 bytes, found {end - start:,}")
        return self.content[start:end].decode()

    def _value(self, kind: int, start: int, end: int) -> tuple[int | Span, int]:
        if kind == VARINT:
            return self._varint(start, end)
        if kind == LENGTH:
            size, start = self._varint(start, end)
        else:
            size = 4 if kind == FIXED32 else 8
        if size > end - start:
            raise ValueError("it is truncated")
        return (start, start + size), start + size

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = shift = 0
        for place in range(start, min(end, start + 10)):
            byte = self.content[place]
            value |= (byte & 127) << shift
            if byte < 128:
                return value, place + 1
            shift += 7
        raise ValueError("it is truncated")

    def _pay(self, cost: int) -> None:
        self.budget -= cost
        if self.budget < 0:
            raise ValueError(f"it contains more parts than a graph of {len(self.content):,} bytes may have")


def as_span(value: int | Span) -> Span:
    """Return the span of a field that is not a varint."""
    assert not isinstance(value, int)  # noqa: S101 - the tables say which fields are numbers
    return value
