"""Hashes of the code and of the pinned libraries."""

import time
from pathlib import Path

import pytest

import tasks.train.code_version as module
from tasks.train.code_version import code_version, lock_hash
from tests.factories import credit_config

OWN_ESTIMATOR = credit_config(training={"estimator": "boosters.fast.Booster"})


def test_depends_on_our_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed, renamed or added source of ours is another version; a cache file is not."""
    monkeypatch.setattr(module, "INSTALLED", tmp_path)
    source = tmp_path / "core" / "a.py"
    source.parent.mkdir()
    versions = []
    for change in (
        lambda: source.write_text("a = 1"),
        lambda: source.write_text("a = 2"),
        lambda: source.rename(source.with_name("b.py")),
        lambda: (tmp_path / "core" / "c.py").write_text(""),
    ):
        change()
        versions.append(code_version(tmp_path / "project", credit_config()))
    assert len(set(versions)) == 4
    (tmp_path / "core" / "c.pyc").write_text("")
    assert code_version(tmp_path / "project", credit_config()) == versions[-1]


def test_depends_on_the_estimator_inside_the_project(tmp_path: Path) -> None:
    """The user's own estimator and its neighbours count; other files of the project do not."""
    package = tmp_path / "boosters"
    package.mkdir()
    (package / "fast.py").write_text("class Booster: ...")
    first = code_version(tmp_path, OWN_ESTIMATOR)
    (tmp_path / "notes.py").write_text("")
    assert code_version(tmp_path, OWN_ESTIMATOR) == first
    (package / "loss.py").write_text("")
    assert code_version(tmp_path, OWN_ESTIMATOR) != first


def test_depends_on_the_estimator_in_one_module(tmp_path: Path) -> None:
    """An estimator in a module at the project's root counts too."""
    config = credit_config(training={"estimator": "boosters.Booster"})
    without = code_version(tmp_path, config)
    (tmp_path / "boosters.py").write_text("class Booster: ...")
    assert code_version(tmp_path, config) != without


def test_does_not_depend_on_where_the_project_lies(tmp_path: Path) -> None:
    """Two clones of a project have the same code version."""
    for name in ("one", "two"):
        (tmp_path / name / "boosters").mkdir(parents=True)
        (tmp_path / name / "boosters" / "fast.py").write_text("class Booster: ...")
    assert code_version(tmp_path / "one", OWN_ESTIMATOR) == code_version(tmp_path / "two", OWN_ESTIMATOR)


def test_is_cheap(tmp_path: Path) -> None:
    """Every run computes it, so it takes milliseconds."""
    times = []
    for _ in range(5):
        start = time.process_time()
        code_version(tmp_path, credit_config())
        times.append(time.process_time() - start)
    assert min(times) < 0.02


def test_lock_hash(tmp_path: Path) -> None:
    """The lock's content decides; without a lock there is nothing to tell apart."""
    assert lock_hash(tmp_path) == ""
    (tmp_path / "requirements.lock").write_text("numpy==2.4.6\n")
    assert len(lock_hash(tmp_path)) == 64
