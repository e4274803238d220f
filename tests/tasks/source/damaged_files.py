"""Ways in which a CSV or Parquet file of rows arrives damaged, drawn by chance."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tests.factories import credit_rows

Mutation = Callable[[bytes, np.random.Generator], bytes]

N_ROWS = 60
FOOTER = 8
"""Bytes of a Parquet file's end: the length of its metadata, and PAR1."""


def damaged_file(kind: str, seed: int) -> tuple[bytes, str]:
    """Return a damaged file of a kind, ``csv`` or ``parquet``, and the names of the mutations that made it."""
    chance = np.random.default_rng([seed, kind == "csv"])
    rows = credit_rows(N_ROWS, seed=int(chance.integers(5)))
    if kind == "parquet":
        return _damaged_parquet(rows, chance)
    return _mutated(rows.to_csv(index=False).encode(), CSV_MUTATIONS | BYTE_MUTATIONS, chance)


def _damaged_parquet(rows: pd.DataFrame, chance: np.random.Generator) -> tuple[bytes, str]:
    """Damage a file as bytes, or write one with a schema that no model file declares, or both."""
    table, name = pa.Table.from_pandas(rows, preserve_index=False), ""
    if chance.random() < 0.5:
        name = str(chance.choice(list(TABLE_MUTATIONS)))
        table = TABLE_MUTATIONS[name](table, chance)
    buffer = io.BytesIO()
    codec = str(chance.choice(["none", "snappy", "zstd", "gzip", "brotli", "lz4"]))
    pq.write_table(table, buffer, compression=codec, row_group_size=25)
    if name and chance.random() < 0.7:
        return buffer.getvalue(), name
    content, names = _mutated(buffer.getvalue(), PARQUET_MUTATIONS | BYTE_MUTATIONS, chance)
    return content, f"{name} {names}".strip()


def _mutated(content: bytes, mutations: dict[str, Mutation], chance: np.random.Generator) -> tuple[bytes, str]:
    names = [str(name) for name in chance.choice(list(mutations), chance.choice([1, 1, 1, 2, 3]))]
    for name in names:
        content = mutations[name](content, chance)
    return content, " ".join(names)


def _place(content: bytes, chance: np.random.Generator) -> int:
    return int(chance.integers(len(content) + 1))


def _flip(content: bytes, chance: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.integers(1, 30)):
        if changed:
            changed[chance.integers(len(changed))] ^= 1 << int(chance.integers(8))
    return bytes(changed)


def _cut(content: bytes, chance: np.random.Generator) -> bytes:
    return content[: _place(content, chance)]


def _remove(content: bytes, chance: np.random.Generator) -> bytes:
    start = _place(content, chance)
    return content[:start] + content[start + int(chance.integers(1, 200)) :]


def _insert(content: bytes, chance: np.random.Generator) -> bytes:
    place = _place(content, chance)
    return content[:place] + chance.bytes(int(chance.integers(1, 200))) + content[place:]


def _zeros(content: bytes, chance: np.random.Generator) -> bytes:
    place, size = _place(content, chance), int(chance.integers(1, 500))
    return content[:place] + bytes(size) + content[place + size :]


def _double(content: bytes, chance: np.random.Generator) -> bytes:
    place = _place(content, chance)
    return content[:place] + content[_place(content, chance) :]


def _before(content: bytes, chance: np.random.Generator) -> bytes:
    starts = (
        b"PAR1",
        b"PK\x03\x04",
        b"\x1f\x8b\x08\x00",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"%PDF-1.7\n",
        b"<html>",
        b"\n" * 500,
    )
    return starts[chance.integers(len(starts))] + content


def _compressed(content: bytes, chance: np.random.Generator) -> bytes:
    return _cut(gzip.compress(content), chance) if chance.random() < 0.5 else gzip.compress(content)


BYTE_MUTATIONS: dict[str, Mutation] = {
    "flip": _flip,
    "cut": _cut,
    "remove": _remove,
    "insert": _insert,
    "zeros": _zeros,
    "double": _double,
    "before": _before,
    "compressed": _compressed,
    "empty": lambda _content, _chance: b"",
}

CELLS = (
    "", "NULL", "NaN", "inf", "-inf", "1e400", "1e-400", "-0", "0x1F", "1_000", "1,5", "9" * 400, "2024-02-30", "=1+1",
    "<script>", "\x00", "\x1b[2J", "\u202e", "\ufeff", "é" * 50, "\U0001f600", '"', '""', '"a', "a\nb", "a,b",
    "x" * 3_000_000, "x" * 10_000, "\\N", "True", "٣", "1;2", "'", "--", "{}", "[1, 2]",
)  # fmt: skip
"""What a cell of an export has held somewhere."""


def _cell(content: bytes, chance: np.random.Generator) -> bytes:
    lines = content.split(b"\n")
    for _ in range(chance.integers(1, 20)):
        number = int(chance.integers(len(lines)))
        cells = lines[number].split(b",")
        cells[chance.integers(len(cells))] = CELLS[chance.integers(len(CELLS))].encode()
        lines[number] = b",".join(cells)
    return b"\n".join(lines)


def _header(content: bytes, chance: np.random.Generator) -> bytes:
    first, _, rest = content.partition(b"\n")
    names = first.split(b",")
    name = (b"", b"id", b"ID", b"income ", b'"', b"a" * 100_000, b"\x00", b"select", b"column0", b"1", b"\xff")[
        chance.integers(11)
    ]
    names[chance.integers(len(names))] = name
    return b",".join(names) + b"\n" + rest


def _width(content: bytes, chance: np.random.Generator) -> bytes:
    return content.replace(b"\n", b"," * int(chance.choice([1, 5, 800])) + b"\n", int(chance.integers(1, 80)))


def _ends(content: bytes, chance: np.random.Generator) -> bytes:
    ends = (b"\r\n", b"\r", b"\n\r", b"\n\n", b"\x0b", "\u2028".encode(), b"")
    return content.replace(b"\n", ends[chance.integers(len(ends))], int(chance.integers(1, 80)))


def _delimiters(content: bytes, chance: np.random.Generator) -> bytes:
    others = (b";", b"\t", b"|", b"||", b" ", b"\x00", b"\x01", b'","')
    return content.replace(b",", others[chance.integers(len(others))], int(chance.integers(1, 500)))


def _encoded(content: bytes, chance: np.random.Generator) -> bytes:
    encodings = ("utf-16", "utf-16-le", "utf-32", "cp037", "utf-7", "shift-jis")
    return content.decode(errors="replace").encode(encodings[chance.integers(len(encodings))], errors="replace")


def _quotes(content: bytes, chance: np.random.Generator) -> bytes:
    for _ in range(chance.integers(1, 10)):
        place = _place(content, chance)
        content = content[:place] + b'"' + content[place:]
    return content


CSV_MUTATIONS: dict[str, Mutation] = {
    "cell": _cell,
    "header": _header,
    "width": _width,
    "ends": _ends,
    "delimiters": _delimiters,
    "encoded": _encoded,
    "quotes": _quotes,
    "headless": lambda content, _chance: content.partition(b"\n")[2],
    "rowless": lambda content, _chance: content.partition(b"\n")[0] + b"\n",
    "long": lambda content, chance: content * int(chance.integers(2, 200)),
}


def _metadata(content: bytes, chance: np.random.Generator) -> bytes:
    """Change bytes of the metadata only: sizes, offsets, counts, types."""
    size = int.from_bytes(content[-8:-4], "little") if len(content) > FOOTER else 0
    start = max(len(content) - FOOTER - size, 0)
    changed = bytearray(content)
    for _ in range(chance.integers(1, 6)):
        if start < len(changed):
            changed[chance.integers(start, len(changed))] = int(chance.integers(256))
    return bytes(changed)


def _metadata_size(content: bytes, chance: np.random.Generator) -> bytes:
    size = int(chance.choice([0, 1, len(content), len(content) + 1, 2**31 - 1, 2**31, 2**32 - 1]))
    return content[:-8] + struct.pack("<I", size) + content[-4:]


def _pages(content: bytes, chance: np.random.Generator) -> bytes:
    """Change bytes of the data only: the metadata is sound, and what it names is not."""
    changed = bytearray(content)
    for _ in range(chance.integers(1, 10)):
        if changed:
            changed[chance.integers(len(changed) // 2 + 1) % len(changed)] = int(chance.integers(256))
    return bytes(changed)


PARQUET_MUTATIONS: dict[str, Mutation] = {
    "metadata": _metadata,
    "metadata size": _metadata_size,
    "pages": _pages,
    "encrypted": lambda content, _chance: content[:-4] + b"PARE",
}


def _column(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    """Give a column another type."""
    place = int(chance.integers(table.num_columns))
    types, values = OTHER_COLUMNS[chance.integers(len(OTHER_COLUMNS))]
    column = pa.array([values[number % len(values)] for number in range(table.num_rows)], types)
    return table.set_column(place, table.column_names[place], column)


OTHER_COLUMNS: tuple[tuple[pa.DataType, list[Any]], ...] = (
    (pa.null(), [None]),
    (pa.list_(pa.int64()), [[1, 2], None, []]),
    (pa.struct([("a", pa.int64())]), [{"a": 1}, None]),
    (pa.map_(pa.string(), pa.int64()), [[("a", 1)], None]),
    (pa.binary(), [b"\xff\x00", None]),
    (pa.binary(3), [b"abc"]),
    (pa.decimal128(38, 10), [None, 1]),
    (pa.decimal256(76, 0), [10**70, None]),
    (pa.timestamp("ns", "Europe/Berlin"), [0, 2**62, None]),
    (pa.timestamp("s"), [253402300800, -62135596801, None]),
    (pa.date32(), [0, 2**31 - 1, -(2**31)]),
    (pa.time64("us"), [0, 86_399_999_999]),
    (pa.duration("ns"), [0, 2**63 - 1]),
    (pa.uint64(), [2**64 - 1, 0]),
    (pa.float16(), [np.float16(1), np.float16("nan"), None]),
    (pa.float64(), [float("nan"), float("inf"), 1e308, None]),
    (pa.large_string(), ["x" * 1000, "\x00", None]),
    (pa.dictionary(pa.int8(), pa.string()), ["a", None]),
    (pa.bool_(), [True, None]),
)


def _names(table: pa.Table, chance: np.random.Generator) -> pa.Table:
    names = list(table.column_names)
    others = ("", "id", "ID", "a" * 100_000, "\x00", "a.b", 'a"b', "select", "\U0001f600", "owner ")
    names[chance.integers(len(names))] = others[chance.integers(len(others))]
    return table.rename_columns(names)


TABLE_MUTATIONS: dict[str, Callable[[pa.Table, np.random.Generator], pa.Table]] = {
    "column": _column,
    "columns": lambda table, chance: _column(_column(table, chance), chance),
    "names": _names,
    "no rows": lambda table, _chance: table.slice(0, 0),
    "no columns": lambda table, _chance: table.select([]),
    "fewer columns": lambda table, chance: table.select(list(range(int(chance.integers(1, table.num_columns))))),
    "more columns": lambda table, _chance: pa.table({**{f"c{n}": table.column(0) for n in range(1500)}}),
    "schema metadata": lambda table, chance: table.replace_schema_metadata({b"pandas": chance.bytes(50)}),
}
