"""Make keys, and read their text: ``pk_``, the public id, ``_``, the secret."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Literal

from store.api_keys import ApiKey

SCOPES = ("predict", "label", "operate")
"""What a caller of the prediction service may be allowed: ask, tell the truth afterwards, look after it."""

PREFIX = "pk_"
_PATTERN = re.compile(rf"{PREFIX}([0-9a-f]{{12}})_([A-Za-z0-9_-]{{43}})")


def new_key(
    name: str,
    scopes: Iterable[str],
    models: Iterable[str],
    rate: float | None,
    at: datetime,
    expires_at: datetime | None,
) -> tuple[ApiKey, str]:
    """Make a key and its text. The text is kept nowhere; who loses it needs another key.

    Parameters
    ----------
    name
        Whose it is.
    scopes
        Of :data:`SCOPES`.
    models
        Models it is for; empty for all.
    rate
        Requests per second; None for no bound.
    at, expires_at
        Now, and when it ends.
    """
    key_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    scopes, models = tuple(dict.fromkeys(scopes)), tuple(dict.fromkeys(models))
    key = ApiKey(key_id, name, secret_hash(secret), scopes, models, rate, at, expires_at)
    return key, f"{PREFIX}{key_id}_{secret}"


def key_parts(text: str) -> tuple[str, str] | None:
    """Return the id and the secret of a key's text; None where it is none.

    Examples
    --------
    >>> key_parts("pk_0123456789ab_" + 43 * "x")[0], key_parts("pk_0123")
    ('0123456789ab', None)
    """
    found = _PATTERN.fullmatch(text)
    return (found[1], found[2]) if found else None


def key_state(key: ApiKey, at: datetime) -> Literal["active", "expired", "revoked"]:
    """Say whether a key opens anything at a moment."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= at else "active"


def secret_hash(secret: str) -> str:
    """Hash of a secret, 64 hex digits. It has 256 random bits, so a slow hash would protect nothing."""
    return sha256(secret.encode()).hexdigest()
