"""DVC's own caches stay in a folder that only this user can write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.settings import PACKAGES, Settings
from store.database import open_database
from tasks.versions.dvc_stores import open_stores
from tasks.versions.site_cache import site_cache


def test_dvc_creates_no_cache_that_others_can_write(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the project, and not where the environment names a folder: DVC would load pickles from there."""
    shared = project.root / "shared"
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(shared))
    site_cache.cache_clear()
    stores = open_stores(project, open_database(project.database_url))
    folder = Path(stores.repo.site_cache_dir)
    stores.repo.close()
    assert not shared.exists()
    assert folder.is_relative_to(site_cache(project.var / "work"))
    assert folder.is_relative_to(project.var)
    for path in project.var.rglob("*"):
        assert path.stat().st_mode & 0o022 == 0, path


def test_the_folder_ends_with_the_process(tmp_path: Path) -> None:
    """It holds nothing that a later process needs; that of a killed process goes after a day."""
    stale = tmp_path / "dvc-killed"
    stale.mkdir()
    os.utime(stale, (0, 0))
    code = (
        "import sys; from pathlib import Path; from tasks.versions.site_cache import site_cache; "
        "print(site_cache(Path(sys.argv[1])), site_cache(Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(PACKAGES)}
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.split()
    assert told[0] == told[1]
    assert Path(told[0]).parent == tmp_path
    assert list(tmp_path.iterdir()) == []
