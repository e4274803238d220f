"""Groups of commands: their help, their default, and what becomes of errors."""

from __future__ import annotations

import errno
import json
import os
import sys

import click
import pytest
from click.testing import CliRunner, Result

from cli.group import Group, WithDefault
from config.settings import Settings
from core.errors import ConfigError, PerennialError, StorageError
from tests.other_user import mounted

RAISES: dict[str, type[BaseException]] = {
    "config": ConfigError,
    "storage": StorageError,
    "ours": PerennialError,
    "bug": ZeroDivisionError,
    "usage": click.UsageError,
    "abort": click.Abort,
    "interrupt": KeyboardInterrupt,
}


@click.command()
@click.argument("kind")
@click.option("--json", "as_json", is_flag=True)
def fail(kind: str, as_json: bool) -> None:
    """Fail in a way."""
    del as_json
    if kind.isdigit():
        raise OSError(int(kind), os.strerror(int(kind)))
    raise RAISES[kind]("it is broken") if kind != "abort" else click.Abort


@click.command("a-long-name")
def long_name() -> None:
    """Do nothing."""


@click.group(cls=Group, sections={"Zeal": (fail,), "Alms": (long_name,)})
def main() -> None:
    """Group two commands."""


@click.group(cls=WithDefault)
def data() -> None:
    """Have a default."""


@data.command("list")
@click.argument("name")
def _list(name: str) -> None:
    click.echo(f"list {name}")


@data.command("restore")
@click.argument("name")
def _restore(name: str) -> None:
    click.echo(f"restore {name}")


def _invoke(group: click.Group, *arguments: str) -> Result:
    return CliRunner().invoke(group, arguments)


def test_the_help_has_headings_in_their_order() -> None:
    """Not sorted, and with one first column over all tables."""
    lines = _invoke(main, "--help").output.splitlines()
    assert lines.index("Zeal:") < lines.index("Alms:")
    first, second = (next(line for line in lines if f"  {name}" in line) for name in ("fail", "a-long-name"))
    assert first.index("Fail in a way.") == second.index("Do nothing.")


@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [
        ("config", 2, "error: it is broken\n"),
        ("storage", 2, "error: it is broken\n"),
        ("ours", 1, "error: it is broken\n"),
        ("usage", 2, "Error: it is broken"),
        ("abort", 1, "Aborted!"),
        ("interrupt", 130, "interrupted by Ctrl-C; the same command replaces what was left incomplete\n"),
    ],
)
def test_an_error_is_a_message_and_an_exit_code(kind: str, code: int, says: str) -> None:
    """On standard error, without a trace."""
    result = _invoke(main, "fail", kind)
    assert (result.exit_code, result.stdout) == (code, "")
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_a_failed_disk_is_a_matter_of_storage(number: int, project: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write's error names no file: it has one line and exit code 2 all the same, and leaves no crash log."""
    monkeypatch.setattr(sys, "argv", ["perennial", "fail", str(number), "--json"])
    result = _invoke(main, "fail", str(number), "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["error"]["kind"] == "StorageError"
    assert result.stderr.startswith(f"error: [Errno {number}] {os.strerror(number)}. Free space, or repair the disk")
    assert not (project.var / "log").exists()


def test_a_bug_leaves_its_trace_in_a_file(project: Settings) -> None:
    """The message names the file; a second bug is added to it."""
    for _ in range(2):
        result = _invoke(main, "fail", "bug")
        assert result.exit_code == 1
        assert "unexpected ZeroDivisionError: it is broken" in result.stderr
    log = project.var / "log" / "crash.log"
    assert str(log) in result.stderr
    assert log.read_text().count("Traceback") == 2


def test_with_json_an_error_is_a_document_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """On standard output, beside the message for people."""
    monkeypatch.setattr(sys, "argv", ["perennial", "fail", "config", "--json"])
    result = _invoke(main, "fail", "config", "--json")
    assert json.loads(result.stdout) == {"error": {"kind": "ConfigError", "message": "it is broken", "exit_code": 2}}
    assert result.stderr == "error: it is broken\n"


def test_with_json_ctrl_c_is_a_document_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its exit code is in it; the group of commands around the command's own adds nothing."""
    monkeypatch.setattr(sys, "argv", ["perennial", "fail", "interrupt", "--json"])
    outer = click.Group("outer", {"inner": main})
    for group, arguments in ((main, ()), (outer, ("inner",))):
        result = _invoke(group, *arguments, "fail", "interrupt", "--json")
        error = json.loads(result.stdout)["error"]
        assert (error["kind"], error["exit_code"], result.exit_code) == ("KeyboardInterrupt", 130, 130)
        assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("credit",), "list credit"),
        (("list", "credit"), "list credit"),
        (("restore", "credit"), "restore credit"),
        (("list", "list"), "list list"),
        (("--help",), "Have a default."),
    ],
)
def test_a_word_that_is_no_command_is_for_the_default(arguments: tuple[str, ...], says: str) -> None:
    """A command's own name is that command."""
    result = _invoke(data, *arguments)
    assert result.exit_code == 0
    assert says in result.output


def test_an_error_on_a_full_disk_is_a_matter_of_storage(project: Settings) -> None:
    """Whatever failed: the line names the space found, and the traceback is kept for the case that it was not that."""
    project.var.mkdir()
    with mounted(project.var, "size=8m"):
        result = _invoke(main, "fail", "bug")
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
        assert "at least 100 MiB of free space" in result.stderr
        assert "it failed with ZeroDivisionError" in result.stderr
        assert "ZeroDivisionError" in (project.var / "log" / "crash.log").read_text()


@pytest.mark.parametrize("dash", ["\u2013", "\u2014", "\u2212"])
def test_a_dash_of_typography_is_named(dash: str) -> None:
    """A command that was copied from a formatted text has them; the message says what to type."""
    result = _invoke(main, "fail", "config", f"{dash}json")
    assert result.exit_code == 2
    assert f"begins with U+{ord(dash):04X}" in result.stderr
    assert "options begin with two hyphens (--)" in result.stderr
    assert "begins with" not in _invoke(main, "fail", "config", "more").stderr
