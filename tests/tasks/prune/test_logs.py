"""Logs that no process rotates."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import RetentionSettings, Settings
from tasks.prune.logs import cut, growing_logs
from tests.factories import make_project
from tests.tasks.prune.files import aged


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Make an empty project."""
    return make_project(tmp_path)


def test_only_logs_above_their_size_are_cut(settings: Settings) -> None:
    """Those that the process manager rotates are not looked at."""
    sizes = {"crash.log": 3_000, "follow-up.log": 4_000, "prefect-server.log": 10, "worker.log": 9_000}
    for name, size in sizes.items():
        aged(settings.var / "log" / name, 0, "x" * size)
    retention = RetentionSettings().model_copy(update={"log_mb": 2_000 / 1024 / 1024})
    assert [found.item.name for found in growing_logs(settings, retention).found] == ["crash.log", "follow-up.log"]


def test_a_process_that_has_the_log_open_keeps_writing_to_it(tmp_path: Path) -> None:
    """The newest whole lines are kept beside it, what is written afterwards begins an empty log."""
    path = tmp_path / "prefect-server.log"
    with path.open("ab", buffering=0) as log:
        log.write(b"".join(b"line %d\n" % number for number in range(1000)))
        cut(path, 25)
        log.write(b"later\n")
    assert (tmp_path / "prefect-server.log.1").read_text() == "line 998\nline 999\n"
    assert path.read_text() == "later\n"
