"""How many predictions of each week have a label by now, and how long labels take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from config.schema import ModelConfig
from config.settings import Settings
from core.data.cells import in_utc
from core.data.sql import literal
from core.jsonable import jsonable
from core.prediction_ids import prediction_ids
from core.served.delay import LabelDelay, label_delay
from store.database import open_database
from store.log.labels import known_labels_since
from store.log.served import ServedRange, served_ids
from tasks.served.label_join import LABELS, LATER, labels_sql, write_keys, write_labels, write_predictions
from tasks.source.engine import ingestion_engine, reading, scratch_folder

if TYPE_CHECKING:
    import duckdb

_ROWS = "predictions.parquet"

WeekGroup = tuple[date, bool, int, int]
"""Week, whether there is a label, days and number of predictions."""


@dataclass(frozen=True)
class WeekCoverage:
    """A week of predictions.

    Parameters
    ----------
    week
        Its Monday, in UTC.
    n_rows, n_labelled
        Predictions that clients have, and those of them with a known label.
    """

    week: date
    n_rows: int
    n_labelled: int

    @property
    def share(self) -> float:
        """Labelled share of the predictions, 0 to 1."""
        return self.n_labelled / self.n_rows


@dataclass(frozen=True)
class LabelCoverage:
    """The labels of a model's predictions.

    Parameters
    ----------
    model
        Its name.
    weeks
        Weeks with predictions, oldest first.
    delay
        Estimated delay; None with too few labels.
    label_delay_days
        ``drift.label_delay_days`` of the model file.
    as_of
        Labels that were known by this time count, with time zone.
    """

    model: str
    weeks: tuple[WeekCoverage, ...]
    delay: LabelDelay | None
    label_delay_days: float
    as_of: datetime

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        weeks = [{**asdict(one), "week": one.week.isoformat(), "share": one.share} for one in self.weeks]
        found: dict[str, Any] = jsonable({**asdict(self), "weeks": weeks, "as_of": self.as_of.isoformat()})
        return found


def label_coverage(config: ModelConfig, weeks: int, as_of: datetime, settings: Settings) -> LabelCoverage:
    """Count the predictions of the last weeks and their labels; memory does not grow with either.

    Parameters
    ----------
    weeks
        Number of weeks, the present one included.
    as_of
        Labels that were known by this time count, with time zone; predictions up to it are counted.

    Raises
    ------
    StorageError
        The disk or the operational database failed.
    """
    monday = as_of.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    since = monday - timedelta(days=monday.weekday() + 7 * (weeks - 1))
    asked = ServedRange(config.model, since, as_of)
    engine = open_database(settings.database_url)
    with scratch_folder(settings, f"{config.model}.labels-") as folder:
        write_predictions(map(_predictions, served_ids(engine, asked)), folder / _ROWS)
        write_labels(known_labels_since(engine, config.model, since, as_of), folder / LABELS)
        write_keys((), folder / LATER)
        with ingestion_engine(settings, folder) as connection, reading("the prediction log"):
            rows = f"read_parquet({literal(str(folder / _ROWS))})"
            connection.execute(f"CREATE TABLE found AS {labels_sql(rows, folder, config.labels.match_days)}")
            groups = label_ages(connection, rows, "found", as_of)
    return LabelCoverage(config.model, _weeks(groups), estimated_delay(groups), config.drift.label_delay_days, as_of)


def label_ages(connection: duckdb.DuckDBPyConnection, rows: str, labels: str, as_of: datetime) -> list[WeekGroup]:
    """Count predictions by week, whether they have a label, and its delay or their age in whole days.

    Parameters
    ----------
    connection
        From :func:`tasks.source.engine.ingestion_engine`.
    rows, labels
        Tables of the predictions and of the labels, see :func:`tasks.served.label_join.labels_sql`.
    as_of
        The time at which an age is taken, with time zone.
    """
    query = f"""
        SELECT date_trunc('week', answered)::DATE AS week, label IS NOT NULL AS is_labelled,
               floor((epoch(coalesce(received_at, ?)) - epoch(answered)) / 86400)::INTEGER AS days, count(*)
        FROM {rows} AS p LEFT JOIN {labels} AS l USING (place) GROUP BY ALL ORDER BY ALL
    """  # noqa: S608 - our own names
    return connection.execute(query, [in_utc(as_of)]).fetchall()


def estimated_delay(groups: Sequence[WeekGroup]) -> LabelDelay | None:
    """Estimate the delay of labels from :func:`label_ages`; None with too few labels."""
    sides: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for _, is_labelled, days, n in groups:
        side = sides[is_labelled]
        side[max(0, days)] = side.get(max(0, days), 0) + n
    return label_delay(sides[True], sides[False])


def _predictions(part: Sequence[Any]) -> list[tuple[str, str | None, datetime]]:
    return [row for request in part for row in _of_request(request)]


def _of_request(request: Any) -> Iterator[tuple[str, str | None, datetime]]:
    keys = json.loads(request.entity_keys) if request.entity_keys else [None] * request.n_rows
    for id_, key in zip(prediction_ids(request.id, request.n_rows), keys, strict=True):
        yield id_, None if key is None else str(key), request.at


def _weeks(groups: Sequence[WeekGroup]) -> tuple[WeekCoverage, ...]:
    weeks = sorted({week for week, *_ in groups})
    return tuple(
        WeekCoverage(
            week,
            sum(n for one, _, _, n in groups if one == week),
            sum(n for one, is_labelled, _, n in groups if one == week and is_labelled),
        )
        for week in weeks
    )
