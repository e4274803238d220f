"""Tables of the operational database."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import BigInteger, DateTime, Dialect, Index, String, Text, TypeDecorator
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
