"""An entity's rows in the prediction log and among the labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, delete, func, insert, select

from core.erasure.requests import Remainder, without_key
from store.database import reading, writing
from store.tables import LabelRow, PredictionRequestRow

REQUESTS_PER_WRITE = 200
"""Requests changed in one transaction, so that the service waits for SQLite's write lock only briefly."""

IDS_PER_QUERY = 500


@dataclass(frozen=True)
class LoggedRows:
    """Numbers of an entity's predictions in the log, and of the labels that named them by id."""

    n_predictions: int = 0
    n_labels: int = 0

    def __add__(self, other: LoggedRows) -> LoggedRows:
        """Add the numbers of two parts."""
        return LoggedRows(self.n_predictions + other.n_predictions, self.n_labels + other.n_labels)


def count_logged(engine: Engine, model: str, key: str) -> LoggedRows:
    """Count an entity's predictions in the log, also those of shadows and failures, and their labels by id."""
    total = LoggedRows()
    for part in _parts(_requests_of(engine, model, key)):
        with reading(engine) as connection:
            ids = [id_ for _, left in _remainders(connection, part, key) for id_ in left.ids]
            total += LoggedRows(len(ids), _count_labels(connection, model, ids))
    return total


def erase_logged(engine: Engine, model: str, key: str) -> LoggedRows:
    """Remove an entity's predictions from the log, also those of shadows and failures, and their labels by id.

    A request of other entities too is replaced by requests of the rows that are left; these predictions keep their
    ids. A repeat finds what a killed call left: each request is changed in one transaction.
    """
    total = LoggedRows()
    for part in _parts(_requests_of(engine, model, key)):
        with writing(engine) as connection:
            overwrite_deleted(connection)
            found = _remainders(connection, part, key)
            ids = [id_ for _, left in found for id_ in left.ids]
            n_labels = _delete_labels(connection, model, ids)
            gone = [request for request, left in found if left.ids]
            connection.execute(delete(PredictionRequestRow).where(PredictionRequestRow.id.in_(gone)))
            if rows := [one for _, left in found if left.ids for one in left.requests]:
                connection.execute(insert(PredictionRequestRow), rows)
        total += LoggedRows(len(ids), n_labels)
    return total


def count_key_labels(engine: Engine, model: str, key: str) -> int:
    """Count all values of an entity's labels by key."""
    with reading(engine) as connection:
        chosen = select(func.count()).select_from(LabelRow).where(_of_key(model, key))
        return int(connection.execute(chosen).scalar_one())


def erase_key_labels(engine: Engine, model: str, key: str) -> int:
    """Remove all values of an entity's labels by key; return how many."""
    with writing(engine) as connection:
        overwrite_deleted(connection)
        return int(connection.execute(delete(LabelRow).where(_of_key(model, key))).rowcount)


def count_id_labels(engine: Engine, model: str, ids: Iterable[str]) -> int:
    """Count all values of labels of predictions."""
    with reading(engine) as connection:
        return _count_labels(connection, model, [*ids])


def erase_id_labels(engine: Engine, model: str, ids: Iterable[str]) -> int:
    """Remove all values of labels of predictions; return how many."""
    with writing(engine) as connection:
        overwrite_deleted(connection)
        return _delete_labels(connection, model, [*ids])


def overwrite_deleted(connection: Connection) -> None:
    """Let SQLite overwrite what this connection deletes with zeros; otherwise it stays readable in the file."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA secure_delete = ON")


def empty_write_ahead_log(engine: Engine, wait_ms: int = 5_000) -> bool:
    """Write SQLite's log of changes into the database and empty it; return False if a reader is in the way.

    The log holds pages as they were before the erasure.

    Parameters
    ----------
    wait_ms
        How long readers are waited for.
    """
    if engine.dialect.name != "sqlite":
        return True
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {wait_ms}")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        row = cursor.fetchone()
        cursor.close()
        return row is not None and row[0] == 0
    finally:
        connection.close()


def _requests_of(engine: Engine, model: str, key: str) -> list[str]:
    """Return the ids of the requests whose keys contain the text of the key: more than those with the key itself."""
    row = PredictionRequestRow
    plain = key.isascii() and key.isprintable() and not set(key) & set('"\\/<>&')
    condition = and_(row.model == model, row.entity_keys.is_not(None))
    if plain:  # any other text may be written in several ways in JSON
        condition = and_(condition, row.entity_keys.contains(key, autoescape=True))
    with reading(engine) as connection:
        found = connection.execution_options(yield_per=10_000).execute(select(row.id, row.entity_keys).where(condition))
        return [id_ for id_, keys in found if any(one is not None and str(one) == key for one in json.loads(keys))]


def _parts(ids: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while part := [*islice(rest, REQUESTS_PER_WRITE)]:
        yield part


def _remainders(connection: Connection, ids: Sequence[str], key: str) -> list[tuple[str, Remainder]]:
    table = PredictionRequestRow.__table__
    chosen = select(table).where(PredictionRequestRow.id.in_(ids)).order_by(PredictionRequestRow.id)
    return [(row["id"], without_key(dict(row), key)) for row in connection.execute(chosen).mappings()]


def _of_key(model: str, key: str) -> ColumnElement[bool]:
    return and_(LabelRow.model == model, LabelRow.kind == "key", LabelRow.reference == key)


def _of_ids(model: str, ids: Sequence[Any]) -> ColumnElement[bool]:
    return and_(LabelRow.model == model, LabelRow.kind == "id", LabelRow.reference.in_(ids))


def _count_labels(connection: Connection, model: str, ids: Sequence[str]) -> int:
    chosen = select(func.count()).select_from(LabelRow)
    return sum(
        int(connection.execute(chosen.where(_of_ids(model, ids[start : start + IDS_PER_QUERY]))).scalar_one())
        for start in range(0, len(ids), IDS_PER_QUERY)
    )


def _delete_labels(connection: Connection, model: str, ids: Sequence[str]) -> int:
    return sum(
        int(connection.execute(delete(LabelRow).where(_of_ids(model, ids[start : start + IDS_PER_QUERY]))).rowcount)
        for start in range(0, len(ids), IDS_PER_QUERY)
    )
