"""The file that the follower writes and the workers read."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from core.errors import StorageError
from serving.instance.state import (
    STATE,
    DriftSummary,
    ModelState,
    PerformanceSummary,
    ServiceState,
    read_state,
    state_stamp,
    write_state,
)
from tests.serving.running import make_key

DRIFT = DriftSummary(
    "ok", 3, 10, "2026-01-02T03:04:05+00:00", 0.5, {"age": 0.1}, [PerformanceSummary("realised", "f1", None, 0.5)]
)
MODEL = ModelState(
    "credit", 3, "champion", 2, "2026-01-01", "gate", "better", "f" * 64, "/bundles/f", "d", ("boosters.B",), DRIFT
)
FULL = ServiceState((MODEL,), (make_key("label", models=("credit",), rate=1.5)[0],), {"grade": "its bundle is gone"})


def test_a_state_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """With keys, drift and troubles; nothing else is left in the folder."""
    write_state(tmp_path, ServiceState())
    write_state(tmp_path, FULL)
    assert read_state(tmp_path) == FULL
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
    assert DRIFT.moment == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_no_state_yet_is_no_error(tmp_path: Path) -> None:
    """A worker may be quicker than the follower."""
    assert read_state(tmp_path) is None
    assert state_stamp(tmp_path) is None


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """It holds the hashes of keys."""
    write_state(tmp_path, FULL)
    assert stat.S_IMODE((tmp_path / STATE).stat().st_mode) == 0o600


def test_every_write_has_a_stamp_of_its_own(tmp_path: Path) -> None:
    """Also where the content is the same."""
    stamps = set()
    for _ in range(5):
        write_state(tmp_path, FULL)
        stamps.add(state_stamp(tmp_path))
    assert len(stamps) == 5


@pytest.mark.parametrize("content", [b"", b"[]", b'{"models": [{"name": "credit"}]}', b'{"models": 3}', b"\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    """With what to do."""
    (tmp_path / STATE).write_bytes(content)
    with pytest.raises(StorageError, match=r"state\.json cannot be read: .*delete it"):
        read_state(tmp_path)


def test_a_state_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    """The workers go on with it."""
    write_state(tmp_path, FULL)
    with pytest.raises(StorageError, match="cannot be written"):
        write_state(tmp_path / "gone", ServiceState())
    assert read_state(tmp_path) == FULL
