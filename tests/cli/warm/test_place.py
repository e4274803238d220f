"""Which warm process fits a command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.warm import place
from cli.warm.place import is_wanted, socket_path


@pytest.fixture
def environment(short_path: Path) -> dict[str, str]:
    """Return the variables of a command whose sockets lie in a folder of the test."""
    return {"XDG_RUNTIME_DIR": str(short_path), "PATH": "/bin", "TERM": "xterm"}


@pytest.mark.parametrize(
    ("arguments", "setting", "wanted"),
    [
        (["train", "credit"], "1", True),
        (["monitor"], "1", True),
        (["train", "credit"], "0", False),
        (["train", "credit"], None, False),
        (["serve"], "1", False),
        (["--help"], "1", False),
        ([], "1", False),
    ],
)
def test_commands_that_import_much_are_warm_if_asked(arguments: list[str], setting: str | None, wanted: bool) -> None:
    """The setting is off by default, and services are never run in a fork."""
    assert is_wanted(arguments, {} if setting is None else {"PERENNIAL_WARM": setting}) is wanted


def test_two_terminals_share_a_process(environment: dict[str, str]) -> None:
    """What differs between them is read by no library at import."""
    assert socket_path(environment) == socket_path(environment | {"TERM": "dumb", "COLUMNS": "80", "SHLVL": "3"})


def test_another_environment_has_another_process(environment: dict[str, str]) -> None:
    """Any other variable may be read by a library when it is imported."""
    found = [socket_path(environment | more) for more in ({}, {"OMP_NUM_THREADS": "1"}, {"PERENNIAL_ROOT": "/x"})]
    assert len({*found}) == 3


def test_another_folder_has_another_process(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another project."""
    here = socket_path(environment)
    monkeypatch.chdir(tmp_path)
    assert socket_path(environment) != here


@pytest.mark.parametrize("change", ["edited", "added", "removed", "touched"])
def test_changed_code_has_another_process(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A command never runs with the code of before, whatever changed in which folder."""
    for room in place.ROOMS:
        (tmp_path / room / "inner").mkdir(parents=True)
    code = tmp_path / "tasks" / "inner" / "one.py"
    code.write_text("a = 1\n")
    monkeypatch.setattr(place, "PACKAGES", tmp_path)
    before = socket_path(environment)
    assert before == socket_path(environment)
    if change == "edited":
        code.write_text("a = 22\n")
    elif change == "added":
        code.with_name("two.sql").write_text("SELECT 1")
    elif change == "removed":
        code.unlink()
    else:
        os.utime(code, ns=(1, 1))
    assert socket_path(environment) != before


def test_sockets_lie_in_a_private_folder(environment: dict[str, str], tmp_path: Path) -> None:
    """A folder that others may write to, or that is a link, could hold another user's socket."""
    path = socket_path(environment)
    assert path is not None
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o755)
    assert socket_path(environment) is None
    assert socket_path(environment | {"XDG_RUNTIME_DIR": str(tmp_path / ("x" * 80))}) is None
    path.parent.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    assert socket_path(environment) is None
