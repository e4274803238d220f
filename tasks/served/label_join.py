"""Which label belongs to which prediction, joined by DuckDB: memory does not grow with either."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.cells import in_utc
from core.data.sql import literal

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

LABELS = "known.parquet"
LATER = "later.parquet"


def write_labels(parts: Iterable[Sequence[Any]], path: Path) -> int:
    """Write labels as :func:`store.log.labels.known_labels_since` yields them to a file; return how many."""
    import pyarrow as pa

    schema = pa.schema(
        [
            ("kind", pa.string()),
            ("reference", pa.string()),
            ("event_at", pa.timestamp("us")),
            ("number", pa.int64()),
            ("label", pa.string()),
            ("received_at", pa.timestamp("us")),
        ]
    )
    return _written(
        ([[*row[:2], _naive(row[2]), *row[3:5], _naive(row[5])] for row in part] for part in parts), schema, path
    )


def keys_of(requests: Sequence[Any]) -> Iterator[tuple[str, datetime]]:
    """Yield key and time of each row that has a key; of requests from :func:`store.log.served.served_keys`."""
    for at, keys in requests:
        yield from ((str(key), at) for key in json.loads(keys) if key is not None)


def write_keys(parts: Iterable[Sequence[tuple[str, datetime]]], path: Path) -> int:
    """Write keys and times of predictions to a file, such as later ones for :func:`labels_sql`; return how many."""
    import pyarrow as pa

    schema = pa.schema([("entity", pa.string()), ("answered", pa.timestamp("us"))])
    return _written(([[key, _naive(at)] for key, at in part] for part in parts), schema, path)


def write_predictions(parts: Iterable[Sequence[tuple[str, str | None, datetime]]], path: Path) -> int:
    """Write id, key and time of predictions as the table of :func:`labels_sql` to a file; return how many."""
    import pyarrow as pa

    schema = pa.schema(
        [("place", pa.int64()), ("id", pa.string()), ("entity", pa.string()), ("answered", pa.timestamp("us"))]
    )
    places = count()
    return _written(([[next(places), id_, key, _naive(at)] for id_, key, at in part] for part in parts), schema, path)


def labels_sql(rows: str, folder: Path, match_days: float | None) -> str:
    """Return a query of the label of each labelled prediction: ``place``, ``label``, ``received_at``.

    A label by id belongs to its prediction. A label of an entity with a time belongs to the nearest prediction of that
    entity at or before it, a label without one to every prediction of the entity before the label was known; both
    within ``match_days``. If several labels fit a prediction, the one by id counts, then the one of the earliest event
    after it, then the one without a time.

    Parameters
    ----------
    rows
        Table with ``place``, ``id``, ``entity`` and ``answered`` (UTC without zone) of the predictions.
    folder
        Holds the files of :func:`write_labels` and :func:`write_keys`.
    match_days
        Maximum days from a prediction to an event of its entity; None for no bound.
    """
    known, later = (f"read_parquet({literal(str(folder / name))})" for name in (LABELS, LATER))
    bound = (
        "" if match_days is None else f" AND epoch_us({{0}}) - epoch_us(p.answered) <= {round(match_days * 86_400e6)}"
    )
    return f"""
        WITH newest AS (
            SELECT kind, reference, event_at, arg_max(label, number) AS label,
                   arg_max(received_at, number) AS received_at
            FROM {known} GROUP BY kind, reference, event_at
        ), moments AS (
            SELECT DISTINCT entity, answered FROM (
                SELECT entity, answered FROM {rows} WHERE entity IS NOT NULL
                UNION ALL SELECT entity, answered FROM {later}
            )
        ), events AS (
            SELECT p.entity, p.answered, n.event_at, n.label, n.received_at
            FROM (SELECT * FROM newest WHERE kind = 'key' AND event_at IS NOT NULL) AS n
            ASOF JOIN moments AS p ON n.reference = p.entity AND n.event_at >= p.answered
            WHERE true{bound.format("n.event_at")}
        ), found AS (
            SELECT p.place, 0 AS rank, NULL::TIMESTAMP AS event_at, n.label, n.received_at
            FROM {rows} AS p JOIN newest AS n ON n.kind = 'id' AND n.reference = p.id
            UNION ALL
            SELECT p.place, 1, e.event_at, e.label, e.received_at
            FROM {rows} AS p JOIN events AS e ON e.entity = p.entity AND e.answered = p.answered
            UNION ALL
            SELECT p.place, 2, NULL, n.label, n.received_at
            FROM {rows} AS p JOIN newest AS n ON n.kind = 'key' AND n.event_at IS NULL AND n.reference = p.entity
            WHERE n.received_at >= p.answered{bound.format("n.received_at")}
        )
        SELECT place, arg_min(label, (rank, event_at)) AS label, arg_min(received_at, (rank, event_at)) AS received_at
        FROM found GROUP BY place
    """  # noqa: S608 - our own names


def has_events(connection: duckdb.DuckDBPyConnection, folder: Path, since: datetime) -> bool:
    """Return whether a label is about an entity at a time from ``since`` on, with time zone."""
    known = f"read_parquet({literal(str(folder / LABELS))})"
    query = f"SELECT count(*) FROM {known} WHERE kind = 'key' AND event_at >= ?"  # noqa: S608 - our own names
    found = connection.execute(query, [_naive(since)]).fetchone()
    return bool(found and found[0])


def _naive(moment: datetime | None) -> datetime | None:
    return None if moment is None else in_utc(moment)


def _written(parts: Iterable[Sequence[Sequence[Any]]], schema: pa.Schema, path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    n_rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as writer:
        for part in parts:
            if part:
                columns = zip(*part, strict=True)
                arrays = [pa.array(list(column), field.type) for column, field in zip(columns, schema, strict=True)]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
                n_rows += len(part)
    return n_rows
