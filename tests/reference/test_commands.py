"""The reference of commands."""

import click
import pytest

from cli.main import main
from reference.commands import commands, page

COMMANDS = dict(commands())
PAGE = page()


def _all(name: str, command: click.Command) -> dict[str, click.Command]:
    found = {name: command}
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            found |= _all(f"{name} {inner.name}", inner)
    return found


def test_every_command_is_on_the_page() -> None:
    """A command that is not listed under a heading of the help is missed here."""
    assert {"perennial": main} | COMMANDS == _all("perennial", main)
    headings = [line for line in PAGE.splitlines() if line.startswith("## `perennial ")]
    assert headings == [f"## `{name}`" for name in COMMANDS]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_on_the_page_with_its_help(name: str) -> None:
    """The section of a command says what the command is for, and what each option does."""
    section = PAGE.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
    command = COMMANDS[name]
    assert command.help
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} needs a help text"
            assert f"`{parameter.opts[0]}`" in section
    assert f"\n{name}" in section
