"""What the doctor says of the user that runs it: each trouble is made for real."""

from __future__ import annotations

import os
import subprocess

import pytest

from config.home import give_home
from config.settings import Settings
from tasks.platform.doctor_user import (
    check_caches,
    check_folder,
    check_git,
    check_home,
    check_owners,
    check_proxies,
)
from tests.factories import git
from tests.other_user import UID, effective_user, mounted, reached_by_all
from tests.tasks.platform.examined import changed, only


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.lower().endswith("_proxy")] + ["PREFECT_HOME", "XDG_CACHE_HOME"]:
        monkeypatch.delenv(name, raising=False)


def test_nothing_is_wrong_in_a_usual_project(settings: Settings) -> None:
    """Each check has one line that says so."""
    findings = [
        only(check(settings))
        for check in (check_folder, check_owners, check_home, check_caches, check_git, check_proxies)
    ]
    assert [finding.level for finding in findings] == ["ok"] * 6


def test_a_folder_that_cannot_be_written_is_told(settings: Settings) -> None:
    """A file stands in its place."""
    (settings.root / "file").write_text("")
    assert only(check_folder(changed(settings, var=settings.root / "file"))).level == "problem"


def test_a_folder_of_another_user_is_told(settings: Settings) -> None:
    """With its owner and mode, and the command that repairs it."""
    with reached_by_all(settings.root), effective_user():
        finding = only(check_folder(settings))
    assert finding.level == "problem"
    assert f"found {settings.var} of user root with mode 0700" in finding.says
    assert finding.advice.startswith(f"chown -R {UID} {settings.var}, set PERENNIAL_VAR")


def test_a_read_only_folder_is_told(settings: Settings) -> None:
    """As such."""
    with mounted(settings.var, "size=1m,ro"):
        finding = only(check_folder(settings))
    assert (finding.level, "read-only file system" in finding.says) == ("problem", True)
    assert "PERENNIAL_VAR" in finding.advice


def test_a_folder_open_to_all_users_is_closed(settings: Settings) -> None:
    """As every command does: anyone could replace the models in it."""
    settings.var.chmod(0o777)
    assert only(check_folder(settings)).level == "ok"
    assert settings.var.stat().st_mode & 0o777 == 0o700


def test_what_a_run_of_another_user_left_is_told(settings: Settings) -> None:
    """As after one command with sudo: the database is root's, and the next run fails at its first step."""
    os.chown(settings.var, UID, -1)
    with reached_by_all(settings.root), effective_user():
        assert only(check_folder(settings)).level == "ok"
        finding = only(check_owners(settings))
    assert finding.level == "problem"
    assert " of root: " in finding.says
    assert str(settings.var / "perennial.db") in finding.says
    assert finding.advice.startswith(f"chown -R {UID} {settings.var}")


def test_a_user_without_home_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our commands work without one; what other tools start does not."""
    monkeypatch.setenv("HOME", "/nonexistent")
    give_home(os.environ)
    finding = only(check_home(settings))
    assert (finding.level, "var/home takes its place" in finding.says) == ("warning", True)
    monkeypatch.setenv("HOME", "/nonexistent")
    assert only(check_home(settings)).level == "problem"


@pytest.mark.parametrize("name", ["PREFECT_HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"])
def test_a_cache_that_others_can_write_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With the variable that names it, and its mode."""
    folder = settings.root / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv(name, str(folder))
    finding = only(check_caches(settings))
    assert finding.level == "problem"
    assert finding.says.startswith(f"{name} must be")
    assert "0777" in finding.says
    assert finding.advice == f"chmod go-w {folder}, or unset it"


def test_the_caches_of_an_earlier_release_are_told(settings: Settings) -> None:
    """They hold pickles, in a folder that was open to all users."""
    (settings.var / "dvc").mkdir()
    assert only(check_caches(settings)).advice == f"rm -r {settings.var / 'dvc'}"


def test_a_repository_of_another_user_is_told(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Git refuses it, and versions would record no commit."""
    monkeypatch.setenv("HOME", str(settings.root))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    head = git(settings.root, "rev-parse", "--short", "HEAD").strip()
    assert only(check_git(settings)).says == f"commit {head}"
    try:
        for path in (settings.root, settings.root / ".git"):
            os.chown(path, UID, UID)
    except PermissionError:
        pytest.skip("only root can give a folder away")
    finding = only(check_git(settings))
    assert (finding.level, f"found one of uid {UID}" in finding.says) == ("warning", True)
    subprocess.run(["git", "config", "--global", "--add", "safe.directory", settings.root], check=True)
    assert only(check_git(settings)).says == f"commit {head}"


def test_proxies_are_told_without_their_passwords(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of the own network that would be reached through one is a warning, with what to add where."""
    monkeypatch.setenv("http_proxy", "http://ada:secret@proxy.example:3128")
    assert only(check_proxies(settings)).says.startswith("http_proxy is http://***@proxy.example:3128; this machine's")
    near = changed(settings, prefect_api_url="http://10.0.0.5:4200/api", mlflow_uri="http://127.0.0.1:5000")
    finding = only(check_proxies(near))
    assert (finding.level, finding.advice) == ("warning", "add the host to no_proxy: 10.0.0.5")
    assert "found PREFECT_API_URL" in finding.says
    monkeypatch.setenv("no_proxy", "10.0.0.5")
    assert only(check_proxies(near)).level == "ok"
    assert only(check_proxies(changed(settings, prefect_api_url="https://api.prefect.cloud/api"))).level == "ok"
