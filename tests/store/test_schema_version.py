"""The schema's version, read without the libraries of the migrations."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from store.database import open_database
from store.schema_version import HEAD, is_at_head


def test_only_this_releases_version_is_current(tmp_path: Path) -> None:
    """An older or a newer one is not, and a file without tables is an error."""
    open_database(f"sqlite:///{tmp_path / 'perennial.db'}")
    with closing(sqlite3.connect(tmp_path / "perennial.db")) as connection:
        assert is_at_head(connection)
        for other in ("0001", f"{int(HEAD) + 1:04}"):
            connection.execute("UPDATE alembic_version SET version_num = ?", (other,))
            assert not is_at_head(connection)
    with closing(sqlite3.connect(tmp_path / "empty.db")) as connection, pytest.raises(sqlite3.Error, match="no such"):
        is_at_head(connection)
