"""Walk the bytes of a protobuf message without building it.

Reading a graph by protobuf before it is judged would cost what a bomb wants it to cost: two bytes can announce a
message that takes hundreds in memory. Here nothing is built but what a message's table names, and every field that is
met is paid for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from mmap import mmap

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5

Span = tuple[int, int]
Values = dict[str, list[int | Span]]

# Runs of repeated floats (field 7), integers (8) and texts of 4 to 63 bytes (9), as they stand in the attributes of a
# tree: millions, passed over at once. Texts that are shorter cost more than they weigh, and are counted one by one.
_TEXTS = rb"|".join(rb"\x4a%s[\s\S]{%d}" % (re.escape(bytes([size])), size) for size in range(4, 64))
_RUN = re.compile(rb"(?:\x3d[\s\S]{4})++|(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])++|(?:" + _TEXTS + rb")++")


@dataclass(frozen=True)
class Entry:
    """A field that a message may hold.

    Parameters
    ----------
    name
        By which :meth:`Wire.message` returns it.
    kind
        Its wire type.
    many
        Whether it may stand there again and again.
    cost
        Bytes of memory that one takes once it is built, at most.
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
    """A message: its fields by number, and whether runs of numbers and texts are passed over."""

    entries: Mapping[int, Entry]
    runs: bool = False


@dataclass
class Wire:
    """Serialised messages, and the memory that may still be spent on them.

    Parameters
    ----------
    content
        All bytes.
    budget
        Bytes of memory that what is built of them may take.
    """

    content: bytes | mmap = field(repr=False)
    budget: int

    def message(self, span: Span, kind: Message) -> Values:
        """Return a message's fields: numbers, or where their bytes lie; fixed numbers as where they lie.

        Raises
        ------
        ValueError
            It is cut short, holds a field that its table lacks, one of another type or one too many, or costs more
            than the budget.
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
                raise ValueError(f"it holds a field {tag >> 3} of type {tag & 7} where none may stand")
            value, start = self._value(entry.kind, start, end)
            self._pay(entry.cost)
            if not entry.kept:
                continue
            values = found.setdefault(entry.name, [])
            if values and not entry.many:
                raise ValueError(f"it holds {entry.name!r} twice")
            values.append(value)
        return found

    def text(self, span: int | Span) -> str:
        """Return a field's bytes as text.

        Raises
        ------
        ValueError
            They are no text, or take more than a name does.
        """
        start, end = as_span(span)
        if end - start > 10_000:
            raise ValueError(f"it holds a name of {end - start:,} bytes")
        return self.content[start:end].decode()

    def _value(self, kind: int, start: int, end: int) -> tuple[int | Span, int]:
        if kind == VARINT:
            return self._varint(start, end)
        if kind == LENGTH:
            size, start = self._varint(start, end)
        else:
            size = 4 if kind == FIXED32 else 8
        if size > end - start:
            raise ValueError("it is cut short")
        return (start, start + size), start + size

    def _varint(self, start: int, end: int) -> tuple[int, int]:
        value = shift = 0
        for place in range(start, min(end, start + 10)):
            byte = self.content[place]
            value |= (byte & 127) << shift
            if byte < 128:
                return value, place + 1
            shift += 7
        raise ValueError("it is cut short")

    def _pay(self, cost: int) -> None:
        self.budget -= cost
        if self.budget < 0:
            raise ValueError(f"its {len(self.content):,} bytes hold more parts than a graph of that size has")


def as_span(value: int | Span) -> Span:
    """Return the place of a field that has bytes."""
    assert not isinstance(value, int)  # noqa: S101 - the tables say which fields are numbers
    return value
