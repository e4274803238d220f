"""The folder of a service."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from core.errors import StorageError
from serving.instance.folder import METRICS_VARIABLE, make_instance


@pytest.fixture(autouse=True)
def _variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(METRICS_VARIABLE, "before")


def test_folders_are_for_their_owner_alone(tmp_path: Path) -> None:
    """Also where they were there with wider rights: bundles and hashes of keys lie in them."""
    home = tmp_path / "serving"
    home.mkdir(mode=0o755)
    instance = make_instance(home, 8470)
    assert instance == home / "8470"
    folders = (home, home / "bundles", instance, instance / "metrics")
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


def test_metrics_begin_again_and_the_state_stays(tmp_path: Path) -> None:
    """Counts of workers that are gone would be added to those of the new ones."""
    instance = make_instance(tmp_path, 1)
    (instance / "metrics" / "counter_1.db").touch()
    (instance / "state.json").write_text("{}")
    other = make_instance(tmp_path, 2)
    (other / "metrics" / "counter_2.db").touch()
    make_instance(tmp_path, 1)
    assert list((instance / "metrics").iterdir()) == []
    assert (instance / "state.json").exists()
    assert (other / "metrics" / "counter_2.db").exists()
    assert os.environ[METRICS_VARIABLE] == str(instance / "metrics")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """And the environment stays as it was."""
    (tmp_path / "1").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match=r"/1 cannot be written: .*free disk space"):
        make_instance(tmp_path, 1)
    assert os.environ[METRICS_VARIABLE] == "before"
