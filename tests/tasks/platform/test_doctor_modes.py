"""The doctor names what other users of the machine can read or write, with the command that closes it."""

from __future__ import annotations

import grp
import os
from pathlib import Path

import pytest

from config.settings import Settings
from store.database import open_database
from tasks.platform.doctor_modes import check_modes
from tests.tasks.platform.examined import only


@pytest.fixture
def closed(project: Settings) -> Settings:
    """Return a project with a database and a log, as commands create them."""
    open_database(project.database_url).dispose()
    (project.var / "log").mkdir(mode=0o700)
    (project.var / "log" / "relay.log").touch(0o600)
    return project


def test_what_commands_create_is_closed(closed: Settings, tmp_path: Path) -> None:
    """Also before there is anything."""
    assert only(check_modes(closed)).level == "ok"
    assert only(check_modes(closed.model_copy(update={"var": tmp_path / "none"}))).level == "ok"


def test_an_open_folder_is_a_problem(closed: Settings) -> None:
    """Of another owner, because one of ours is closed by every command."""
    closed.var.chmod(0o755)
    finding = only(check_modes(closed))
    assert (finding.level, finding.check) == ("problem", "modes")
    assert f"found {closed.var} (0755)" in finding.says
    assert finding.advice.endswith(f"chmod o-rwx {closed.var}")


def test_a_group_without_a_setting_is_told(closed: Settings) -> None:
    """The setting makes it deliberate."""
    closed.var.chmod(0o2770)
    group = grp.getgrgid(closed.var.stat().st_gid).gr_name
    finding = only(check_modes(closed))
    assert (finding.level, finding.advice) == (
        "warning",
        f"set PERENNIAL_GROUP={group} to share it, or chmod 0700 {closed.var}",
    )
    assert only(check_modes(closed.model_copy(update={"group": group}))).level == "ok"


def test_a_setting_that_is_not_in_force_is_a_problem(closed: Settings) -> None:
    """The folder has another mode than that of a shared one."""
    group = grp.getgrgid(os.getegid()).gr_name
    finding = only(check_modes(closed.model_copy(update={"group": group})))
    assert finding.level == "problem"
    assert f"with group {group} and mode 2770, found {group} and 0700" in finding.says


def test_databases_elsewhere_are_checked(closed: Settings, tmp_path: Path) -> None:
    """A database outside ``var`` is protected by its own mode alone, and so is its journal."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "x.db").touch(0o600)
    (elsewhere / "x.db-wal").touch()
    (elsewhere / "x.db-wal").chmod(0o644)
    finding = only(check_modes(closed.model_copy(update={"mlflow_uri": f"sqlite:///{elsewhere / 'x.db'}"})))
    assert (finding.level, finding.advice) == ("problem", f"chmod o-rwx {elsewhere / 'x.db-wal'}")
    server = closed.model_copy(update={"mlflow_uri": "http://127.0.0.1:1", "database_url": "postgresql://h/d"})
    assert only(check_modes(server)).level == "ok"


def test_what_an_earlier_release_left_is_named(closed: Settings) -> None:
    """Logs that all could read, and the caches that DVC opened to all."""
    (closed.var / "log" / "relay.log").chmod(0o644)
    (closed.var / "dvc").mkdir()
    (closed.var / "dvc").chmod(0o777)
    writable, logs = check_modes(closed)
    assert (writable.level, logs.level) == ("warning", "warning")
    assert f"{closed.var / 'dvc'} (0777)" in writable.says
    assert f"{closed.var / 'log' / 'relay.log'} (0644)" in logs.says
