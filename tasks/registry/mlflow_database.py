"""MLflow's SQLite database is made from a script, so that a first run makes none of MLflow's migrations.

With another release than the pinned one, MLflow migrates by itself. A test compares the script with what the migrations
make. After an upgrade of MLflow, ``python -m tasks.registry.mlflow_database`` writes it again.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

from config.private_file import create_private_file
from store.scripts.script import fill, is_of, script_of

SCRIPT = Path(__file__).with_name("mlflow_tables.sql")

_EXPERIMENTS = "experiments"
"""Table whose rows the script leaves out: MLflow's default experiment has a path of the machine."""


def create_database(path: Path, artifacts: str) -> None:
    """Create a database under a temporary name, then rename it; a process killed in between leaves none.

    MLflow's migrations commit one by one: if they are killed, they leave a database that MLflow refuses permanently.

    Parameters
    ----------
    path
        The database; the caller holds a lock on it.
    artifacts
        Address of the folder for artifacts.
    """
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    create_private_file(part)
    if is_of(SCRIPT, _release()):
        fill(part, SCRIPT)
    _open_store(part, artifacts)
    part.replace(path)


def migrated_script() -> str:
    """Return the script for :data:`SCRIPT`, from the installed release's own migrations."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "mlflow.db"
        _open_store(database, folder)
        return script_of(database, _release(), without=[_EXPERIMENTS])


def _open_store(database: Path, artifacts: str) -> None:
    """Let MLflow migrate a database that has no tables, and create its default experiment."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore(f"sqlite:///{database}", artifacts)  # type: ignore[no-untyped-call] # MLflow types it partly
    store.engine.dispose()


def _release() -> str:
    return f"mlflow {version('mlflow')}"


if __name__ == "__main__":
    SCRIPT.write_text(migrated_script(), encoding="utf-8")
