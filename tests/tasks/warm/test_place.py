"""Which warm process fits a command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.warm import place
from tasks.warm.place import is_asked_for, is_on, socket_path


def _path(environment: dict[str, str]) -> Path | None:
    return socket_path("test", environment)


ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def environment(short_path: Path) -> dict[str, str]:
    """Return the variables of a command whose sockets lie in a folder of the test."""
    return {"XDG_RUNTIME_DIR": str(short_path), "PATH": "/bin", "TERM": "xterm", "HOME": str(short_path)}


@pytest.mark.parametrize(
    ("setting", "on", "asked"),
    [(None, True, False), ("1", True, True), ("true", True, True), ("0", False, False), ("off", False, False)],
)
def test_the_setting_turns_warm_processes_off(setting: str | None, on: bool, asked: bool) -> None:
    """They are on by default; asked for where a person sets it."""
    given = {} if setting is None else {"PERENNIAL_WARM": setting}
    assert (is_on(given), is_asked_for(given)) == (on, asked)


def test_two_terminals_share_a_process(environment: dict[str, str]) -> None:
    """What differs between them is read by no library at import."""
    assert _path(environment) == _path(environment | {"SSH_TTY": "/dev/pts/9", "TMUX_PANE": "%3", "SHLVL": "3"})


def test_another_environment_has_another_process(environment: dict[str, str]) -> None:
    """Any other variable may be read by a library when it is imported."""
    found = [_path(environment | more) for more in ({}, {"OMP_NUM_THREADS": "1"}, {"TERM": "dumb"}, {"COLUMNS": "9"})]
    assert len({*found}) == 4


def test_another_folder_has_another_process(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another project."""
    here = _path(environment)
    monkeypatch.chdir(tmp_path)
    assert _path(environment) != here


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
    before = _path(environment)
    assert before == _path(environment)
    if change == "edited":
        code.write_text("a = 22\n")
    elif change == "added":
        code.with_name("two.sql").write_text("SELECT 1")
    elif change == "removed":
        code.unlink()
    else:
        os.utime(code, ns=(1, 1))
    assert _path(environment) != before


def test_sockets_lie_in_a_private_folder(environment: dict[str, str], tmp_path: Path) -> None:
    """A folder that others may write to, or that is a link, could hold another user's socket."""
    path = _path(environment)
    assert path is not None
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.chmod(0o755)
    assert _path(environment) is None
    assert _path(environment | {"XDG_RUNTIME_DIR": str(tmp_path / ("x" * 80))}) is None
    path.parent.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    path.parent.symlink_to(tmp_path / "elsewhere")
    assert _path(environment) is None
    path.parent.unlink()


def test_a_folder_that_others_can_replace_is_not_used(environment: dict[str, str], short_path: Path) -> None:
    """Without the sticky bit, another user could put a folder of the same name in its place."""
    assert _path(environment) is not None
    short_path.chmod(0o777)
    assert _path(environment) is None
    short_path.chmod(0o1777)
    assert _path(environment) is not None


@pytest.mark.parametrize("name", [".env", "prefect.toml", "pyproject.toml", "matplotlibrc"])
def test_settings_of_the_folder_count(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Libraries read these files at import."""
    monkeypatch.chdir(tmp_path)
    before = _path(environment)
    (tmp_path / name).write_text("")
    assert _path(environment) != before


def test_settings_of_the_user_count(environment: dict[str, str], short_path: Path, tmp_path: Path) -> None:
    """So do profiles in a home that a variable names."""
    given = environment | {"PREFECT_HOME": str(tmp_path)}
    before = _path(environment), _path(given)
    (short_path / ".prefect").mkdir()
    (short_path / ".prefect" / "profiles.toml").write_text("")
    between = _path(environment), _path(given)
    (tmp_path / "profiles.toml").write_text("")
    assert len({*before, *between, _path(given)}) == 5


def test_a_module_beside_the_libraries_counts(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take the place of a library; data that come and go do not count."""
    monkeypatch.syspath_prepend(tmp_path)
    before = _path(environment)
    (tmp_path / "data.csv").write_text("")
    (tmp_path / "var").mkdir()
    assert _path(environment) == before
    (tmp_path / "numpy.py").write_text("")
    assert _path(environment) != before


PREFIXES = {
    "nice": ["nice", "-n", "5"],
    "ionice": ["ionice", "-c", "3"],
    "taskset": ["taskset", "-c", "0"],
    "ulimit": ["sh", "-c", 'ulimit -n 512; exec "$@"', "sh"],
    "core files": ["sh", "-c", 'ulimit -S -c 1; exec "$@"', "sh"],
    "option": [],
    "oom": ["choom", "-n", "300", "--"],
}


@pytest.mark.parametrize("kind", PREFIXES)
def test_what_a_command_inherits_has_another_process(environment: dict[str, str], kind: str) -> None:
    """A fork of a process without these limits and priorities would not have them."""
    code = "import os; from tasks.warm.place import socket_path; print(socket_path('test', os.environ))"
    given = environment | {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    option = ["-O"] if kind == "option" else []

    def told(*prefix: str, option: list[str]) -> str:
        command = [*prefix, sys.executable, *option, "-c", code]
        return subprocess.run(command, env=given, check=True, capture_output=True, text=True).stdout

    usual = told(option=[])
    assert usual == told(option=[])
    if kind == "taskset" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("a machine with one processor")
    assert told(*PREFIXES[kind], option=option) != usual
