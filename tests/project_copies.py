"""Copies of a project that a test begins with, in place of making it again."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

from config.settings import Settings
from tests.fixtures.make_before import replace_text


def copy_project(source: Settings, target: Settings) -> None:
    """Put a copy of a project in the place of another; only MLflow's database names folders."""
    shutil.rmtree(target.root)
    shutil.copytree(source.root, target.root, symlinks=True)
    with closing(sqlite3.connect(target.var / "mlflow.db")) as connection:
        replace_text(connection, str(source.root), str(target.root))
