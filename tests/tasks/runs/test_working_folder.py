"""Folders that a run cannot use are named before it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from config.settings import Settings
from core.errors import StorageError
from tasks.runs.working_folder import check_folders, unsafe_folder
from tests.other_user import UID, effective_user, mounted, reached_by_all


@pytest.fixture(autouse=True)
def _own_prefect_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_HOME", raising=False)


def test_the_folder_is_created(project: Settings) -> None:
    """A run in a fresh project has nothing to prepare; a second one changes nothing."""
    check_folders(project)
    check_folders(project)
    assert project.var.is_dir()


def test_the_place_of_a_home_is_private(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the umask: libraries trust what is in a home."""
    monkeypatch.setenv("HOME", str(project.var / "home"))
    before = os.umask(0)
    try:
        check_folders(project)
    finally:
        os.umask(before)
    assert (project.var / "home").stat().st_mode & 0o777 == 0o700


def test_a_folder_of_another_user_is_named_with_what_to_do(project: Settings) -> None:
    """The message names its owner and mode, and the command that repairs it."""
    project.var.mkdir(mode=0o755)
    with reached_by_all(project.root), effective_user(), pytest.raises(StorageError) as caught:
        check_folders(project)
    assert f" may write, found {project.var} of user root with mode 0755; chown -R {UID} " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_created_is_named(project: Settings) -> None:
    """A file stands in its place."""
    project.var.write_text("")
    with pytest.raises(StorageError, match="cannot be created: File exists; set PERENNIAL_VAR"):
        check_folders(project)


def test_a_full_disk_is_named_with_the_space_found(project: Settings) -> None:
    """Before rows are read and before a server is started."""
    project.var.mkdir()
    with mounted(project.var, "size=8m"):
        (project.var / "filler").write_bytes(bytes(5 * 1024**2))
        with pytest.raises(StorageError, match=r"at least 100 MiB of free space under .*var, found 3\.0 MiB; free sp"):
            check_folders(project)
        assert [path.name for path in project.var.iterdir()] == ["filler"]


def test_a_read_only_disk_is_named(project: Settings) -> None:
    """As such: neither owner nor space would help."""
    project.var.mkdir()
    with (
        mounted(project.var, "size=8m,ro"),
        pytest.raises(StorageError, match="var is on a read-only file system; mount it writable, or set PERENNIAL_VAR"),
    ):
        check_folders(project)


@pytest.mark.parametrize(
    ("mode", "found"),
    [(0o700, ""), (0o755, ""), (0o775, "0775"), (0o1777, "1777"), (0o777, "0777")],
)
def test_a_folder_that_others_can_write_is_not_trusted(tmp_path: Path, mode: int, found: str) -> None:
    """Whether by its group or by all; the sticky bit does not keep them from adding files."""
    folder = tmp_path / "cache"
    assert unsafe_folder(folder) == ""
    folder.mkdir()
    folder.chmod(mode)
    assert (unsafe_folder(folder) == "") == (found == "")
    assert found in unsafe_folder(folder)


def test_a_folder_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    """Whatever its mode: its owner can change that."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    try:
        os.chown(folder, UID, -1)
    except PermissionError:
        pytest.skip("only root can give a folder away")
    assert f"belongs to uid {UID}" in unsafe_folder(folder)


def test_no_run_starts_with_a_prefect_home_of_others(project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect reads its profiles and the configuration of logging from there."""
    home = project.root / "shared"
    home.mkdir()
    home.chmod(0o777)
    monkeypatch.setenv("PREFECT_HOME", str(home))
    with pytest.raises(StorageError, match=r"PREFECT_HOME must be a folder that only .* can write, found that .* 0777"):
        check_folders(project)
