"""Make API keys, and parse their text: ``pk_``, the public id, ``_``, the secret."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, Self

SCOPES = ("predict", "label", "operate")
"""Permissions of a caller: request predictions, send labels, operate the service."""

PREFIX = "pk_"
_PATTERN = re.compile(rf"{PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")


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
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Build a key from a row of the table."""
        return cls(**{**row, "scopes": tuple(json.loads(row["scopes"])), "models": tuple(json.loads(row["models"]))})


def new_key(
    name: str,
    scopes: Iterable[str],
    models: Iterable[str],
    rate: float | None,
    at: datetime,
    expires_at: datetime | None,
) -> tuple[ApiKey, str]:
    """Make a key and its text. The text is not stored; if it is lost, a new key is needed.

    Parameters
    ----------
    name
        Name of the key's owner.
    scopes
        Some of :data:`SCOPES`.
    models
        Names of the models it gives access to; empty for all.
    rate
        Maximum requests per second; None for no limit.
    at, expires_at
        The present time, and when the key expires; None for never.
    """
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    scopes, models = tuple(dict.fromkeys(scopes)), tuple(dict.fromkeys(models))
    key = ApiKey(key_id, name, secret_hash(secret), scopes, models, rate, at, expires_at)
    return key, f"{PREFIX}{key_id}_{secret}"


def key_parts(text: str) -> tuple[str, str] | None:
    """Return the id and the secret in a key's text; None if the text is not a key.

    Examples
    --------
    >>> key_parts("pk_0123456789ab_" + 43 * "x")[0], key_parts("pk_0123")
    ('0123456789ab', None)
    """
    found = _PATTERN.fullmatch(text)
    return (found[1], found[2]) if found else None


def key_state(key: ApiKey, at: datetime) -> Literal["active", "expired", "revoked"]:
    """Return the state of a key at a time."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= at else "active"


def secret_hash(secret: str) -> str:
    """Return the SHA-256 of a secret, 64 hex digits. A slow hash would add nothing: the secret has 256 random bits."""
    return sha256(secret.encode()).hexdigest()
