"""API keys of the prediction service. Only the hash of a key's secret is stored."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Engine, insert, select, update

from store.database import reading, writing
from store.key_text import ApiKey
from store.tables import ApiKeyRow


def add_key(engine: Engine, key: ApiKey) -> None:
    """Insert a new key."""
    with writing(engine) as connection:
        connection.execute(insert(ApiKeyRow).values(key.to_row()))


def api_keys(engine: Engine) -> list[ApiKey]:
    """Return all keys, including expired and revoked ones, oldest first."""
    with reading(engine) as connection:
        found = connection.execute(select(ApiKeyRow.__table__).order_by(ApiKeyRow.created_at, ApiKeyRow.id)).mappings()
        return [ApiKey.from_row(dict(row)) for row in found]


def revoke_key(engine: Engine, key_id: str, at: datetime) -> bool:
    """Revoke a key permanently; return False if it does not exist. A repeat keeps the first time."""
    with writing(engine) as connection:
        connection.execute(
            update(ApiKeyRow).where(ApiKeyRow.id == key_id, ApiKeyRow.revoked_at.is_(None)).values(revoked_at=at)
        )
        return connection.execute(select(ApiKeyRow.id).where(ApiKeyRow.id == key_id)).first() is not None
