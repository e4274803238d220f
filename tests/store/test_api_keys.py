"""Keys as the database keeps them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from core.errors import StorageError
from store.api_keys import add_key, api_keys, revoke_key
from store.database import open_database
from store.key_text import ApiKey

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY = ApiKey("0123456789ab", "shop", "f" * 64, ("predict", "label"), ("credit",), 2.5, AT, AT + timedelta(days=30))


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """Return an operational database without keys."""
    return open_database(f"sqlite:///{tmp_path / 'perennial.db'}")


def test_a_key_comes_back_as_it_was_kept(engine: Engine) -> None:
    """With scopes and models in their order, and with the moments in UTC."""
    unbounded = replace(KEY, id="0" * 12, models=(), rate=None, expires_at=None, created_at=AT + timedelta(seconds=1))
    add_key(engine, unbounded)
    add_key(engine, KEY)
    assert api_keys(engine) == [KEY, unbounded]


def test_an_id_is_given_once(engine: Engine) -> None:
    """A second key under the same id replaces nothing."""
    add_key(engine, KEY)
    with pytest.raises(StorageError, match="UNIQUE"):
        add_key(engine, replace(KEY, name="thief", secret_sha256="0" * 64))
    assert api_keys(engine) == [KEY]


def test_a_revocation_keeps_its_first_moment(engine: Engine) -> None:
    """It ends one key for good and no other."""
    other = replace(KEY, id="f" * 12)
    add_key(engine, KEY)
    add_key(engine, other)
    assert revoke_key(engine, KEY.id, AT)
    assert revoke_key(engine, KEY.id, AT + timedelta(days=1))
    assert api_keys(engine) == [replace(KEY, revoked_at=AT), other]


def test_an_unknown_key_cannot_be_revoked(engine: Engine) -> None:
    """The answer says so, and no row appears."""
    assert not revoke_key(engine, "0" * 12, AT)
    assert api_keys(engine) == []
