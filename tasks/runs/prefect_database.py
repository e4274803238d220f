"""Prefect's SQLite database is made from a script, so that a first start runs none of Prefect's migrations.

With another release than the pinned one, Prefect migrates by itself. A test compares the script with what the
migrations make. After an upgrade of Prefect, ``python -m tasks.runs.prefect_database`` writes it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from config.private_file import make_private_folder
from store.scripts.script import has_revision, is_of, make_database, revision_of, script_of

SCRIPT = Path(__file__).with_name("prefect_tables.sql")
DATABASE = "prefect.db"
ADDRESSES = ("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL")
"""Environment variables by which a user names another database."""


def prepare_database(home: Path) -> bool:
    """Make Prefect's database in its home unless there is one; return whether its tables are those of the release.

    Parameters
    ----------
    home
        Prefect's home; it is created if need be.
    """
    if any(name in os.environ for name in ADDRESSES) or not is_of(SCRIPT, _release()):
        return False
    make_private_folder(home)
    make_database(home / DATABASE, SCRIPT)
    return has_revision(home / DATABASE, revision_of(SCRIPT))


def migrated_script() -> str:
    """Return the script for :data:`SCRIPT`, from the installed release's own migrations; it takes many seconds."""
    code = "import asyncio; from prefect.server.database import provide_database_interface as db; "
    code += "asyncio.run(db().create_db())"
    with tempfile.TemporaryDirectory() as home:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PREFECT_")}
        environment |= {"PREFECT_HOME": home, "DO_NOT_TRACK": "1"}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)  # noqa: S603 - our own interpreter
        return script_of(Path(home) / DATABASE, _release())


def _release() -> str:
    return f"prefect {version('prefect')}"


if __name__ == "__main__":
    SCRIPT.write_text(migrated_script(), encoding="utf-8")
