"""Labels from a file or a query: read as ingestion reads, checked as a whole, then recorded in parts."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from config.home import user_name
from config.schema import CsvSource, ModelConfig, ParquetSource, SqlSource
from config.settings import Settings
from config.similar_names import closest_text
from core.data.columns import column_types
from core.data.sql import UNREADABLE, Cast, literal, quoted, staged_sql, value_mark
from core.errors import ConfigError, SchemaError, SourceError
from core.feature_contract import FeatureContract
from core.notations import column_notation
from core.prediction_ids import ID_PATTERN, request_of
from core.row_limits import MAX_KEY, MAX_NUMBER
from core.storage_failure import storage_errors
from core.text import listed
from store.database import open_database
from store.log.labels import Label, RecordedLabels, record_labels
from store.log.served import ServedRange, served_keys
from store.predictions import logged_requests
from store.tables import NO_EVENT
from tasks.served.label_join import keys_of
from tasks.source.engine import ingestion_engine, reading, scratch_folder
from tasks.source.files import is_remote
from tasks.source.read import raw_rows, shown_source
from tasks.source.rejected_cells import rejected_cells_message

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy import Engine

_log = logging.getLogger("perennial.labels")

ROWS_PER_WRITE = 10_000
"""Labels of one transaction, so that the service waits for SQLite's write lock only briefly."""

REQUESTS_PER_READ = 1_000
"""Requests of the log that are in memory at once: each may have thousands of keys."""

SHOWN = 10
"""Most ids or keys that are shown of those that the log does not have."""

_QUERY = re.compile(r"\s*(SELECT|WITH)\s", re.IGNORECASE)
_STAGED, _PREDICTED = "labels.parquet", "predicted.parquet"
_REFERENCE, _LABEL, _EVENT = "reference", "label", "event_at"


@dataclass(frozen=True)
class LabelColumns:
    """Where the labels are.

    Parameters
    ----------
    place
        File, folder, glob or address of CSV or Parquet; or a query that begins with ``SELECT`` or ``WITH``.
    kind
        Whether the column ``reference`` has ids of predictions or keys of entities.
    reference, label
        Names of columns.
    event
        Column with the time that an outcome is about; None if there is none.
    uri_env
        Environment variable with the address of the database that a query is for; None for that of the model's source.
    """

    place: str
    kind: Literal["id", "key"]
    reference: str
    label: str
    event: str | None = None
    uri_env: str | None = None


@dataclass(frozen=True)
class BulkLabels:
    """What became of the labels of a file.

    Parameters
    ----------
    rows
        Rows read.
    added, unchanged, replaced
        As in :class:`store.log.labels.RecordedLabels`.
    repeated
        Rows before the last one about the same prediction or event, which alone counts.
    empty
        Rows without a label, which are left out.
    unmatched, unmatched_ids, unmatched_keys
        Ids that are not in the log so far, or keys that no prediction in it has; their labels are kept. Their number,
        and the first of them.
    seconds
        Duration of the recording in seconds.
    """

    rows: int
    added: int
    unchanged: int
    replaced: int
    repeated: int
    empty: int
    unmatched: int
    unmatched_ids: tuple[str, ...]
    unmatched_keys: tuple[str, ...]
    seconds: float

    @property
    def per_second(self) -> float:
        """Labels recorded in a second."""
        return (self.added + self.unchanged + self.replaced) / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        return {**asdict(self), "per_second": round(self.per_second, 1)}


def record_labels_of(
    config: ModelConfig, contract: FeatureContract, asked: LabelColumns, settings: Settings
) -> BulkLabels:
    """Record the labels of a file or a query; a repeat records what an interrupted run did not.

    All rows are read and checked before the first is recorded, so bad input leaves nothing behind. They are recorded in
    parts of :data:`ROWS_PER_WRITE`, each in a transaction: a killed run has recorded whole parts, and the same command
    again finds them unchanged. Memory does not grow with the rows.

    Parameters
    ----------
    contract
        Of the champion: its classes.

    Raises
    ------
    SourceError, SchemaError, SourceTooLargeError
        The rows cannot be read, or a value is none that the service would accept.
    StorageError
        The disk or the operational database failed.
    """
    scratch = scratch_folder(settings, f"{config.model}.labels-")
    with scratch as folder, ingestion_engine(settings, folder) as connection:
        rows, empty = _stage(connection, config, contract, asked, settings, folder)
        staged = _Staged(connection, folder / _STAGED, contract, asked)
        return _recorded(staged, rows, empty, config.model, settings)


def _stage(
    connection: duckdb.DuckDBPyConnection,
    config: ModelConfig,
    contract: FeatureContract,
    asked: LabelColumns,
    settings: Settings,
    folder: Path,
) -> tuple[int, int]:
    """Write the typed rows to a file and check them; return how many rows there are, and how many have no label."""
    source = _source(asked, config, settings)
    name = shown_source(source)
    rows = raw_rows(connection, source, settings, folder)
    casts = _casts(config, asked, dict(zip(rows.columns, map(str, rows.types), strict=True)), name)
    rows.create_view("label_rows")
    names = {asked.reference: _REFERENCE, asked.label: _LABEL} | ({asked.event: _EVENT} if asked.event else {})
    chosen = ", ".join(f"{quoted(column)} AS {short}" for column, short in names.items())
    query = f"SELECT {chosen}, row_number() OVER () AS place FROM ({staged_sql(casts, 'label_rows')})"  # noqa: S608 - names are quoted
    try:
        with reading(name):
            connection.execute(f"COPY ({query}) TO {literal(str(folder / _STAGED))} (FORMAT parquet)")
    except SourceError as error:
        if UNREADABLE not in str(error):
            raise
        raise SchemaError(rejected_cells_message(connection, casts, "label_rows", name)) from error
    return _checked(connection, folder / _STAGED, contract, asked, name)


def _query(variable: str, query: str, notations: dict[str, Any]) -> SqlSource:
    try:
        return SqlSource(kind="sql", uri_env=variable, query=query, **notations)
    except ValidationError as error:
        raise ConfigError(
            f"--uri-env expects the name of an environment variable in capitals, found {variable!r}"
        ) from error


def _holds_parquet(place: str, root: Path) -> bool:
    """Whether a place is Parquet: by its ending; without one if it is remote, or a folder with such files."""
    plain = PurePosixPath(re.split(r"[?#]", place.split("::")[0])[0].rstrip("/").lower())
    if plain.suffix in (".parquet", ".pq"):
        return True
    if is_remote(place):
        return not plain.suffix
    folder = root / Path(place).expanduser()
    return folder.is_dir() and any(folder.rglob("*.parquet"))


def _source(asked: LabelColumns, config: ModelConfig, settings: Settings) -> CsvSource | ParquetSource | SqlSource:
    """Return the place as a source, with the notations of the model's own."""
    own = config.source
    notations = {name: getattr(own, name) for name in ("missing", "decimal", "thousands", "units", "dates")}
    if not asked.place.strip():
        raise ConfigError("--from expects a file, a folder, a glob, an address or a query, found an empty text")
    if _QUERY.match(asked.place):
        env = asked.uri_env or (own.uri_env if isinstance(own, SqlSource) else None)
        if env is None:
            raise ConfigError(
                "a query needs --uri-env NAME, the environment variable with the SQLAlchemy address of its database: "
                f"the source of {config.model!r} is no database"
            )
        return _query(env, asked.place, notations)
    if _holds_parquet(asked.place, settings.root):
        return ParquetSource(kind="parquet", uri=asked.place, **notations)
    encoding = own.encoding if isinstance(own, CsvSource) else "utf-8"
    return CsvSource(kind="csv", uri=asked.place, encoding=encoding, **notations)


def _casts(config: ModelConfig, asked: LabelColumns, found: dict[str, str], name: str) -> list[Cast]:
    wanted = [(asked.reference, "VARCHAR"), (asked.label, column_types(config)[config.target])]
    wanted += [(asked.event, "TIMESTAMP")] if asked.event else []
    if missing := [column for column, _ in wanted if column not in found]:
        close = closest_text(missing[0], found)
        raise SchemaError(
            f"{name}: expected the column {missing[0]!r}{f' ({close})' if close else ''}, found "
            f"{listed([repr(column) for column in found], 20)}; --key, --id, --label and --at name the columns"
        )
    names = [column for column, _ in wanted]
    if len(set(names)) < len(names):
        raise ConfigError(f"expected a column of its own for key or id, label and time, found {listed(names)}")
    mark = value_mark(found)
    casts = [
        Cast(
            column,
            found[column],
            kind,
            is_label=place == 1,
            notation=column_notation(config.source, config.target if place == 1 else column, kind),
            mark=mark,
        )
        for place, (column, kind) in enumerate(wanted)
    ]
    if problems := [cast.problem for cast in casts if cast.problem]:
        raise SchemaError(f"{name}: {'; '.join(problems)}")
    return casts


def _checked(
    connection: duckdb.DuckDBPyConnection, path: Path, contract: FeatureContract, asked: LabelColumns, name: str
) -> tuple[int, int]:
    """Refuse rows that the service would refuse, with the first of each kind."""
    rules = [(f"{_REFERENCE} IS NULL", f"a value in {asked.reference!r}", "nothing")]
    if asked.kind == "id":
        form = literal(ID_PATTERN)
        rules.append((f"NOT regexp_full_match({_REFERENCE}, {form})", "the id of a prediction", _REFERENCE))
    else:
        rules.append((f"length({_REFERENCE}) > {MAX_KEY}", f"a key of at most {MAX_KEY} characters", _REFERENCE))
    if contract.classes:
        classes = ", ".join(literal(one) for one in contract.classes)
        shown = f"one of the classes {listed([repr(one) for one in contract.classes], 20)}"
        rules.append((f"{_LABEL} NOT IN ({classes})", shown, _LABEL))
    else:
        rules.append((f"abs({_LABEL}) > {MAX_NUMBER!r}", "a number that fits single precision", _LABEL))
    if asked.event:
        rules.append((f"{_EVENT} IS NULL AND {_LABEL} IS NOT NULL", f"a time in {asked.event!r}", "nothing"))
        # The first moment of the year 1 stands for a label without a time.
        rules.append((f"{_EVENT} <= TIMESTAMP '{NO_EVENT.date()}'", f"a later time in {asked.event!r}", _EVENT))
    file = f"read_parquet({literal(str(path))})"
    with reading(name):
        for condition, expected, shown in rules:
            value = f"{shown}::VARCHAR" if shown != "nothing" else "NULL"
            query = f"SELECT count(*), min(place), arg_min({value}, place) FROM {file} WHERE {condition}"  # noqa: S608 - our own names
            n_rows, first, example = connection.execute(query).fetchall()[0]
            if n_rows:
                found = "none" if example is None else repr(example)
                raise SchemaError(
                    f"{name}: expected {expected}, found {found} in row {first:,}"
                    f"{f' and {n_rows - 1:,} more' if n_rows > 1 else ''}; nothing was recorded"
                )
        counted = connection.execute(f"SELECT count(*), count({_LABEL}) FROM {file}").fetchall()[0]  # noqa: S608 - our own names
    return int(counted[0]), int(counted[0] - counted[1])


@dataclass(frozen=True)
class _Staged:
    connection: duckdb.DuckDBPyConnection
    path: Path
    contract: FeatureContract
    asked: LabelColumns

    def labels(self) -> Iterator[list[Label]]:
        """Yield the labels in parts; of several about one prediction or event, the last row's."""
        event = _EVENT if self.asked.event else "NULL::TIMESTAMP"
        query = (
            f"SELECT {_REFERENCE}, {event} AS event, arg_max({_LABEL}, place) AS label "  # noqa: S608 - our own names
            f"FROM read_parquet({literal(str(self.path))}) WHERE {_LABEL} IS NOT NULL "
            # In the order of the table's key, so that pages of its index are written once.
            "GROUP BY 1, 2 ORDER BY 1, 2"
        )
        with reading("the labels"):
            reader = self.connection.sql(query).to_arrow_reader(ROWS_PER_WRITE)
        for batch in reader:
            columns = (batch.column(place).to_pylist() for place in range(3))
            yield [self._label(*cells) for cells in zip(*columns, strict=True)]

    def _label(self, reference: str, event: datetime | None, label: Any) -> Label:
        text = str(label) if self.contract.classes else repr(float(label))
        return Label(self.asked.kind, reference, text, None if event is None else event.replace(tzinfo=UTC))


def _recorded(staged: _Staged, rows: int, empty: int, model: str, settings: Settings) -> BulkLabels:
    engine = open_database(settings.database_url)
    total, sender, began = RecordedLabels(0, 0, 0), user_name(), time.monotonic()
    n_unmatched, unmatched = 0, list[str]()
    for part in staged.labels():
        total += record_labels(engine, model, part, sender, datetime.now(UTC))
        lost = _unmatched(engine, model, part) if staged.asked.kind == "id" else []
        n_unmatched += len(lost)
        unmatched += lost[: SHOWN - len(unmatched)]
        _log.info("recorded %s labels", f"{total.added + total.unchanged + total.replaced:,}")
    keys: tuple[str, ...] = ()
    if staged.asked.kind == "key":
        n_unmatched, keys = _unpredicted(engine, model, staged)
    n_labels = total.added + total.unchanged + total.replaced
    return BulkLabels(
        rows=rows,
        added=total.added,
        unchanged=total.unchanged,
        replaced=total.replaced,
        repeated=rows - empty - n_labels,
        empty=empty,
        unmatched=n_unmatched,
        unmatched_ids=tuple(unmatched),
        unmatched_keys=keys,
        seconds=time.monotonic() - began,
    )


def _unpredicted(engine: Engine, model: str, staged: _Staged) -> tuple[int, tuple[str, ...]]:
    """Return how many keys no prediction in the log has, and the first of them; the log is read as a stream."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = staged.path.with_name(_PREDICTED)
    everything = ServedRange(model, *(end.replace(tzinfo=UTC) for end in (datetime.min, datetime.max)))
    with storage_errors(path), pq.ParquetWriter(path, pa.schema([("entity", pa.string())])) as writer:
        for part in served_keys(engine, everything, REQUESTS_PER_READ):
            keys = {key for key, _ in keys_of(part)}
            writer.write_table(pa.table({"entity": pa.array(list(keys), pa.string())}))
    labels, predicted = (f"read_parquet({literal(str(one))})" for one in (staged.path, path))
    lost = f"""
        SELECT {_REFERENCE}, min(place) AS place FROM {labels}
        WHERE {_LABEL} IS NOT NULL AND {_REFERENCE} NOT IN (SELECT entity FROM {predicted}) GROUP BY {_REFERENCE}
    """  # noqa: S608 - our own names
    query = f"SELECT {_REFERENCE}, count(*) OVER () FROM ({lost}) ORDER BY place LIMIT {SHOWN}"  # noqa: S608 - our own names
    with reading("the prediction log"):
        found = staged.connection.execute(query).fetchall()
    return (int(found[0][1]) if found else 0), tuple(key for key, _ in found)


def _unmatched(engine: Engine, model: str, labels: Sequence[Label]) -> list[str]:
    """Return the ids of no prediction in the log."""
    places = [(one.reference, *request_of(one.reference)) for one in labels]
    requests = sorted({request for _, request, _ in places})
    known: dict[str, int] = {}
    for start in range(0, len(requests), 1_000):
        known |= logged_requests(engine, model, requests[start : start + 1_000])
    return [reference for reference, request, place in places if place >= known.get(request, 0)]
