"""Served rows with their labels as rows of a batch, and how evenly labels cover the scores."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.schema import ModelConfig
from config.settings import Settings
from core.data.cells import in_utc
from core.data.deliveries import PREDICTION_LOG
from core.data.sql import literal, quoted
from core.errors import ConfigError
from core.feature_contract import KINDS, FeatureContract
from core.outcome import LabelSelection, ScoreBand
from core.references import StagedRows
from core.served.selection import BANDS, label_selection
from core.served.windows import asked_time
from core.storage_failure import storage_errors
from core.text import counted, listed, significant
from store.database import open_database
from store.log.served import ServedRange, first_served
from tasks.served.coverage import estimated_delay, label_ages
from tasks.served.remembered import label_key, other_batches
from tasks.served.staged import ANSWERED, PLACE, LogStaging, output_columns
from tasks.source.engine import ingestion_engine, reading
from tasks.source.stage import STAGED, stage_typed
from tasks.versions.bring_back import bring_back_missing

if TYPE_CHECKING:
    import duckdb

_log = logging.getLogger("perennial.served")

_LABELS = "found"
_SCORED = "scored"


WORK = "served"
"""Folder of the rows under the model's work folder."""


@dataclass(frozen=True)
class LabelledRows:
    """Served rows that can be trained on.

    Parameters
    ----------
    rows
        The staged rows; None if no served row has a label.
    n_served
        Answered rows of the range.
    n_labelled
        Those of them with a known label.
    notes
        Sentences about the choice, and about what was left out.
    selection
        How evenly labels cover the scores; None where it cannot be told.
    state
        Identifies the labels, for :func:`tasks.served.remembered.remember_labels`.
    """

    rows: StagedRows | None
    n_served: int
    n_labelled: int
    notes: tuple[str, ...]
    selection: LabelSelection | None
    state: str


def labelled_rows(
    config: ModelConfig, contract: FeatureContract | None, since: str | None, until: str | None, settings: Settings
) -> LabelledRows:
    """Stage the served rows whose labels are known now; a repeat starts from an empty folder.

    Parameters
    ----------
    contract
        Of the champion; None if there is none.
    since, until
        Times in ISO 8601 between which the rows were answered, in UTC if they have no offset; None for no bound.

    Raises
    ------
    ConfigError
        A text is no time, or the range is empty.
    StorageError, SourceTooLargeError
        As :func:`stage_labelled`.
    """
    span = asked_time("--since", since), asked_time("--until", until)
    if span[0] and span[1] and span[0] >= span[1]:
        raise ConfigError(f"expected --since before --until, found {since} and {until}: the range is empty")
    if contract is None:
        notes = (f"no served rows: {config.model!r} has no champion yet",)
        return LabelledRows(None, 0, 0, notes, None, label_key(config, settings))
    work = settings.var / "work" / config.model / WORK
    shutil.rmtree(work, ignore_errors=True)
    with storage_errors(work):
        work.mkdir(parents=True)
        try:
            return stage_labelled(config, contract, span, datetime.now(UTC), settings, work)
        finally:
            # The log's rows are not needed any more, and may be much larger than the labelled ones.
            for path in work.iterdir():
                if path.is_file() and path.name != STAGED:
                    path.unlink()


def stage_labelled(
    config: ModelConfig,
    contract: FeatureContract,
    span: tuple[datetime | None, datetime | None],
    as_of: datetime,
    settings: Settings,
    work: Path,
) -> LabelledRows:
    """Write the answered rows with a known label to ``work/staged.parquet``, in the order of the log.

    Features are what the service was sent. A row without an entity key has the id of its prediction as its key. With a
    unique key, rows of entities that another source delivered are left out, because that source knows them better.
    Memory does not grow with the rows. The caller holds the model.

    Parameters
    ----------
    contract
        Of the champion, by which the values are read.
    span
        First time of an answer and the time before which it was given, with time zone; None for no bound.
    as_of
        Labels that were known by this time count, with time zone.
    work
        An empty folder of this run.

    Raises
    ------
    StorageError
        The operational database or the disk failed.
    SourceTooLargeError
        There are more rows than ``settings.max_rows``.
    """
    engine = open_database(settings.database_url)
    state = label_key(config, settings, as_of)
    lacking = _lacking(config, contract)
    since = span[0] or first_served(engine, config.model)
    if lacking or since is None:
        why = f"no champion was sent {listed(lacking)} yet" if lacking else "the prediction log has no answers"
        return LabelledRows(None, 0, 0, (f"no served rows: {why}",), None, state)
    asked = ServedRange(config.model, since, span[1] or as_of)
    staging = LogStaging(config, _restricted(contract, config), None, asked, work)
    staging.write_rows(engine)
    with ingestion_engine(settings, work) as connection, reading(PREDICTION_LOG):
        labels = staging.labels(connection, engine, as_of)
        connection.execute(f"CREATE TABLE {_LABELS} AS {labels}")
        ages = label_ages(connection, f"({staging.predictions()})", _LABELS, as_of)
        delay = estimated_delay(ages)
        days = max(config.drift.label_delay_days, delay.complete_days if delay else 0)
        bands = _bands(connection, staging, contract, as_of - timedelta(days=days))
        known = _other_keys(config, settings)
        query = _labelled(connection, staging, config, known)
        rows = stage_typed(connection, query, config, settings, work, PREDICTION_LOG)
    n_labelled = sum(n for _, is_labelled, _, n in ages if is_labelled)
    selection = label_selection(bands, config.labels.min_band_ratio)
    notes = _notes(asked, staging, n_labelled, rows, days, selection)
    _log.info("%s of %s served rows have a label", f"{n_labelled:,}", f"{staging.n_rows:,}")
    return LabelledRows(rows, staging.n_rows, n_labelled, notes, selection, state)


def _lacking(config: ModelConfig, contract: FeatureContract) -> list[str]:
    """Return the features of the model file that the champion was not sent, or was sent as another kind."""
    return [
        name for kind in KINDS for name in getattr(config.features, kind) if name not in set(getattr(contract, kind))
    ]


def _restricted(contract: FeatureContract, config: ModelConfig) -> FeatureContract:
    """Return the contract without columns that the model file no longer declares as features."""
    kept: dict[str, Any] = {kind: getattr(config.features, kind) for kind in KINDS}
    return replace(contract, **kept)


def _other_keys(config: ModelConfig, settings: Settings) -> list[Path]:
    """Return the batches of other sources whose entities are not taken from the log."""
    import pyarrow.parquet as pq

    if not config.replaces_rows:
        return []
    bring_back_missing(config.model, settings)
    return [path for path in other_batches(config, settings) if config.key in pq.read_schema(path).names]


def _labelled(
    connection: duckdb.DuckDBPyConnection, staging: LogStaging, config: ModelConfig, others: Sequence[Path]
) -> str:
    """Return a query of the rows with labels, in the order of the log."""
    target, columns = quoted(config.target), ", ".join(map(quoted, config.columns))
    rows = (
        f"SELECT {staging.select(identified=True)}, r.{quoted(PLACE)} AS place FROM {staging.rows} AS r "  # noqa: S608 - names are quoted
        f"JOIN {_LABELS} AS l ON l.place = r.{quoted(PLACE)}"
    )
    labelled = f"SELECT * FROM ({rows}) WHERE {target} IS NOT NULL"  # noqa: S608 - names are quoted
    if others:
        key = quoted(config.key or "")
        files = f"[{', '.join(literal(str(path)) for path in others)}]"
        connection.execute(
            f"CREATE TABLE others AS SELECT DISTINCT {key} AS entity FROM read_parquet({files}, union_by_name = true)"  # noqa: S608 - names are quoted
        )
        labelled = f"SELECT l.* FROM ({labelled}) AS l ANTI JOIN others AS o ON o.entity = l.{key}"  # noqa: S608 - names are quoted
    return f"SELECT {columns} FROM ({labelled}) ORDER BY place"  # noqa: S608 - names are quoted


def _bands(
    connection: duckdb.DuckDBPyConnection, staging: LogStaging, contract: FeatureContract, settled: datetime
) -> list[ScoreBand]:
    """Count the rows whose labels would be known by now, and those with one, by band of their score."""
    columns = [f"r.{quoted(name)}" for name in output_columns(contract)]
    score = columns[1] if len(columns) == 2 else columns[0]
    if len(columns) > 2:
        score = f"list_position([{', '.join(columns)}], greatest({', '.join(columns)})) - 1"
    connection.execute(
        f"CREATE TABLE {_SCORED} AS SELECT {score} AS score, l.label IS NOT NULL AS is_labelled "  # noqa: S608 - names are quoted
        f"FROM {staging.rows} AS r LEFT JOIN {_LABELS} AS l ON l.place = r.{quoted(PLACE)} "
        f"WHERE r.{quoted(ANSWERED)} <= ? AND ({score}) IS NOT NULL",
        [in_utc(settled)],
    )
    if len(columns) > 2:
        query = f"SELECT score, count(*), count(*) FILTER (is_labelled) FROM {_SCORED} GROUP BY 1 ORDER BY 1"  # noqa: S608 - our own name
        found = connection.execute(query).fetchall()
        return [ScoreBand(contract.classes[place], n_rows, n_labelled) for place, n_rows, n_labelled in found]
    return _score_bands(connection)


def _score_bands(connection: duckdb.DuckDBPyConnection) -> list[ScoreBand]:
    shares = ", ".join(str(band / BANDS) for band in range(1, BANDS))
    (cuts,) = connection.execute(f"SELECT quantile_disc(score, [{shares}]) FROM {_SCORED}").fetchall()[0]  # noqa: S608 - our own name
    steps = " + ".join(f"(score > {cut!r}::DOUBLE)::INTEGER" for cut in sorted(set(cuts or ()))) or "0"
    query = (
        f"SELECT {steps} AS band, min(score), max(score), count(*), count(*) FILTER (is_labelled) "  # noqa: S608 - numbers
        f"FROM {_SCORED} GROUP BY 1 ORDER BY 1"
    )
    return [
        ScoreBand(f"{significant(low, 3)} to {significant(high, 3)}", n_rows, n_labelled)
        for _, low, high, n_rows, n_labelled in connection.execute(query).fetchall()
    ]


def _notes(
    asked: ServedRange,
    staging: LogStaging,
    n_labelled: int,
    rows: StagedRows | None,
    days: float,
    selection: LabelSelection | None,
) -> tuple[str, ...]:
    span = f"from {asked.since.astimezone(UTC):%Y-%m-%d %H:%M} to {asked.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    notes = [f"{n_labelled:,} of {counted(staging.n_rows, 'served row')} {span} have a known label"]
    if staging.n_incomplete:
        notes.append(f"{counted(staging.n_incomplete, 'served row')} lack a feature of the model file and are left out")
    n_other = n_labelled - (rows.n_rows if rows else 0)
    if n_other:
        notes.append(f"{counted(n_other, 'row')} of entities that another source delivered are left out")
    if selection is not None:
        notes.append(
            f"of the rows older than {days:g} days, those with the score {selection.lowest} have a label "
            f"{selection.ratio:.2f} times as often as the others"
        )
    return tuple(notes)
