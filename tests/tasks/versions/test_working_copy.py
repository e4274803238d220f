from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.settings import Settings
from store.database import open_database
from tasks.versions.batches import record_files
from tasks.versions.working_copy import batch_hashes, file_md5, git_state
from tests.factories import git, make_project
from tests.tasks.versions.staging import credit_rows, stage


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def test_the_state_of_git(settings: Settings) -> None:
    """Any change but the one of ``data.dvc`` makes a tree dirty."""
    head = git(settings.root, "rev-parse", "HEAD").strip()
    assert git_state(settings.root) == (head, False)
    (settings.root / "data.dvc").write_text("outs: []\n")
    assert git_state(settings.root) == (head, False)
    (settings.root / "config" / "models" / "credit.yaml").write_text("model: credit\n")
    assert git_state(settings.root) == (head, True)


def test_reading_the_state_of_git_writes_nothing(settings: Settings) -> None:
    """The index is not refreshed, so a ``git`` the user runs meanwhile finds it unlocked."""
    (settings.root / ".gitignore").touch()
    index = settings.root / ".git" / "index"
    before = index.stat().st_mtime_ns, index.read_bytes()
    git_state(settings.root)
    assert (index.stat().st_mtime_ns, index.read_bytes()) == before


def test_no_git_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Outside a repository, or without the program, there is no commit to record and that is no error."""
    assert git_state(tmp_path) == ("", False)
    monkeypatch.setenv("PATH", "")
    assert git_state(tmp_path) == ("", False)
    assert "not recorded" in caplog.text


def test_a_file_is_hashed_again_only_when_it_changed(settings: Settings) -> None:
    """An edit is noticed, even one that keeps the size, and one that keeps the time of modification too."""
    folder = settings.root / "data" / "credit"
    folder.mkdir(parents=True)
    path = stage(credit_rows(0, 5), folder).path
    engine = open_database(settings.database_url)
    record_files([path], "credit", settings, n_quarantined=0)
    assert batch_hashes("credit", settings, engine) == {path.name: file_md5(path)}
    content = path.read_bytes()
    before = path.stat()
    path.write_bytes(content[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert batch_hashes("credit", settings, engine) == {path.name: file_md5(path)}
    path.write_bytes(content)
    assert batch_hashes("credit", settings, engine) == {path.name: file_md5(path)}
