"""Where rows that are set aside are written."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from core.errors import StorageError
from tasks.validation.quarantine import reason_column, replaced
from tests.factories import credit_config


def test_a_declared_column_keeps_the_name_reason() -> None:
    """The reasons take another one, however many are taken."""
    assert reason_column(credit_config()) == "reason"
    config = credit_config(features={"categorical": ["reason"], "ignored": ["reason_"]})
    assert reason_column(config) == "reason__"


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Until the end the one before is there, and afterwards nothing but the new one."""
    path = tmp_path / "a.parquet"
    path.write_text("before")
    with replaced(path) as temporary:
        temporary.write_text("after")
        assert path.read_text() == "before"
    assert path.read_text() == "after"
    assert list(tmp_path.iterdir()) == [path]


def _fail_half_way(path: Path, error: Exception) -> None:
    with replaced(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize(
    ("error", "raised"), [(OSError(errno.ENOSPC, "full"), StorageError), (ValueError("broken"), ValueError)]
)
def test_a_failure_leaves_the_file_before(tmp_path: Path, error: Exception, raised: type[Exception]) -> None:
    """And nothing half written; a full disk is told in our words."""
    path = tmp_path / "a.parquet"
    path.write_text("before")
    with pytest.raises(raised):
        _fail_half_way(path, error)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
