"""``var`` is closed to other users of the machine, whatever the umask and whichever command comes first."""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from config.settings import Settings
from config.var_folder import SHARED, group_id, make_var, open_to_others
from core.errors import ConfigError
from tests.factories import add_credit_model
from tests.other_user import effective_user, reached_by_all

OURS = grp.getgrgid(os.getegid()).gr_name


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Let everything that is created be open to all, where the code does not prevent it."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    """Permissions of a path with its special bits."""
    return stat.S_IMODE(path.stat().st_mode)


def another_group() -> grp.struct_group:
    """Return a group that a new folder would not have; skips where only root could give it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder to any group")
    return next(one for one in grp.getgrall() if one.gr_gid != os.getegid())


def test_a_new_folder_is_its_owners_alone(project: Settings) -> None:
    """A repeat changes nothing."""
    for _ in range(2):
        make_var(project)
        assert mode(project.var) == 0o700


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (0o755, 0o700),
        (0o777, 0o700),
        (0o775, 0o700),
        (0o750, 0o700),
        (0o2775, 0o2770),
        (0o2755, 0o2700),
    ],
)
def test_a_folder_of_an_earlier_release_is_closed(project: Settings, before: int, after: int) -> None:
    """The group keeps it only where somebody set the bit that passes a folder's group on and let it write."""
    project.var.mkdir()
    project.var.chmod(before)
    make_var(project)
    assert mode(project.var) == after


def test_a_folder_of_another_user_is_left_to_its_owner(project: Settings) -> None:
    """Only the owner can close it; the doctor names it."""
    project.var.mkdir()
    project.var.chmod(0o755)
    with reached_by_all(project.root), effective_user():
        make_var(project)
    assert mode(project.var) == 0o755


def test_a_group_is_named_by_a_setting(project: Settings) -> None:
    """The folder is the group's, and what is created from then on can be written by the group."""
    team = another_group()
    make_var(project)
    os.umask(0o077)
    shared = project.model_copy(update={"group": team.gr_name})
    for _ in range(2):
        make_var(shared)
        assert (project.var.stat().st_gid, mode(project.var)) == (team.gr_gid, SHARED)
    (project.var / "log").mkdir()
    (project.var / "log" / "x.log").touch()
    assert (mode(project.var / "log"), mode(project.var / "log" / "x.log")) == (0o2770, 0o660)
    assert (project.var / "log" / "x.log").stat().st_gid == team.gr_gid


def test_a_group_must_exist_and_be_ours(project: Settings) -> None:
    """The error names the setting."""
    assert group_id(OURS) == os.getegid()
    with pytest.raises(ConfigError, match="PERENNIAL_GROUP names 'no-such-group', which is no group"):
        make_var(project.model_copy(update={"group": "no-such-group"}))
    team = another_group()
    with effective_user(), pytest.raises(ConfigError, match="this user is not in that group"):
        group_id(team.gr_name) if team.gr_gid not in os.getgroups() else group_id("sys")


def test_what_is_open_to_others_is_named_with_its_mode(tmp_path: Path) -> None:
    """Not what the group may read, and no link, whose mode means nothing."""
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)
    assert (open_to_others(path), open_to_others(tmp_path / "link")) == ("", "")
    path.chmod(0o604)
    assert open_to_others(path) == f"{path} (0604)"


@pytest.mark.parametrize(
    "line",
    [
        "models",
        "history credit",
        "drift credit",
        "data credit",
        "doctor",
        "keys create ann",
        "triggers",
        "approve credit@1 --reason x",
        "init --data rows.csv --target default --name other",
    ],
)
def test_the_first_command_creates_a_closed_folder(project: Settings, line: str) -> None:
    """Under umask 0; what it writes there is not readable by others where the folder is opened later."""
    add_credit_model(project)
    CliRunner().invoke(main, line.split(), catch_exceptions=False)
    if project.var.exists():
        assert mode(project.var) == 0o700
        kept = [path for path in project.var.glob("*") if path.suffix in {".db", ".db-wal", ".db-shm"}]
        assert [open_to_others(path) for path in kept] == [""] * len(kept)


@pytest.mark.parametrize(("before", "file_mode", "folder_mode"), [(0o700, 0o640, 0o750), (0o2770, 0o660, 0o2770)])
def test_what_libraries_create_is_closed_to_others(
    project: Settings, before: int, file_mode: int, folder_mode: int
) -> None:
    """Under umask 0, as a process has that was started by another program; a folder shared by hand stays so."""
    project.var.mkdir()
    project.var.chmod(before)
    make_var(project)
    (project.var / "mlruns").mkdir()
    (project.var / "mlruns" / "model.skops").touch()
    assert (mode(project.var / "mlruns"), mode(project.var / "mlruns" / "model.skops")) == (folder_mode, file_mode)


def test_a_stricter_umask_stays(project: Settings) -> None:
    """A user who keeps the group out everywhere is not overruled."""
    os.umask(0o077)
    make_var(project)
    (project.var / "x").touch()
    assert mode(project.var / "x") == 0o600
