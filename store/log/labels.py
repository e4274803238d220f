"""The labels: true outcomes of predictions and of entities, as they became known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Connection, Engine, func, select
from sqlalchemy.dialects import postgresql

from store.database import reading, writing
from store.tables import NO_EVENT, LabelRow

LabelKind = Literal["id", "key"]

REFERENCES_PER_QUERY = 1_000
"""References of one query: SQLite allows some thousand parameters of a statement."""

_Place = tuple[LabelKind, str, datetime]


@dataclass(frozen=True, slots=True)
class Label:
    """The true outcome of a prediction or of an entity.

    Parameters
    ----------
    kind
        ``id``: ``reference`` is the id of a prediction; ``key``: it is the key of an entity.
    reference
        Id of the prediction or key of the entity.
    label
        Name of the class, or the number as text.
    event_at
        Time that the outcome of an entity is about, with time zone; None if it is not known, and for a prediction.
    """

    kind: LabelKind
    reference: str
    label: str
    event_at: datetime | None = None


@dataclass(frozen=True)
class RecordedLabels:
    """Number of labels that were added, were unchanged, or replaced another value."""

    added: int
    unchanged: int
    replaced: int

    def __add__(self, other: RecordedLabels) -> RecordedLabels:
        """Add the numbers of two calls."""
        return RecordedLabels(
            self.added + other.added, self.unchanged + other.unchanged, self.replaced + other.replaced
        )


def record_labels(engine: Engine, model: str, labels: Iterable[Label], sender: str, at: datetime) -> RecordedLabels:
    """Record labels in one transaction; of those for one event the last counts.

    A repeat of the newest value changes nothing; another value becomes a new row with the next number, and the rows
    before it stay. Of two senders that record values for the same event at once, one gets the next number and the other
    looks again, so no label is lost and none is recorded twice.

    Parameters
    ----------
    sender
        Who sent the labels: the name of an API key or of a user.
    at
        Time from which they are known, with time zone.
    """
    wanted: dict[_Place, str] = {_place(label): label.label for label in labels}
    n_added = n_replaced = 0
    with writing(engine) as connection:
        pending = wanted
        while pending:
            known = _known(connection, model, pending)
            rows = [
                {
                    "model": model,
                    **dict(zip(("kind", "reference", "event_at"), place, strict=True)),
                    "number": known[place][0] + 1 if place in known else 1,
                    "label": label,
                    "sender": sender,
                    "received_at": at,
                }
                # Sorted, so that two senders of the same references lock rows in the same order and cannot deadlock.
                for place, label in sorted(pending.items())
                if place not in known or known[place][1] != label
            ]
            inserted = _inserted(connection, rows)
            n_replaced += len(inserted & known.keys())
            n_added += len(inserted - known.keys())
            pending = {place: pending[place] for row in rows if (place := _key_of(row)) not in inserted}
    return RecordedLabels(n_added, len(wanted) - n_added - n_replaced, n_replaced)


def newest_label(engine: Engine, model: str) -> datetime | None:
    """Return the time of the newest label of a model; None if there is none."""
    newest = select(LabelRow.received_at).where(LabelRow.model == model).order_by(LabelRow.received_at.desc()).limit(1)
    with reading(engine) as connection:
        found: datetime | None = connection.execute(newest).scalar()
        return found


def label_state(engine: Engine, model: str, as_of: datetime) -> tuple[int, datetime | None]:
    """Return how many labels of a model were known at a time, earlier values included, and when the newest became so.

    Parameters
    ----------
    as_of
        The time, with time zone: another machine's clock may be ahead.
    """
    chosen = select(func.count(), func.max(LabelRow.received_at)).where(
        LabelRow.model == model, LabelRow.received_at <= as_of
    )
    with reading(engine) as connection:
        n_labels, newest = connection.execute(chosen).one()
    return int(n_labels), newest


def known_labels_since(
    engine: Engine, model: str, since: datetime, as_of: datetime, rows: int = 20_000
) -> Iterator[Sequence[Any]]:
    """Yield a model's labels that became known in a range of time, in parts; memory is bounded by a part.

    Parameters
    ----------
    since, as_of
        First and last time at which the labels became known, with time zone; both are included.
    rows
        Rows of a part.

    Yields
    ------
    Sequence
        Rows with ``kind``, ``reference``, ``event_at`` (None if not known), ``number``, ``label`` and ``received_at``,
        in no particular order.
    """
    columns = (
        LabelRow.kind,
        LabelRow.reference,
        LabelRow.event_at,
        LabelRow.number,
        LabelRow.label,
        LabelRow.received_at,
    )
    chosen = select(*columns).where(
        LabelRow.model == model, LabelRow.received_at >= since, LabelRow.received_at <= as_of
    )
    with reading(engine) as connection:
        found = connection.execution_options(yield_per=rows).execute(chosen)
        for part in found.partitions():
            yield [(*row[:2], None if row[2] == NO_EVENT else row[2], *row[3:]) for row in part]


def _place(label: Label) -> _Place:
    return label.kind, label.reference, label.event_at or NO_EVENT


def _key_of(row: Mapping[str, Any]) -> _Place:
    return row["kind"], row["reference"], row["event_at"]


def _known(connection: Connection, model: str, wanted: Mapping[_Place, str]) -> dict[_Place, tuple[int, str]]:
    """Return number and value of the newest label of each event."""
    references = sorted({reference for _, reference, _ in wanted})
    known: dict[_Place, tuple[int, str]] = {}
    columns = (LabelRow.kind, LabelRow.reference, LabelRow.event_at, LabelRow.number, LabelRow.label)
    for start in range(0, len(references), REFERENCES_PER_QUERY):
        part = references[start : start + REFERENCES_PER_QUERY]
        chosen = select(*columns).where(
            LabelRow.model == model, LabelRow.kind.in_(("id", "key")), LabelRow.reference.in_(part)
        )
        for kind, reference, event_at, number, label in connection.execute(chosen.order_by(LabelRow.number)):
            known[kind, reference, event_at] = (number, label)
    return known


def _stored(value: Any) -> Any:
    """Return a value as SQLite stores it; ``strftime`` would not pad the year 1."""
    if not isinstance(value, datetime):
        return value
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _inserted(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> set[_Place]:
    """Insert rows whose numbers are free, and return their events."""
    if not rows:
        return set()
    if connection.dialect.name == "sqlite":
        # The transaction has the write lock, so the numbers are still free. Without SQLAlchemy's conversion of each
        # value it takes half of the time.
        names = [*rows[0]]
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO label_history ({', '.join(names)}) VALUES ({marks})"  # noqa: S608 - our own names
        connection.exec_driver_sql(insert, [tuple(map(_stored, row.values())) for row in rows])
        return {_key_of(row) for row in rows}
    statement = postgresql.insert(LabelRow).on_conflict_do_nothing()
    returned = statement.returning(LabelRow.kind, LabelRow.reference, LabelRow.event_at)
    return {(row[0], row[1], row[2]) for row in connection.execute(returned, rows)}
