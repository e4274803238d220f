"""Which commands run in forks, and what that costs."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from cli.main import main
from cli.warm.commands import HEAVY, LIGHT, is_wanted, run_in_fork, start_for_later

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("arguments", "setting", "wanted"),
    [
        (["train", "credit"], "1", True),
        (["monitor"], None, True),
        (["models"], None, True),
        (["train", "credit"], "0", False),
        (["serve"], "1", False),
        (["up"], "1", False),
        (["--help"], "1", False),
        ([], "1", False),
    ],
)
def test_commands_that_import_run_in_forks(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], setting: str | None, wanted: bool
) -> None:
    """Services and servers never do, and ``PERENNIAL_WARM=0`` turns it off."""
    monkeypatch.setattr("cli.warm.commands.is_plain", lambda _: True)
    assert is_wanted(arguments, {} if setting is None else {"PERENNIAL_WARM": setting}) is wanted


def test_the_commands_exist() -> None:
    """A name that is misspelt would never be warm."""
    assert {*main.commands} >= HEAVY | LIGHT


def test_without_a_warm_process_a_command_runs_by_itself(tmp_path: Path) -> None:
    """Nothing is waited for."""
    assert run_in_fork({"XDG_RUNTIME_DIR": str(tmp_path)}) is None


def test_a_client_imports_little() -> None:
    """It must be faster than what it saves."""
    code = "import sys, cli.__main__, cli.warm.commands as c; c.place({}); "
    heavy = ("pydantic", "numpy", "click", "subprocess", "dataclasses", "tempfile")
    code += f"print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("arguments", "setting", "terminal", "started"),
    [
        (["train"], None, True, True),
        (["train"], None, False, False),
        (["train"], "1", False, True),
        (["models"], None, True, False),
    ],
)
def test_a_process_is_started_where_a_person_gives_commands(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], setting: str | None, terminal: bool, started: bool
) -> None:
    """A schedule would leave one behind that nothing uses, unless the variable asks for it."""
    found: list[object] = []
    monkeypatch.setattr("cli.warm.commands.start_warm", lambda *given: found.append(given))
    monkeypatch.setattr("cli.warm.commands.os.isatty", lambda _: terminal)
    start_for_later(arguments, {**os.environ, **({} if setting is None else {"PERENNIAL_WARM": setting})})
    assert bool(found) is started


@pytest.mark.parametrize("case", ["option", "debugger", "background", "closed", "stream"])
def test_an_unusual_process_runs_by_itself(case: str) -> None:
    """A fork has no options of the interpreter, debugger or further streams, and no terminal would stop it."""
    code = "import os, sys; sys.orig_argv.remove('-c'); {}; from tasks.warm.client import is_plain; "
    code += "sys.exit(not is_plain(os.environ))"
    changed = {"debugger": "sys.settrace(lambda *_: None)", "closed": "os.close(0)"}
    command = [sys.executable, "-c", code.format(changed.get(case, "pass"))]
    if case == "option":
        command[1:1] = ["-O"]
    elif case == "stream":
        command.append("/dev/fd/63")
    assert _in_terminal(command, background=case == "background") == 1
    plain = [sys.executable, "-c", code.format("pass")]
    assert _in_terminal(plain, background=False) == 0


def _in_terminal(command: list[str], *, background: bool) -> int:
    """Run a command in a terminal of its own; return its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        job = ["bash", "-c", 'set -m; "$@" & wait $!', "bash", *command]
        words = job if background else command
        os.execvpe(words[0], words, {**os.environ, "PYTHONPATH": str(ROOT)})  # noqa: S606 - our own interpreter
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    finally:
        os.close(terminal)
