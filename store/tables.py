"""Tables of the operational database."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, Boolean, DateTime, Dialect, Float, Index, Integer, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class UtcDateTime(TypeDecorator[datetime]):
    """A time: aware UTC in Python, naive UTC in the database (SQLite stores no time zone)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert to naive UTC; refuse naive times, whose zone is unknown."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"expected a time with a time zone, found {value!r}")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Add the UTC time zone."""
        return None if value is None else value.replace(tzinfo=UTC)


class DataTime(TypeDecorator[datetime]):
    """A time from the data: naive in Python and in the database, as in the columns of the data.

    An aware time is converted to UTC, as on ingestion.
    """

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - SQLAlchemy's signature
        """Convert to naive UTC; each driver would convert in its own way."""
        if value is None or value.tzinfo is None:
            return value
        return value.astimezone(UTC).replace(tzinfo=None)


class Base(DeclarativeBase):
    """Base of all tables."""


class BatchRow(Base):
    """Facts about one batch besides the bytes of its file; none of them is needed to restore the data.

    Append-only, but for ``md5`` and ``file_state``: triggers refuse every other change.
    ``file_state`` is size, modification time, inode and change time when ``md5`` was computed; while they are
    unchanged, the hash is valid. ``ingested_at`` and ``n_quarantined`` are null for a batch that another clone
    ingested.
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
    """A data version of a model and the commit at which it was first created; append-only."""

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
    """A tree (of ``data/`` or of one model) that was pushed to a remote with all its files."""

    __tablename__ = "data_pushes"

    tree: Mapped[str] = mapped_column(String(36), primary_key=True)
    remote: Mapped[str] = mapped_column(String(512), primary_key=True)
    pushed_at: Mapped[datetime] = mapped_column(UtcDateTime)


class BundleRow(Base):
    """A bundle that a training of this project built, recorded before its version is created in MLflow; append-only."""

    __tablename__ = "built_bundles"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    run_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    manifest: Mapped[str] = mapped_column(String(64), primary_key=True)
    data_version: Mapped[str] = mapped_column(String(64))
    trigger: Mapped[str] = mapped_column(Text)
    built_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RegisteredVersionRow(Base):
    """A version of MLflow's registry and the hash of the bundle it was registered with; append-only.

    ``origin`` is ``trained``, or ``adopted`` for a version from before this table: then ``manifest`` is the hash in its
    verdict or, without a verdict, the one that MLflow named when the model was first used with this table. It is
    ``champion`` for the adopted version that MLflow's alias champion named.
    """

    __tablename__ = "registered_versions"
    __table_args__ = (Index("ix_registered_versions_run_key", "model", "run_key"),)

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    manifest: Mapped[str] = mapped_column(String(64))
    run_key: Mapped[str] = mapped_column(String(64))
    data_version: Mapped[str] = mapped_column(String(64))
    trigger: Mapped[str] = mapped_column(Text)
    origin: Mapped[str] = mapped_column(String(16))
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ChampionRow(Base):
    """History of champions: one row per change, append-only (triggers refuse updates and deletes).

    The primary key is the compare-and-set: of two processes that read sequence n, only one inserts n + 1. ``below`` is
    the sequence that a rollback returns to; null if there is none.
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
    """The gate's verdict on a version against the champion of that time; append-only.

    ``champion_sequence`` is 0 if there was no champion yet. ``holdout`` is the fingerprint of the rows compared,
    ``sketch`` the data from which repeated looks at them are counted, ``document`` the whole verdict as JSON.
    ``number`` counts the verdicts on a version against one champion: the version is judged again when the rules change.
    ``rules`` is the hash of the rules, empty for verdicts from before it was recorded.
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


class ReleaseRow(Base):
    """A release of a version: what was decided when it was started; append-only.

    ``number`` counts the releases of a model from 1; the primary key lets one of two processes start the next one.
    ``manifest`` is the hash of the version's bundle, ``champion`` and ``champion_sequence`` name the entry that it is
    compared with, ``plan`` is the section ``release`` of the model file as JSON, ``salt`` the text that the shares are
    drawn with.
    """

    __tablename__ = "releases"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    version: Mapped[int] = mapped_column(Integer)
    manifest: Mapped[str] = mapped_column(String(64))
    champion: Mapped[int] = mapped_column(Integer)
    champion_sequence: Mapped[int] = mapped_column(Integer)
    plan: Mapped[str] = mapped_column(Text)
    salt: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(255))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReleaseStepRow(Base):
    """A change of a release's state; append-only. The newest row is the state.

    The primary key is the compare-and-set. ``stage`` is ``shadow``, ``step``, ``bake`` or ``over``, ``share`` the
    percentage of requests that the version answers from then on, ``action`` what was done, ``document`` the look that
    it follows from as JSON, empty for what a person did.
    """

    __tablename__ = "release_steps"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    stage: Mapped[str] = mapped_column(String(8))
    share: Mapped[int] = mapped_column(Integer)
    action: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(255))
    document: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReleaseLookRow(Base):
    """The newest look in a state of a release, which changed nothing: figures and what it waits for, as JSON."""

    __tablename__ = "release_looks"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    looks: Mapped[int] = mapped_column(Integer)
    document: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReleaseTripRow(Base):
    """A service stopped asking a version on its own: its breaker opened, or it cannot load the bundle; append-only.

    ``instance`` identifies the service, ``kind`` is ``breaker`` or ``load``.
    """

    __tablename__ = "release_trips"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    instance: Mapped[str] = mapped_column(String(255), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class ReviewRow(Base):
    """A person's approval or rejection of a version; append-only."""

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
    """The last known state of MLflow's aliases of a model; no row while it is unknown.

    ``sequence`` is 0 if there was no champion, ``challenger`` the version that waited for a review.
    """

    __tablename__ = "projections"

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer)
    challenger: Mapped[int | None] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(UtcDateTime)


class DriftWindowRow(Base):
    """A window of rows that was compared with a reference, and the verdict; append-only, but for the document.

    The database refuses to delete a row, and to change anything of it, except that a document may become shorter.
    ``id`` is a hash of what was compared (rows, champion, reference, thresholds), so that the same window is recorded
    once. ``batches`` is a JSON list of batch names, ``document`` the whole verdict as JSON.
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
    """An answered request with one or more predictions; the view ``predictions`` has a row per prediction.

    ``id`` is the first prediction's id, a UUID of version 7, so ids sort by time and old rows are a range of ids.
    Prediction i has the same id with i added to the last four hex digits, which are zero unless an erasure took rows
    out of the request: then it is several requests, each of rows that follow one another. ``rows`` is a JSON list of
    features by name; or, where ``columns`` is a JSON list of names, of lists of values in their order. ``outputs`` is
    one of predictions, ``entity_keys`` one of texts or null; the column is null if no row had a key.

    While a release runs there are rows that no client has an answer from: of the variant ``shadow``, and of a version
    that failed, where ``failure`` says why and ``outputs`` is an empty list. Their ``served_id`` is the id of the
    request that the client has an answer to, null if it has none. The view leaves both out.
    """

    __tablename__ = "prediction_requests"
    __table_args__ = (Index("ix_prediction_requests_model_at", "model", "at", "variant"),)

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
    columns: Mapped[str | None] = mapped_column(Text)
    failure: Mapped[str | None] = mapped_column(Text)
    served_id: Mapped[str | None] = mapped_column(String(36))


class ScoredBatchRow(Base):
    """A scoring of an input: which version, where the rows are, and their numbers; append-only.

    The digest of the output and the numbers of rows follow an erasure that took rows out of it (see
    :class:`ErasureRow`); a row older than a week may be deleted.

    ``id`` is a hash of ``run`` and of the output, so that the same scoring is recorded once. ``run`` is a hash of
    model, version, bundle and input; the ids of the predictions follow from it. ``set_aside`` is the file of the rows
    that the contract refused, null if there are none. ``features`` tells whether the output repeats the features.
    """

    __tablename__ = "scored_batches"
    __table_args__ = (Index("ix_scored_batches_model_recorded_at", "model", "recorded_at"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    version: Mapped[int] = mapped_column(Integer)
    manifest: Mapped[str] = mapped_column(String(64))
    run: Mapped[str] = mapped_column(String(64))
    input: Mapped[str] = mapped_column(Text)
    input_sha256: Mapped[str] = mapped_column(String(64))
    output: Mapped[str] = mapped_column(Text)
    output_sha256: Mapped[str] = mapped_column(String(64))
    set_aside: Mapped[str | None] = mapped_column(Text)
    features: Mapped[bool] = mapped_column(Boolean)
    n_rows: Mapped[int] = mapped_column(BigInteger)
    n_scored: Mapped[int] = mapped_column(BigInteger)
    n_set_aside: Mapped[int] = mapped_column(BigInteger)
    predicted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    recorded_at: Mapped[datetime] = mapped_column(UtcDateTime)


NO_EVENT = datetime(1, 1, 1, tzinfo=UTC)
"""``event_at`` of a label without a time: it is part of a primary key, so it cannot be null."""


class LabelRow(Base):
    """A known outcome of a prediction (``kind`` is ``id``) or of an entity (``kind`` is ``key``); append-only.

    ``event_at`` is the time that the outcome is about, :data:`NO_EVENT` if none was given; ``received_at`` is the time
    from which it was known here. ``number`` counts the values that were told for the same event from 1: the highest
    number that was known at a time is what counted then. The view ``labels`` has the newest.
    """

    __tablename__ = "label_history"
    __table_args__ = (Index("ix_label_history_model_received_at", "model", "received_at"),)

    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    kind: Mapped[str] = mapped_column(String(3), primary_key=True)
    reference: Mapped[str] = mapped_column(String(255), primary_key=True)
    event_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    label: Mapped[str] = mapped_column(String(255))
    sender: Mapped[str] = mapped_column(String(255))
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ErasureRow(Base):
    """An erasure of an entity's rows, without the entity's key: who, when, and how much; append-only, but for its end.

    ``finished_at`` is null while it runs and after a kill. ``document`` is a JSON object with the numbers of rows by
    kind. ``door`` is true only within a transaction that changes the record of a scoring whose output was rewritten.
    """

    __tablename__ = "erasures"
    __table_args__ = (Index("ix_erasures_model_started_at", "model", "started_at"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    actor: Mapped[str] = mapped_column(String(255))
    reason: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    document: Mapped[str] = mapped_column(Text)
    door: Mapped[bool] = mapped_column(Boolean)


class ApiKeyRow(Base):
    """An API key of the prediction service: its permissions, and the hash of its secret.

    ``scopes`` and ``models`` are JSON lists of names; an empty ``models`` means all. ``rate`` is the maximum number of
    requests per second, null for no limit.
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
    """A trigger of a retraining: its cause, its sender and its outcome. The inbox of webhooks is part of it.

    ``status`` is ``waiting``, ``submitted`` (a Prefect run was created), ``running``, ``merged`` (answered by the run
    of the trigger ``leader``), ``answered`` or ``failed``. ``deployed`` is true if the run belongs to a deployment, so
    that Prefect can start it again. ``document`` is a JSON object with the sender's data.
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
    """An event of a model, for Prefect's automations and for alerts: an outbox.

    Inserted in the transaction of the change that it reports; ``sent_at`` is when it was sent to Prefect,
    ``alerted_at`` when its alerts were created. ``document`` is JSON in the format of Prefect's API.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_sent_at", "sent_at"),
        Index("ix_events_alerted_at", "alerted_at"),
        Index("ix_events_occurred_at", "occurred_at"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    model: Mapped[str] = mapped_column(String(63))
    document: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(UtcDateTime)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    alerted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AlertRow(Base):
    """An alert for one destination.

    ``key`` identifies the subject; ``n_more`` counts alerts of the same key that were suppressed. ``next_at`` is the
    earliest time of the next attempt; null together with a null ``sent_at`` if it was given up.
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
