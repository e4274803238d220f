"""Read and write the few flatbuffers of Arrow streams, without a library that trusts their offsets.

References
----------
https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

Scalar = tuple[str, int]
"""Format of :mod:`struct` without the byte order, and the value."""

REF = ("I", 0)
"""Place of an offset that is written later."""


MAX_TEXT = 4096
"""Longest text in bytes: many tables may refer to the same one."""


class Table:
    """A table in a buffer from any client: every read is within the buffer, and none follows more than one offset.

    Parameters
    ----------
    data
        The whole flatbuffer.
    place
        Where the table begins.

    Raises
    ------
    ValueError
        It is not within the buffer.
    """

    def __init__(self, data: bytes, place: int) -> None:
        self._data, self._place = data, place
        self._vtable = place - _number(data, "i", place)
        self._n_slots = (_number(data, "H", self._vtable) - 4) // 2

    @classmethod
    def root(cls, data: bytes) -> Table:
        """Return the table of a whole buffer."""
        return cls(data, _number(data, "I", 0))

    def _field(self, slot: int) -> int | None:
        if slot >= self._n_slots:
            return None
        offset = _number(self._data, "H", self._vtable + 4 + 2 * slot)
        return self._place + offset if offset else None

    def number(self, slot: int, kind: str, default: int = 0) -> int:
        """Return a number; ``kind`` is its format in :mod:`struct`."""
        place = self._field(slot)
        return default if place is None else _number(self._data, kind, place)

    def table(self, slot: int) -> Table | None:
        """Return a table in this one; None if it is not there."""
        place = self._field(slot)
        return None if place is None else Table(self._data, place + _number(self._data, "I", place))

    def text(self, slot: int) -> str:
        """Return a text of at most :data:`MAX_TEXT` bytes; empty if it is not there."""
        place, n = self._vector(slot, 1, MAX_TEXT) or (0, 0)
        return self._data[place : place + n].decode()

    def tables(self, slot: int, most: int) -> list[Table]:
        """Return a list of at most so many tables."""
        place, n = self._vector(slot, 4, most) or (0, 0)
        places = range(place, place + 4 * n, 4)
        return [Table(self._data, one + _number(self._data, "I", one)) for one in places]

    def numbers(self, slot: int, width: int, most: int) -> list[tuple[int, ...]]:
        """Return a list of at most so many structs of ``width`` numbers of 64 bits."""
        place, n = self._vector(slot, 8 * width, most) or (0, 0)
        return list(struct.iter_unpack(f"<{width}q", self._data[place : place + 8 * width * n]))

    def has(self, slot: int) -> bool:
        """Whether a field is there."""
        return self._field(slot) is not None

    def _vector(self, slot: int, size: int, most: int) -> tuple[int, int] | None:
        """Return place and number of a list's elements."""
        field = self._field(slot)
        if field is None:
            return None
        place = field + _number(self._data, "I", field)
        n = _number(self._data, "I", place)
        if n > most:
            raise ValueError(f"expected a list of at most {most:,} parts, found {n:,}")
        if place + 4 + n * size > len(self._data):
            raise ValueError("a list ends outside the metadata")
        return place + 4, n


def _number(data: bytes, kind: str, place: int) -> int:
    # A negative place would count from the end.
    if place < 0:
        raise ValueError("an offset leads outside the metadata")
    try:
        found: int = struct.unpack_from(f"<{kind}", data, place)[0]
    except struct.error as error:
        raise ValueError("an offset leads outside the metadata") from error
    return found


class Writer:
    """Writes a flatbuffer front to back: parents first, then what their offsets lead to."""

    def __init__(self) -> None:
        self.data = bytearray(4)

    def root(self, fields: Mapping[int, Scalar]) -> dict[int, int]:
        """Write the root table; return the places of its fields."""
        return self.table(0, fields)

    def table(self, reference: int, fields: Mapping[int, Scalar]) -> dict[int, int]:
        """Write a table to which an offset leads; return the places of its fields.

        Parameters
        ----------
        reference
            Place of the offset.
        fields
            Scalars by their slots; :data:`REF` for an offset.
        """
        offsets, end = {}, 4
        for slot, (kind, _) in fields.items():
            size = struct.calcsize(f"<{kind}")
            offsets[slot] = end = -(-end // size) * size
            end += size
        n_slots = max(fields, default=-1) + 1
        self._align(8, 4 + 2 * n_slots)
        vtable = len(self.data)
        slots = [offsets.get(slot, 0) for slot in range(n_slots)]
        self.data += struct.pack(f"<{2 + n_slots}H", 4 + 2 * n_slots, end, *slots)
        place = len(self.data)
        self._refer(reference, place)
        self.data += struct.pack("<i", place - vtable) + bytes(end - 4)
        for slot, (kind, value) in fields.items():
            struct.pack_into(f"<{kind}", self.data, place + offsets[slot], value)
        return {slot: place + offset for slot, offset in offsets.items()}

    def text(self, reference: int, text: str) -> None:
        """Write a text to which an offset leads."""
        self._align(4)
        self._refer(reference, len(self.data))
        content = text.encode()
        self.data += struct.pack("<I", len(content)) + content + b"\0"

    def references(self, reference: int, n: int) -> list[int]:
        """Write a list of ``n`` offsets to which an offset leads; return their places."""
        self._align(4)
        self._refer(reference, len(self.data))
        self.data += struct.pack("<I", n)
        place = len(self.data)
        self.data += bytes(4 * n)
        return [place + 4 * number for number in range(n)]

    def numbers(self, reference: int, structs: Sequence[tuple[int, ...]]) -> None:
        """Write a list of structs of numbers of 64 bits to which an offset leads."""
        self._align(8, 4)
        self._refer(reference, len(self.data))
        self.data += struct.pack("<I", len(structs))
        for one in structs:
            self.data += struct.pack(f"<{len(one)}q", *one)

    def _refer(self, reference: int, place: int) -> None:
        struct.pack_into("<I", self.data, reference, place - reference)

    def _align(self, size: int, ahead: int = 0) -> None:
        """Fill up so that what follows ``ahead`` more bytes is at a multiple of ``size``."""
        self.data += bytes(-(len(self.data) + ahead) % size)
