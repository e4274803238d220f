"""A window of the prediction log as a file of the contract's columns, with its labels and the served predictions."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine

from config.schema import ModelConfig
from config.settings import Settings
from core.data.cells import in_utc
from core.data.columns import column_types
from core.data.sql import literal, quoted
from core.feature_contract import FeatureContract
from core.prediction_ids import prediction_ids
from core.served.values import ServedValues
from store.database import open_database
from store.log.labels import known_labels_since
from store.log.served import ServedRange, served_keys, served_requests
from tasks.served.label_join import LABELS, LATER, has_events, keys_of, labels_sql, write_keys, write_labels
from tasks.source.engine import ingestion_engine, reading, scratch_folder
from tasks.versions.record_batches import contract_schema

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_log = logging.getLogger("perennial.served")

OUTPUT = "perennial output {}"
"""Column of the served probability of a class, or of the served number; null if another version answered."""

PART_ROWS = 20_000
"""Rows that are converted at once."""

PLACE, ANSWERED = "perennial place", "perennial at"
"""Columns of the written rows: their number in the order of the log, and the time of the answer in UTC."""

_ID, _KEY = "perennial id", "perennial key"
_ROWS, _WINDOW = "rows.parquet", "window.parquet"


@dataclass(frozen=True)
class StagedWindow:
    """Answered rows of a range of the log.

    Parameters
    ----------
    path
        Parquet file with the declared columns in the contract's types, and the columns :data:`OUTPUT`.
    n_rows
        Number of its rows.
    n_incomplete
        Rows that lack a column of the contract, because a version with other features answered them; not in the file.
    outputs
        Names of the columns of served predictions.
    """

    path: Path
    n_rows: int
    n_incomplete: int
    outputs: tuple[str, ...]


def output_columns(contract: FeatureContract) -> tuple[str, ...]:
    """Return the names of the columns of served predictions: one per class, or one for a number."""
    return tuple(OUTPUT.format(place) for place in range(len(contract.classes) or 1))


@contextmanager
def staged_window(
    config: ModelConfig,
    contract: FeatureContract,
    version: int,
    asked: ServedRange,
    as_of: datetime,
    settings: Settings,
) -> Iterator[StagedWindow]:
    """Write the answered rows of a range to a file that is there until the block ends.

    The rows are streamed, so memory does not grow with them; shadow answers and failures are left out. The time column
    is the time of the answer, unless it is a feature that was sent.

    Parameters
    ----------
    config
        The model file with the features of ``contract``.
    contract, version
        Of the champion.
    asked
        The range of the log.
    as_of
        Labels that were known by this time count, with time zone.

    Raises
    ------
    StorageError
        The operational database or the disk failed.
    """
    engine = open_database(settings.database_url)
    with scratch_folder(settings, f"{config.model}.log-") as folder:
        staged = LogStaging(config, contract, version, asked, folder)
        staged.write_rows(engine)
        staged.join_labels(engine, as_of, settings)
        _log.info("read %s rows of %r from the prediction log", f"{staged.n_rows:,}", config.model)
        yield StagedWindow(folder / _WINDOW, staged.n_rows, staged.n_incomplete, staged.outputs)


class LogStaging:
    """Writes the answered rows of a range to files of a folder, and joins them with their labels.

    Parameters
    ----------
    config
        The model file, which declares the features of ``contract``.
    contract
        By which the service read the rows.
    version
        Whose predictions are written; None for those of every version.
    asked
        The range of the log.
    folder
        Is there as long as the files are needed.
    """

    def __init__(
        self, config: ModelConfig, contract: FeatureContract, version: int | None, asked: ServedRange, folder: Path
    ) -> None:
        import pyarrow as pa

        self._config, self._contract, self._version = config, contract, version
        self._asked, self._folder = asked, folder
        self._values = ServedValues(contract)
        self._raw = frozenset(contract.raw_columns)
        self.outputs = output_columns(contract)
        own = [(PLACE, pa.int64()), (_ID, pa.string()), (_KEY, pa.string()), (ANSWERED, pa.timestamp("us"))]
        raw = [*contract_schema(config, contract.raw_columns)]
        self._schema = pa.schema([*own, *raw, *((name, pa.float64()) for name in self.outputs)])
        self.n_rows = self.n_incomplete = 0

    def write_rows(self, engine: Engine) -> None:
        """Write the answered rows with their ids, keys, times and predictions, in order."""
        import pyarrow.parquet as pq

        with pq.ParquetWriter(self._folder / _ROWS, self._schema, compression="zstd", compression_level=1) as writer:
            waiting: list[_Row] = []
            for part in served_requests(engine, self._asked):
                for request in part:
                    waiting += self._rows_of(request)
                    if len(waiting) >= PART_ROWS:
                        writer.write_table(self._table(waiting))
                        waiting = []
            if waiting:
                writer.write_table(self._table(waiting))

    def _rows_of(self, request: Any) -> Sequence[_Row]:
        rows = json.loads(request.rows)
        if request.columns is not None:
            names = json.loads(request.columns)
            rows = [dict(zip(names, row, strict=True)) for row in rows]
        if not self._raw <= rows[0].keys():
            self.n_incomplete += len(rows)
            return []
        at = in_utc(request.at)
        keys = json.loads(request.entity_keys) if request.entity_keys else [None] * len(rows)
        is_asked = self._version is None or request.version == self._version
        outputs = json.loads(request.outputs) if is_asked else [None] * len(rows)
        ids = prediction_ids(request.id, len(rows))
        return [_Row(*cells) for cells in zip(ids, keys, [at] * len(rows), rows, outputs, strict=True)]

    def _table(self, rows: Sequence[_Row]) -> pa.Table:
        import pyarrow as pa

        places = pa.array(range(self.n_rows, self.n_rows + len(rows)), pa.int64())
        self.n_rows += len(rows)
        own = [
            places,
            pa.array([row.id for row in rows], pa.string()),
            pa.array([None if row.key is None else str(row.key) for row in rows], pa.string()),
            pa.array([row.at for row in rows], pa.timestamp("us")),
        ]
        values = self._values.columns([row.values for row in rows])
        raw = [values[name] for name in self._contract.raw_columns]
        return pa.Table.from_arrays([*own, *raw, *self._outputs([row.output for row in rows])], schema=self._schema)

    def _outputs(self, outputs: Sequence[Any]) -> list[pa.Array]:
        import pyarrow as pa

        if not self._contract.classes:
            return [pa.array(outputs, pa.float64())]
        return [
            pa.array([None if one is None else one[place] for one in outputs], pa.float64())
            for place in range(len(self.outputs))
        ]

    def join_labels(self, engine: Engine, as_of: datetime, settings: Settings) -> None:
        """Write the window's file: the rows with their labels, in order."""
        with ingestion_engine(settings, self._folder) as connection, reading("the prediction log"):
            labels = self.labels(connection, engine, as_of)
            query = (
                f"SELECT {self.select()} FROM {self.rows} AS r "  # noqa: S608 - names are quoted
                f"LEFT JOIN ({labels}) AS l ON l.place = r.{quoted(PLACE)} ORDER BY r.{quoted(PLACE)}"
            )
            connection.execute(f"COPY ({query}) TO {literal(str(self._folder / _WINDOW))} (FORMAT parquet)")

    @property
    def rows(self) -> str:
        """The written rows, as a table of a query."""
        return f"read_parquet({literal(str(self._folder / _ROWS))})"

    def predictions(self) -> str:
        """Return a query of ``place``, ``id``, ``entity`` and ``answered`` of the written rows."""
        names = ((PLACE, "place"), (_ID, "id"), (_KEY, "entity"), (ANSWERED, "answered"))
        chosen = ", ".join(f"{quoted(name)} AS {short}" for name, short in names)
        return f"SELECT {chosen} FROM {self.rows}"  # noqa: S608 - names are quoted

    def labels(self, connection: duckdb.DuckDBPyConnection, engine: Engine, as_of: datetime) -> str:
        """Return a query of the labels that were known, as of :func:`tasks.served.label_join.labels_sql`.

        Parameters
        ----------
        connection
            From :func:`tasks.source.engine.ingestion_engine`.
        engine
            Of the operational database.
        as_of
            Labels that were known by this time count, with time zone.
        """
        _write_labels(engine, self._asked, as_of, self._folder)
        self._write_later(engine, as_of, has_events(connection, self._folder, self._asked.until))
        return labels_sql(f"({self.predictions()})", self._folder, self._config.labels.match_days)

    def _write_later(self, engine: Engine, as_of: datetime, has_later_events: bool) -> None:
        """Write the keys of later predictions: an event after the window may belong to one of them."""
        asked = ServedRange(self._asked.model, self._asked.until, as_of)
        parts = served_keys(engine, asked) if has_later_events else iter(())
        write_keys(([*keys_of(part)] for part in parts), self._folder / LATER)

    def select(self, *, identified: bool = False) -> str:
        """Return the declared columns in the contract's types and the predictions; what was not sent is null.

        Parameters
        ----------
        identified
            Whether a row without an entity key has the id of its prediction as its key.
        """
        sent = self._raw
        types = column_types(self._config)
        columns = {name: f"r.{quoted(name)}" if name in sent else f"NULL::{kind}" for name, kind in types.items()}
        columns[self._config.target] = f"TRY_CAST(l.label AS {types[self._config.target]})"
        if self._config.time is not None and self._config.time not in sent:
            columns[self._config.time] = f"r.{quoted(ANSWERED)}"
        if self._config.key is not None and self._config.key not in sent:
            key = f"r.{quoted(_KEY)}"
            columns[self._config.key] = f"coalesce({key}, r.{quoted(_ID)})" if identified else key
        chosen = [f"{expression} AS {quoted(name)}" for name, expression in columns.items()]
        return ", ".join([*chosen, *(f"r.{quoted(name)}" for name in self.outputs)])


@dataclass(frozen=True, slots=True)
class _Row:
    id: str
    key: Any
    at: datetime
    values: Any
    output: Any


def _write_labels(engine: Engine, asked: ServedRange, as_of: datetime, folder: Path) -> None:
    # A label is known after its prediction, so older ones belong to none of these.
    write_labels(known_labels_since(engine, asked.model, asked.since, as_of), folder / LABELS)
