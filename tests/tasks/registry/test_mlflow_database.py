"""MLflow's database is made from a script that is what its own migrations make."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tasks.registry import mlflow_database
from tasks.registry.mlflow_database import SCRIPT, create_database, migrated_script


def lines(text: str) -> list[str]:
    """Return the lines of a schema, sorted: MLflow's migrations give the constraints of a table in any order."""
    return sorted(line.strip().rstrip(",") for line in text.splitlines())


def test_the_script_is_what_the_migrations_make() -> None:
    """Every table, index and row but the default experiment, at the pinned release."""
    expected = lines(migrated_script())
    assert lines(SCRIPT.read_text()) == expected, "run 'python -m tasks.registry.mlflow_database' and commit the script"


def test_a_database_has_the_default_experiment_of_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As MLflow creates it; another release makes its tables by itself, and both databases are the same."""
    made, migrated = tmp_path / "made.db", tmp_path / "migrated.db"
    create_database(made, f"{tmp_path.as_uri()}/mlruns")
    monkeypatch.setattr(mlflow_database, "version", lambda _: "0")
    create_database(migrated, f"{tmp_path.as_uri()}/mlruns")
    tables = [content(made), content(migrated)]
    assert tables[0] == tables[1]
    with closing(sqlite3.connect(made)) as connection:
        found = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
    assert found == [(0, "Default", f"{tmp_path.as_uri()}/mlruns/0")]
    assert made.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.db", "migrated.db"]


def content(database: Path) -> list[object]:
    """Return every statement of a schema, and the revision."""
    with closing(sqlite3.connect(database)) as connection:
        made = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name").fetchall()
        revision = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return [*((kind, name, lines(sql or "")) for kind, name, sql in made), revision]
