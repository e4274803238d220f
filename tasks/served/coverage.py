"""How many predictions of each week have a label by now, and how long labels take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

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

_ROWS = "predictions.parquet"


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
            query = f"""
                SELECT date_trunc('week', answered)::DATE AS week, label IS NOT NULL AS is_labelled,
                       floor((epoch(coalesce(received_at, ?)) - epoch(answered)) / 86400)::INTEGER AS days, count(*)
                FROM {rows} AS p LEFT JOIN found USING (place) GROUP BY ALL ORDER BY ALL
            """  # noqa: S608 - our own names
            groups = connection.execute(query, [in_utc(as_of)]).fetchall()
    return LabelCoverage(config.model, _weeks(groups), _delay(groups), config.drift.label_delay_days, as_of)


def _predictions(part: Sequence[Any]) -> list[tuple[str, str | None, datetime]]:
    return [row for request in part for row in _of_request(request)]


def _of_request(request: Any) -> Iterator[tuple[str, str | None, datetime]]:
    keys = json.loads(request.entity_keys) if request.entity_keys else [None] * request.n_rows
    for id_, key in zip(prediction_ids(request.id, request.n_rows), keys, strict=True):
        yield id_, None if key is None else str(key), request.at


def _weeks(groups: Sequence[tuple[date, bool, int, int]]) -> tuple[WeekCoverage, ...]:
    weeks = sorted({week for week, *_ in groups})
    return tuple(
        WeekCoverage(
            week,
            sum(n for one, _, _, n in groups if one == week),
            sum(n for one, is_labelled, _, n in groups if one == week and is_labelled),
        )
        for week in weeks
    )


def _delay(groups: Sequence[tuple[date, bool, int, int]]) -> LabelDelay | None:
    sides: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for _, is_labelled, days, n in groups:
        side = sides[is_labelled]
        side[max(0, days)] = side.get(max(0, days), 0) + n
    return label_delay(sides[True], sides[False])
