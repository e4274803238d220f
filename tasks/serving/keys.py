"""Create, list and revoke API keys of the prediction service."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from config.load import existing_model_path, model_names
from config.settings import Settings
from core.errors import ConfigError
from store.api_keys import add_key, api_keys, revoke_key
from store.database import open_database
from store.key_text import PREFIX, SCOPES, ApiKey, key_parts, key_state, new_key

SHOWN_ONCE = (
    "The key is shown only once: Perennial stores its hash. Send it as 'Authorization: Bearer KEY'.\n"
    "To revoke it: perennial keys revoke {id}"
)
_MAX_NAME = 255


def create_key(
    name: str,
    scopes: Sequence[str],
    models: Sequence[str],
    settings: Settings,
    *,
    days: int | None = None,
    rate: float | None = None,
) -> tuple[ApiKey, str]:
    """Create a key, store it without its secret, and return it with its text.

    Parameters
    ----------
    name
        Its owner; several keys may have one name.
    scopes
        Its permissions.
    models
        Models it gives access to; empty for all.
    settings
        Names the database.
    days
        Days until it expires; None for never.
    rate
        Maximum requests per second; None for no limit.

    Raises
    ------
    ConfigError
        The name is empty, too long or not printable, a scope is unknown, or a model name is invalid.
    """
    _check_name(name)
    _check_scopes(scopes)
    for model in models:
        _check_model(model, settings)
    now = datetime.now(UTC)
    key, text = new_key(name, scopes, models, rate, now, now + timedelta(days=days) if days else None)
    add_key(open_database(settings.database_url), key)
    return key, text


def list_keys(settings: Settings) -> list[ApiKey]:
    """Return all keys, oldest first."""
    return api_keys(open_database(settings.database_url))


def revoke(text: str, settings: Settings) -> ApiKey:
    """Revoke a key. A repeat changes nothing: the time of the first revocation is kept.

    Parameters
    ----------
    text
        Its id or the whole key, so that a leaked key can be revoked.
    settings
        Names the database.

    Raises
    ------
    ConfigError
        There is no such key.
    """
    parts = key_parts(text)
    key_id = parts[0] if parts else text.removeprefix(PREFIX)
    engine = open_database(settings.database_url)
    if not revoke_key(engine, key_id, datetime.now(UTC)):
        raise ConfigError(f"no API key {key_id!r}; 'perennial keys list' shows the ids")
    return next(key for key in api_keys(engine) if key.id == key_id)


def key_document(key: ApiKey) -> dict[str, Any]:
    """Return a key as content for JSON, without the hash of its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": list(key.scopes),
        "models": list(key.models),
        "rate": key.rate,
        "created_at": _iso(key.created_at),
        "expires_at": _iso(key.expires_at),
        "revoked_at": _iso(key.revoked_at),
        "state": key_state(key, datetime.now(UTC)),
    }


def _check_name(name: str) -> None:
    if not (name.strip() and len(name) <= _MAX_NAME and name.isprintable()):
        raise ConfigError(f"expected a key name of 1 to {_MAX_NAME} printable characters, found {name!r}")


def _check_scopes(scopes: Sequence[str]) -> None:
    strangers = [scope for scope in scopes if scope not in SCOPES]
    if strangers or not scopes:
        found = ", ".join(map(repr, strangers)) or "none"
        raise ConfigError(f"expected at least one of the scopes {', '.join(SCOPES)}, found {found}")


def _check_model(model: str, settings: Settings) -> None:
    if model not in model_names(settings.root):
        existing_model_path(settings.root, model)
        raise ConfigError(f"{model!r} is not a valid model name")


def _iso(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat() if moment else None
