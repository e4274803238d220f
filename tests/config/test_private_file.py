"""Files that other users of the machine cannot read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from config.private_file import append_privately, create_private_file, keep_from_others, make_private_folder
from config.settings import PACKAGES
from store.database import open_database
from tests.other_user import as_user

CODE = """
import os, sqlite3, sys
from pathlib import Path
from config.private_file import create_private_file
os.umask(int(sys.argv[1], 8))
path = Path(sys.argv[2])
create_private_file(path)
connection = sqlite3.connect(path)
connection.execute("PRAGMA journal_mode = WAL")
connection.execute("CREATE TABLE IF NOT EXISTS note (text)")
connection.execute("INSERT INTO note VALUES ('x')")
connection.commit()
print(*(oct(found.stat().st_mode & 0o777) for found in path.parent.glob(f"{path.name}*")))
"""


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o600), (0o077, 0o600), (0o002, 0o660), (0o000, 0o660)])
def test_a_new_file_is_private_and_the_groups_where_the_umask_lets_it_write(
    tmp_path: Path, umask: int, mode: int
) -> None:
    """No other user reads it, whatever the umask."""
    before = os.umask(umask)
    try:
        create_private_file(tmp_path / "new")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == mode


def test_a_file_that_exists_keeps_its_content_and_mode(tmp_path: Path) -> None:
    """A second call, also from another process at the same time, changes nothing."""
    path = tmp_path / "old"
    path.write_text("content")
    path.chmod(0o640)
    create_private_file(path)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("content", 0o640)


def test_a_file_of_before_is_taken_from_others(tmp_path: Path) -> None:
    """The group keeps what it had; a file that is not there is no error."""
    path = tmp_path / "old"
    path.touch()
    path.chmod(0o664)
    keep_from_others(path)
    keep_from_others(tmp_path / "none")
    assert path.stat().st_mode & 0o777 == 0o660


def test_a_database_of_before_is_taken_from_others(tmp_path: Path) -> None:
    """It holds the hashes of API keys."""
    path = tmp_path / "perennial.db"
    open_database(f"sqlite:///{path}").dispose()
    path.chmod(0o644)
    open_database(f"sqlite:///{path}").dispose()
    assert path.stat().st_mode & 0o777 == 0o640


def test_two_users_of_a_group_write_one_database(tmp_path: Path) -> None:
    """Under umask 002 and in a folder of the group, with SQLite's companions; others cannot read it."""
    group = 12999
    folder = tmp_path / "var"
    folder.mkdir()
    os.chown(folder, -1, group)
    folder.chmod(0o2775)
    for uid in (12001, 12002, 12001):
        command = as_user(sys.executable, "-c", CODE, "002", str(folder / "x.db"), uid=uid, gid=group)
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(PACKAGES)})
        assert done.returncode == 0, done.stderr
        assert set(done.stdout.split()) == {"0o660"}


def test_a_log_is_private_from_its_first_line(tmp_path: Path) -> None:
    """Whatever the umask; one of an earlier release is taken from others, and its lines stay."""
    path = tmp_path / "log" / "x.log"
    path.parent.mkdir()
    before = os.umask(0o022)
    try:
        for expected in (0o600, 0o640):
            with append_privately(path) as log:
                log.write(b"line\n")
            assert path.stat().st_mode & 0o777 == expected
            path.chmod(0o644)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"line\nline\n"


def test_a_private_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    """Only the folder itself is private: those above it are not ours to close."""
    folder = tmp_path / "a" / "var"
    before = os.umask(0)
    try:
        make_private_folder(folder)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.parent.stat().st_mode & 0o777 == 0o777
