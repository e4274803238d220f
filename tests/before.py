"""The project that an earlier commit left on the disk, unpacked into a folder of a test."""

from __future__ import annotations

import json
import sqlite3
import tarfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from tests.factories import make_project
from tests.fixtures.make_before import ROOT, replace_text

ARCHIVE = Path(__file__).with_name("fixtures") / "before.tar.xz"


@dataclass(frozen=True)
class Before:
    """An unpacked project.

    Parameters
    ----------
    settings
        Where it lies.
    recorded
        What commands and service answered then, see ``tests/fixtures/make_before.py``.
    """

    settings: Settings
    recorded: dict[str, Any]


def unpack(folder: Path) -> Before:
    """Unpack the project into a git repository in a folder.

    The addresses of artifacts in MLflow's database are absolute; the placeholder in them becomes this folder. In the
    operational database nothing names a folder.
    """
    settings = make_project(folder)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(settings.root, filter="data")
    with closing(sqlite3.connect(settings.var / "mlflow.db")) as connection:
        replace_text(connection, ROOT, str(settings.root))
    text = (settings.root / "recorded.json").read_text(encoding="utf-8")
    return Before(settings, json.loads(text.replace(ROOT, str(settings.root))))


@pytest.fixture
def before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Before:
    """Return a copy of the project, which the environment names."""
    found = unpack(tmp_path)
    monkeypatch.setenv("PERENNIAL_ROOT", str(found.settings.root))
    for name in ("PERENNIAL_VAR", "MLFLOW_TRACKING_URI", "PERENNIAL_MLFLOW_URI", "PERENNIAL_DATA_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    return found
