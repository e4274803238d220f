"""Tables of the operational database."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Boolean, DateTime, Dialect, Float, Index, Integer, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: aware UTC in Python, naive UTC in the database (SQLite keeps no zone)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Refuse naive moments: nobody knows where they are."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment needs a time zone, found {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Say that it is UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class DataTime(TypeDecorator[datetime]):
    """A time of the data: without zone in Python as in the database, as columns of the data keep it.

    One that has a zone becomes UTC, as it does on ingestion.
    """

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Take a zone off; drivers would each do it their own way."""
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """All tables."""


class BatchRow(Base):
    """What is known of one batch beyond the bytes of its file; none of it is needed to restore the data.

    ``file_state`` is size, modification time and inode when ``md5`` was computed; as long as they are the same, so is
    the hash. ``ingested_at`` and ``n_quarantined`` are unknown of a batch that another clone ingested.
    """

    __tablename__ = "batches"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(128))
    source: Mapped[str] = mapped_column(Text)
    n_rows: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    n_quarantined: Mapped[int | None] = mapped_column(BigInteger)
    ingested_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    md5: Mapped[str | None] = mapped_column(String(32))
    file_state: Mapped[str | None] = mapped_column(String(96))


class DataVersionRow(Base):
    """A data version of a model and the commit it was first made at."""

    __tablename__ = "data_versions"
    __table_args__ = (Index("ix_data_versions_version", "version"),)

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[str] = mapped_column(String(36), primary_key=True)
    n_rows: Mapped[int] = mapped_column(BigInteger)
    n_batches: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    git_commit: Mapped[str] = mapped_column(String(64))


class DataPushRow(Base):
    """A tree (of ``data/`` or of one model) that reached a remote with all its files."""

    __tablename__ = "data_pushes"

    tree: Mapped[str] = mapped_column(String(36), primary_key=True)
    remote: Mapped[str] = mapped_column(String(512), primary_key=True)
    pushed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ChampionRow(Base):
    """Who became champion: one row per move, never changed or deleted (triggers refuse it).

    The primary key is the compare-and-set: of two who both saw sequence n, only one inserts n + 1. ``below`` is the
    sequence a rollback returns to; None where there is nothing to return to.
    """

    __tablename__ = "champions"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Integer)
    below: Mapped[int | None] = mapped_column(Integer)
    kind: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(255))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class VerdictRow(Base):
    """What the gate said of a version against the champion of that time, never changed or deleted.

    ``champion_sequence`` is 0 where there was no champion yet. ``holdout`` is the fingerprint of the rows compared on,
    ``sketch`` what is needed to count repeated looks at them, ``document`` the whole verdict as JSON. ``number`` counts
    the verdicts on a version against one champion: the version is judged again when the rules change. ``rules`` is the
    hash of the rules, empty for verdicts from before it was recorded.
    """

    __tablename__ = "verdicts"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    champion_sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    champion: Mapped[int | None] = mapped_column(Integer)
    decision: Mapped[str] = mapped_column(String(16))
    mode: Mapped[str] = mapped_column(String(16))
    n_rows: Mapped[int] = mapped_column(BigInteger)
    holdout: Mapped[str] = mapped_column(String(64))
    sketch: Mapped[str] = mapped_column(Text)
    manifest: Mapped[str] = mapped_column(String(64))
    document: Mapped[str] = mapped_column(Text)
    judged_at: Mapped[datetime] = mapped_column(UtcDateTime)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    rules: Mapped[str] = mapped_column(String(64))


class ReviewRow(Base):
    """What a person said of a version, never changed or deleted."""

    __tablename__ = "reviews"
    __table_args__ = (Index("ix_reviews_model_version", "model", "version"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    version: Mapped[int] = mapped_column(Integer)
    action: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(255))
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProjectionRow(Base):
    """What MLflow's aliases of a model were last set to; no row while that is not known.

    ``sequence`` is 0 where there was no champion, ``challenger`` the version that waited for a person.
    """

    __tablename__ = "projections"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer)
    challenger: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class DriftWindowRow(Base):
    """How a window of rows compared with a reference, and what was decided; never changed or deleted.

    ``id`` is made of the question (rows, champion, reference, thresholds), so that the same window is on record once.
    ``batches`` is a JSON list of their names, ``document`` the whole verdict as JSON.
    """

    __tablename__ = "drift_windows"
    __table_args__ = (Index("ix_drift_windows_model_measured_at", "model", "measured_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    champion: Mapped[int] = mapped_column(Integer)
    against: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    drifted: Mapped[bool] = mapped_column(Boolean)
    retrain: Mapped[bool] = mapped_column(Boolean)
    n_rows: Mapped[int] = mapped_column(BigInteger)
    first_time: Mapped[datetime | None] = mapped_column(DataTime)
    last_time: Mapped[datetime | None] = mapped_column(DataTime)
    since: Mapped[datetime | None] = mapped_column(DataTime)
    until: Mapped[datetime | None] = mapped_column(DataTime)
    batches: Mapped[str] = mapped_column(Text)
    document: Mapped[str] = mapped_column(Text)
    measured_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PredictionRequestRow(Base):
    """An answered request: one row, whatever number of predictions it holds; the view ``predictions`` has one for each.

    ``id`` is the first prediction's, a UUID of version 7, so ids are in the order of their times and old rows are a
    range of the primary key. Prediction i has the same id with i in the last four digits. ``rows`` is a JSON list of
    features by name, ``outputs`` one of answers, ``entity_keys`` one of texts or null; null where no row had a key.
    """

    __tablename__ = "prediction_requests"
    __table_args__ = (Index("ix_prediction_requests_model_at", "model", "at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    version: Mapped[int] = mapped_column(Integer)
    variant: Mapped[str] = mapped_column(String(16))
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    n_rows: Mapped[int] = mapped_column(Integer)
    latency_ms: Mapped[float] = mapped_column(Float)
    rows: Mapped[str] = mapped_column(Text)
    outputs: Mapped[str] = mapped_column(Text)
    entity_keys: Mapped[str | None] = mapped_column(Text)


class LabelRow(Base):
    """What really happened: of one prediction (``kind`` is ``id``) or of an entity (``key``)."""

    __tablename__ = "labels"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    kind: Mapped[str] = mapped_column(String(3), primary_key=True)
    reference: Mapped[str] = mapped_column(String(255), primary_key=True)
    label: Mapped[str] = mapped_column(String(255))
    sender: Mapped[str] = mapped_column(String(255))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ApiKeyRow(Base):
    """A key to the prediction service: what it may do, and the hash of its secret.

    ``scopes`` and ``models`` are JSON lists of names; no models means all of them. ``rate`` is requests per second,
    null for no bound.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(16), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    secret_sha256: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(Text)
    models: Mapped[str] = mapped_column(Text)
    rate: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TriggerRow(Base):
    """Why a retraining was asked for, by whom, and what came of it; the inbox of webhooks among others.

    ``status`` is ``waiting``, ``submitted`` (a Prefect run was asked for), ``running``, ``merged`` (answered by the run
    of the trigger ``leader``), ``answered`` or ``failed``. ``deployed`` says that the run belongs to a deployment, so
    that Prefect can start it again. ``document`` is a JSON object with what the sender said.
    """

    __tablename__ = "triggers"
    __table_args__ = (
        Index("ix_triggers_status", "status"),
        Index("ix_triggers_model_received", "model", "received_at"),
    )

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    id: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    sender: Mapped[str] = mapped_column(String(255))
    document: Mapped[str] = mapped_column(Text)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[str] = mapped_column(String(16))
    leader: Mapped[str | None] = mapped_column(String(255))
    flow_run: Mapped[str | None] = mapped_column(String(36))
    deployed: Mapped[bool] = mapped_column(Boolean)
    attempts: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    trained: Mapped[bool] = mapped_column(Boolean)
    data_version: Mapped[str | None] = mapped_column(String(36))
    version: Mapped[int | None] = mapped_column(Integer)


class EventRow(Base):
    """What happened to a model, for Prefect's automations and for people: an outbox.

    Written in the transaction of what happened; ``sent_at`` is when Prefect took it, ``alerted_at`` when it was decided
    whom to tell. ``document`` is JSON as Prefect's API takes it.
    """

    __tablename__ = "events"
    __table_args__ = (Index("ix_events_sent_at", "sent_at"), Index("ix_events_alerted_at", "alerted_at"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(63))
    document: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    alerted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AlertRow(Base):
    """A message to people, for one destination.

    ``key`` says what it is about; ``n_more`` counts what was not worth another message. ``next_at`` is when it may be
    tried; null with no ``sent_at`` where it was given up.
    """

    __tablename__ = "alerts"
    __table_args__ = (Index("ix_alerts_key_created", "key", "created_at"), Index("ix_alerts_sent_at", "sent_at"))

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    key: Mapped[str] = mapped_column(String(128))
    destination: Mapped[str] = mapped_column(String(64))
    level: Mapped[str] = mapped_column(String(16))
    title: Mapped[str] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    n_more: Mapped[int] = mapped_column(Integer)
    attempts: Mapped[int] = mapped_column(Integer)
    next_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
