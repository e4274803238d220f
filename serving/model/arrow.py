"""Requests and answers as Arrow IPC streams, for many rows.

Streams come from any client, and pyarrow's reader is C++ that takes 100 MiB of a worker. So the metadata are read here,
each offset within its bounds; columns are views of the body by NumPy. Compressed bodies, dictionaries, nested and
extension types are refused: what a stream unpacks to is never larger than itself.

References
----------
https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from core.prediction_ids import prediction_id
from core.row_limits import MAX_TEXT
from serving.model.flatbuffer import REF, Table, Writer
from serving.model.invalid import field_problem, in_columns, look_alike
from serving.model.rows import RowReader, Rows
from serving.model.served import ServedModel
from serving.problems import Problem

MEDIA_TYPE = b"application/vnd.apache.arrow.stream"

MAX_BATCHES = 64
"""Most record batches of a stream: each costs time of its own, however few rows it has."""

MAX_STRANGE = 100
"""How many more columns than the model's are read to name one of them."""

MAX_METADATA = 16
"""Most key-value pairs of a field's own metadata."""

_CONTINUES = b"\xff\xff\xff\xff"
_SCHEMA, _BATCH = 1, 3
_V5 = 4
_PLACE = re.compile(r"(.*) - at `\$\[(\d+)\]`", re.DOTALL)

_NULL, _INT, _FLOAT, _UTF8, _BOOL, _DATE, _TIMESTAMP, _LARGE_UTF8, _UTF8_VIEW = 1, 2, 3, 5, 6, 8, 10, 20, 24
_OTHERS = (
    ("binary", 4), ("decimal", 7), ("time", 9), ("interval", 11), ("list", 12), ("struct", 13), ("union", 14),
    ("binary", 15), ("list", 16), ("map", 17), ("duration", 18), ("binary", 19), ("list", 21), ("run-end encoded", 22),
    ("binary", 23), ("list", 25), ("list", 26),
)  # fmt: skip
_UNITS = ("s", "ms", "us", "ns")

Array = npt.NDArray[Any]


@dataclass
class _Body:
    """The buffers of a record batch, taken in their order."""

    content: memoryview
    buffers: Iterator[tuple[int, ...]]
    n_views: Iterator[tuple[int, ...]]
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = len(self.content)

    def take(self) -> memoryview:
        offset, length = next(self.buffers, (-1, 0))
        if offset < 0 or length < 0 or offset + length > len(self.content):
            raise ValueError("a buffer lies outside the body of its record batch")
        return self.content[offset : offset + length]

    def array(self, kind: str, n: int) -> Array:
        buffer, size = self.take(), np.dtype(kind).itemsize * n
        if len(buffer) < size:
            raise ValueError("a buffer is too short for the rows of its record batch")
        return np.frombuffer(buffer[:size], kind)

    def spend(self, n_bytes: int) -> None:
        """Charge texts, whose views may overlap."""
        self.left -= n_bytes
        if self.left < 0:
            raise ValueError("the texts of a record batch are longer than the batch")


Read = Callable[[_Body, int, int], list[Any]]
"""From a body, the number of rows, and how many of them have no value, to the values."""


Values = Callable[[_Body, int, Array], list[Any]]
"""The same where it is known which of the rows have a value."""


class ArrowForm:
    """Reads rows from an Arrow IPC stream, and writes a stream with a row per prediction.

    Parameters
    ----------
    model
        The version that answers.
    """

    content_type = MEDIA_TYPE

    def __init__(self, model: ServedModel) -> None:
        self._reader: RowReader = model.reader
        bounds = msgspec.Meta(min_length=1, max_length=model.reader.max_rows)
        self._types = {name: Annotated[list[kind], bounds] for name, kind in model.reader.types.items()}  # type: ignore[valid-type]
        classes = model.contract.classes
        self._n_numbers = len(classes) or 1
        names = ["id", *(f"probabilities.{one}" for one in classes)] if classes else ["id", "value"]
        about = {"model": model.name, "version": str(model.version), "variant": model.variant}
        self._schema = _message(_written_schema(names, about))

    def read(self, body: bytes | bytearray) -> Rows:
        """Parse a request's body.

        Raises
        ------
        Problem
            It is not an Arrow stream, or a column has another name, type or value than the contract allows.
        """
        try:
            columns = self._columns(bytes(body))
        except (ValueError, OverflowError, struct.error) as error:
            raise Problem("invalid-arrow", f"expected an Arrow IPC stream: {error}") from None
        self._check_names(columns)
        cells = [self._checked(name, columns[name]) if name in columns else None for name in self._types]
        return self._reader.of_columns(cells, in_columns)

    def _columns(self, body: bytes) -> dict[str, list[Any]]:
        messages = _messages(body)
        kind, header, _ = next(messages, (0, None, memoryview(b"")))
        if kind != _SCHEMA or header is None:
            raise ValueError("it does not begin with a schema")
        reads = _reads(header, len(self._types) + MAX_STRANGE)
        columns: dict[str, list[Any]] = {name: [] for name in reads}
        n_rows, n_batches = 0, 0
        for kind, header, content in messages:
            if kind != _BATCH:
                raise ValueError("expected record batches after the schema")
            n_rows, n_batches = n_rows + max(0, header.number(0, "q")), n_batches + 1
            if n_batches > MAX_BATCHES:
                raise ValueError(f"expected at most {MAX_BATCHES} record batches; write the rows in one")
            self._check_rows(n_rows)
            _add_batch(columns, reads, header, content)
        self._check_rows(n_rows)
        return columns

    def _check_rows(self, n: int) -> None:
        if not 0 <= n <= self._reader.max_rows:
            detail = f"expected at most {self._reader.max_rows:,} rows, found {n:,}"
            raise field_problem("columns", detail, "/columns")

    def _check_names(self, columns: dict[str, list[Any]]) -> None:
        for name in columns:
            if name not in self._types:
                detail = f"expected the name of a column{look_alike(name, self._reader.names)}"
                raise field_problem(name, detail, in_columns(None, name))
        for name in self._types:
            if name not in columns and name != self._reader.key:
                raise field_problem(name, "expected a column of this name", in_columns(None, name))

    def _checked(self, name: str, cells: list[Any]) -> list[Any]:
        """Check the values by the types that rows in JSON have."""
        try:
            found: list[Any] = msgspec.convert(cells, self._types[name])
        except msgspec.ValidationError as error:
            place = _PLACE.fullmatch(str(error))
            what, row = (str(error), None) if place is None else (place[1], int(place[2]))
            raise field_problem(name, what, in_columns(row, name)) from None
        return found

    def write(self, rows: Rows, request_id: str, _numbers: bytes, answers: Sequence[Any]) -> bytes:
        """Return the stream of the answers: ids, and a column of numbers per class, or of values.

        Parameters
        ----------
        rows, request_id
            The request's rows, and the id of the first prediction.
        answers
            Per row, a list of probabilities in the order of the classes, or a value.
        """
        ids = "".join([prediction_id(request_id, place) for place in range(rows.n)]).encode()
        offsets = np.arange(rows.n + 1, dtype="<i4") * (len(ids) // rows.n)
        numbers = np.asarray(answers, dtype="<f8").reshape(rows.n, self._n_numbers)
        columns = [np.ascontiguousarray(numbers[:, place]).tobytes() for place in range(self._n_numbers)]
        buffers = [b"", offsets.tobytes(), ids, *(part for column in columns for part in (b"", column))]
        metadata, body = _written_batch(rows.n, 1 + self._n_numbers, buffers)
        return b"".join((self._schema, _message(metadata), body, _CONTINUES, bytes(4)))


def _messages(body: bytes) -> Iterator[tuple[int, Table, memoryview]]:
    """Yield type, header and body of each message."""
    view, place = memoryview(body), 0
    while place < len(body):
        if body[place : place + 4] != _CONTINUES:
            raise ValueError("a message does not begin with its marker")
        size = int.from_bytes(body[place + 4 : place + 8], "little")
        if not size:
            return
        start = place + 8 + size
        message = Table.root(body[place + 8 : start])
        header, length = message.table(2), message.number(3, "q")
        if start > len(body) or header is None or not 0 <= length <= len(body) - start:
            raise ValueError("a message is cut off")
        yield message.number(1, "B"), header, view[start : start + length]
        place = start + length


def _reads(schema: Table, most: int) -> dict[str, Read]:
    """Return how to read each column, in their order."""
    if schema.number(0, "h"):
        raise ValueError("expected little-endian numbers")
    reads: dict[str, Read] = {}
    for one in schema.tables(1, most):
        name = one.text(0)
        if name in reads:
            raise field_problem(name, "expected one column of this name", in_columns(None, name))
        reads[name] = _read_of(name, one)
    return reads


def _read_of(name: str, column: Table) -> Read:
    kind, details = column.number(2, "B"), column.table(3)
    extensions = [pair.text(0) for pair in column.tables(6, MAX_METADATA)]
    if "ARROW:extension:name" in extensions or column.has(4):
        found = "a dictionary; write it as strings" if column.has(4) else "an extension type"
        raise field_problem(name, f"expected a plain column, found {found}", in_columns(None, name))
    read = None if details is None or kind not in _READS else _READS[kind](details)
    if read is None:
        found = next((other for other, number in _OTHERS if number == kind), f"the type {kind}")
        detail = f"expected numbers, flags, strings, dates or timestamps, found {found}"
        raise field_problem(name, detail, in_columns(None, name))
    return read if kind == _NULL else _with_validity(read)


def _with_validity(read: Values) -> Read:
    """Read which rows have a value before their values; without nulls the bits may be left out."""

    def whole(body: _Body, n: int, n_nulls: int) -> list[Any]:
        bits = body.array("u1", -(-n // 8) if n_nulls else 0)
        return read(body, n, _bits(bits, n) if n_nulls else np.ones(n, dtype=bool))

    return whole


def _bits(numbers: Array, n: int) -> Array:
    return np.unpackbits(numbers, count=n, bitorder="little").view(bool)


def _numbers(kind: str) -> Values:
    def read(body: _Body, n: int, present: Array) -> list[Any]:
        found = body.array(kind, n)
        if found.dtype.kind == "f":
            present = present & ~np.isnan(found)  # pandas' form of no value
        return _with_nulls(found.tolist(), present)

    return read


def _flags(body: _Body, n: int, present: Array) -> list[Any]:
    return _with_nulls(_bits(body.array("u1", -(-n // 8)), n).tolist(), present)


def _moments(kind: str, unit: str) -> Values:
    """Read the texts of dates, which are read like those of JSON."""

    def read(body: _Body, n: int, present: Array) -> list[Any]:
        found = body.array(kind, n).astype("<i8").view(f"<M8[{unit}]")
        return _with_nulls(np.datetime_as_string(found).tolist(), present)

    return read


def _texts(kind: str) -> Values:
    def read(body: _Body, n: int, present: Array) -> list[Any]:
        offsets = body.array(kind, n + 1 if n else 0)
        content = bytes(body.take())
        if n and (offsets[0] < 0 or (offsets[1:] < offsets[:-1]).any() or offsets[-1] > len(content)):
            raise ValueError("the offsets of texts are not in order")
        places = offsets.tolist()
        body.spend(places[-1] - places[0] if n else 0)
        return [
            content[first:last].decode() if one else None
            for first, last, one in zip(places, places[1:], present.tolist(), strict=False)
        ]

    return read


def _views(body: _Body, n: int, present: Array) -> list[Any]:
    views = bytes(body.array("V16", n).tobytes())
    more = [body.take() for _ in range(next(body.n_views, (0,))[0])]
    return [_view(body, views[16 * row : 16 * row + 16], more) if one else None for row, one in enumerate(present)]


def _view(body: _Body, view: bytes, more: Sequence[memoryview]) -> str:
    n, _, number, offset = struct.unpack("<iIii", view)
    if 0 <= n <= 12:
        return view[4 : 4 + n].decode()
    if not (0 <= n <= 4 * MAX_TEXT and 0 <= number < len(more) and 0 <= offset <= len(more[number]) - n):
        raise ValueError("a text lies outside its buffer, or is too long")
    body.spend(n)
    return bytes(more[number][offset : offset + n]).decode()


def _integers(details: Table) -> Values | None:
    bits = details.number(0, "i")
    return _numbers(f"<{'i' if details.number(1, 'B') else 'u'}{bits // 8}") if bits in (8, 16, 32, 64) else None


def _floats(details: Table) -> Values | None:
    return {0: _numbers("<f2"), 1: _numbers("<f4"), 2: _numbers("<f8")}.get(details.number(0, "h"))


def _dates(details: Table) -> Values | None:
    # The default of the format is milliseconds.
    return {0: _moments("<i4", "D"), 1: _moments("<i8", "ms")}.get(details.number(0, "h", 1))


def _timestamps(details: Table) -> Values | None:
    # Of a column with a time zone, the numbers are of UTC all the same.
    unit = details.number(0, "h")
    return _moments("<i8", _UNITS[unit]) if 0 <= unit < len(_UNITS) else None


_READS: dict[int, Callable[[Table], Any]] = {
    _NULL: lambda _: lambda _body, n, _n_nulls: [None] * n,
    _INT: _integers,
    _FLOAT: _floats,
    _BOOL: lambda _: _flags,
    _UTF8: lambda _: _texts("<i4"),
    _LARGE_UTF8: lambda _: _texts("<i8"),
    _UTF8_VIEW: lambda _: _views,
    _DATE: _dates,
    _TIMESTAMP: _timestamps,
}


def _with_nulls(values: list[Any], present: Array) -> list[Any]:
    return values if present.all() else [one if there else None for one, there in zip(values, present, strict=True)]


def _add_batch(columns: dict[str, list[Any]], reads: dict[str, Read], header: Table, content: memoryview) -> None:
    if header.has(3):
        raise ValueError("expected a stream without compression")
    n, nodes = header.number(0, "q"), header.numbers(1, 2, len(columns))
    buffers = iter(header.numbers(2, 2, MAX_BATCHES * (len(columns) + 1)))
    body = _Body(content, buffers, iter(header.numbers(4, 1, len(columns))))
    if n < 0 or len(nodes) != len(columns) or any(length != n for length, _ in nodes):
        raise ValueError("the columns of a record batch have different numbers of rows")
    for (name, read), (_, n_nulls) in zip(reads.items(), nodes, strict=True):
        columns[name] += read(body, n, n_nulls)


def _written_schema(names: Sequence[str], about: Mapping[str, str]) -> bytes:
    """Return the metadata of a schema: a column of texts, and columns of numbers."""
    writer, header = _begun(_SCHEMA, 0)
    places = writer.table(header, {0: ("h", 0), 1: REF, 2: REF})
    for number, (place, name) in enumerate(zip(writer.references(places[1], len(names)), names, strict=True)):
        kind = _FLOAT if number else _UTF8
        column = writer.table(place, {0: REF, 1: ("B", 0), 2: ("B", kind), 3: REF, 5: REF})
        writer.text(column[0], name)
        writer.table(column[3], {0: ("h", 2)} if number else {})
        writer.references(column[5], 0)
    for place, pair in zip(writer.references(places[2], len(about)), about.items(), strict=True):
        for slot, text in zip(writer.table(place, {0: REF, 1: REF}).values(), pair, strict=True):
            writer.text(slot, text)
    return bytes(writer.data)


def _written_batch(n: int, n_columns: int, buffers: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return metadata and body of a record batch whose first column has two buffers and an empty one, others one."""
    padded = [buffer + bytes(-len(buffer) % 8) for buffer in buffers]
    ends = [*accumulate(map(len, padded), initial=0)]
    writer, header = _begun(_BATCH, ends[-1])
    places = writer.table(header, {0: ("q", n), 1: REF, 2: REF})
    writer.numbers(places[1], [(n, 0)] * n_columns)
    writer.numbers(places[2], [(end, len(buffer)) for end, buffer in zip(ends, buffers, strict=False)])
    return bytes(writer.data), b"".join(padded)


def _begun(kind: int, length: int) -> tuple[Writer, int]:
    """Return a message, and the place of the offset to its header."""
    writer = Writer()
    return writer, writer.root({0: ("h", _V5), 1: ("B", kind), 2: REF, 3: ("q", length)})[2]


def _message(metadata: bytes) -> bytes:
    padded = metadata + bytes(-len(metadata) % 8)
    return _CONTINUES + struct.pack("<I", len(padded)) + padded
