"""Keys to the prediction service. Only the hash of a key's secret is kept."""

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
    """A key, without its secret.

    Parameters
    ----------
    id
        Public; the first part of the key.
    name
        Whose it is; written beside what it sends.
    secret_sha256
        Hash of the secret, 64 hex digits. The secret has 256 random bits, so a slow hash would protect nothing.
    scopes
        Of ``predict``, ``label``, ``operate``.
    models
        Models it is for; empty for all.
    rate
        Requests per second; None for no bound.
    created_at, expires_at, revoked_at
        When; None for never.
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
        """Values of the table's columns."""
        return {**vars(self), "scopes": json.dumps(self.scopes), "models": json.dumps(self.models)}

    @classmethod
    def from_row(cls, row: RowMapping) -> Self:
        """Key of a row of the table."""
        return cls(**{**row, "scopes": tuple(json.loads(row["scopes"])), "models": tuple(json.loads(row["models"]))})


def add_key(engine: Engine, key: ApiKey) -> None:
    """Keep a new key."""
    with writing(engine) as connection:
        connection.execute(insert(ApiKeyRow).values(key.to_row()))


def api_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, oldest first, expired and revoked ones too."""
    with reading(engine) as connection:
        found = connection.execute(select(ApiKeyRow.__table__).order_by(ApiKeyRow.created_at, ApiKeyRow.id)).mappings()
        return [ApiKey.from_row(row) for row in found]


def revoke_key(engine: Engine, key_id: str, at: datetime) -> bool:
    """Revoke a key, once and for all; False where there is none. A repeat keeps the first moment."""
    with writing(engine) as connection:
        connection.execute(
            update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None)).values(revoked_at=at)
        )
        return connection.execute(select(ApiKeyRow.id).where(ApiKeyRow.id == key_id)).first() is not None
