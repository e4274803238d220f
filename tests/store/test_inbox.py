"""How the operational database is opened for triggers that a sender was promised."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from core.errors import ConfigError
from store.database import open_database, reading
from store.inbox import WAIT_SECONDS, open_inbox

FULL, NORMAL = 2, 1


def _pragmas(engine: Engine) -> tuple[int, int, str]:
    with reading(engine) as connection:
        names = ("synchronous", "busy_timeout", "journal_mode")
        first, second, third = (connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in names)
    return first, second, third


def test_a_transaction_outlives_a_power_cut(tmp_path: Path) -> None:
    """On every connection of the inbox, and on no other of the same file, which would slow down every command."""
    address = f"sqlite:///{tmp_path / 'perennial.db'}"
    inbox = open_inbox(address)
    for _ in range(2):
        assert _pragmas(inbox) == (FULL, 1000 * WAIT_SECONDS, "wal")
    assert _pragmas(open_database(address))[0] == NORMAL


def test_an_address_that_is_none_is_the_users_to_correct() -> None:
    """As for every command."""
    with pytest.raises(ConfigError, match="SQLite or PostgreSQL"):
        open_inbox("mysql://root@host/db")
