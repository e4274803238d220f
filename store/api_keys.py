"""API keys of the prediction service. Only the hash of a key's secret is stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from sqlalchemy import Engine, RowMapping, insert, select, update

from store.database import reading, writing
from store.tables import ApiKeyRow


@dataclass(frozen=True)
class ApiKey:
    """An API key, without its secret.

    Parameters
    ----------
    id
        Public id; the first part of the key.
    name
        Name of the key's owner; recorded as the sender of what arrives with the key.
    secret_sha256
        Hash of the secret, 64 hex digits. The secret has 256 random bits, so a slow hash would protect nothing.
    scopes
        Some of ``predict``, ``label``, ``operate``.
    models
        Names of the models it gives access to; empty for all.
    rate
        Maximum requests per second; None for no limit.
    created_at, expires_at, revoked_at
        Times with time zone; None for never.
    """

    id: str
    name: str
    secret_sha256: str
    scopes: tuple[str, ...]
    models: tuple[str, ...]
    rate: float | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def to_row(self) -> dict[str, Any]:
        """Return the values of the table's columns."""
        return {**vars(self), "scopes": json.dumps(self.scopes), "models": json.dumps(self.models)}

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        """Build a key from a row of the table."""
        return cls(**{**row, "scopes": tuple(json.loads(row["scopes"])), "models": tuple(json.loads(row["models"]))})


def add_key(engine: Engine, key: ApiKey) -> None:
    """Insert a new key."""
    with writing(engine) as connection:
        connection.execute(insert(ApiKeyRow).values(key.to_row()))


def api_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, including expired and revoked ones, oldest first."""
    with reading(engine) as connection:
        found = connection.execute(select(ApiKeyRow.__table__).order_by(ApiKeyRow.created_at, ApiKeyRow.id)).mappings()
        return [ApiKey.from_row(row) for row in found]


def revoke_key(engine: Engine, key_id: str, at: datetime) -> bool:
    """Revoke a key permanently; return False if it does not exist. A repeat keeps the first time."""
    with writing(engine) as connection:
        connection.execute(
            update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None)).values(revoked_at=at)
        )
        return connection.execute(select(ApiKeyRow.id).where(ApiKeyRow.id == key_id)).first() is not None
