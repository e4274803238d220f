"""The page of commands, from click."""

from __future__ import annotations

from collections.abc import Iterator

import click

from cli.main import SECTIONS
from reference.markdown import code, document, prose, table

HEADER = ("option or argument", "default", "values", "description")

LEAD = """
`perennial COMMAND --help` prints the same. `--json` prints one document for machines. [Exit
codes](errors.md#exit-codes): 0 done, 1 an error of Perennial, 2 an error that the caller can fix, 3 a decision that
says no.
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield every command with its full name, in the order of the help; groups come before their commands."""
    for section in SECTIONS.values():
        for command in section:
            yield from _with_subcommands(f"perennial {command.name}", command)


def _with_subcommands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _with_subcommands(f"{name} {inner.name}", inner)


def page() -> str:
    """Return the page."""
    overview = [(heading, _overview(section)) for heading, section in SECTIONS.items()]
    details = [(code(name), _body(name, command)) for name, command in commands()]
    return document("Commands", LEAD, overview + details)


def _overview(section: tuple[click.Command, ...]) -> str:
    rows = [(f"[`perennial {one.name}`](#perennial-{one.name})", one.get_short_help_str(200)) for one in section]
    return table(("command", "what it does"), rows)


def _body(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    rows = [_row(parameter, context) for parameter in command.params if not getattr(parameter, "hidden", False)]
    parts = [f"```text\n{usage}\n```", *_paragraphs(command.help or ""), table(HEADER, rows) if rows else ""]
    return "\n\n".join(part for part in parts if part)


def _row(parameter: click.Parameter, context: click.Context) -> tuple[str, str, str, str]:
    if isinstance(parameter, click.Argument):
        default = "required" if parameter.required else "optional"
        return code(parameter.make_metavar(context)), default, "", ""
    assert isinstance(parameter, click.Option)  # noqa: S101 - click has these two kinds
    names = ", ".join(code(name) for name in (*parameter.opts, *parameter.secondary_opts))
    return names, _default(parameter), _values(parameter, context), prose(parameter.help or "")


def _default(option: click.Option) -> str:
    if option.required:
        return "required"
    default = option.to_info_dict()["default"]
    if option.is_flag and not option.secondary_opts:
        return "off"
    return code(str(default)) if default is not None and default != "" and not option.multiple else "none"


def _values(option: click.Option, context: click.Context) -> str:
    if option.is_flag:
        return ""
    kind = option.type
    if isinstance(kind, click.Choice):
        return ", ".join(code(str(choice)) for choice in kind.choices)
    if isinstance(kind, click.IntRange | click.FloatRange):
        low, high = (f"≥ {kind.min}" if kind.min is not None else ""), (f"≤ {kind.max}" if kind.max is not None else "")
        return "; ".join(part for part in (low, high) if part)
    return code(option.make_metavar(context))


def _paragraphs(text: str) -> Iterator[str]:
    """Yield the help's paragraphs; what click keeps as it stands (after its mark) becomes a block."""
    for paragraph in text.replace("\r", "").split("\n\n"):
        marked, _, kept = paragraph.partition("\b\n")
        if kept:
            heading, _, lines = kept.partition("\n")
            yield heading.strip()
            yield "```console\n" + "\n".join(f"$ {line.strip()}" for line in lines.strip().splitlines()) + "\n```"
        elif marked.strip():
            yield prose(" ".join(marked.split()))
