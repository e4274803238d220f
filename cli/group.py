"""Command groups, and the handling of their errors."""

from __future__ import annotations

import errno
import sys
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NoReturn

import click

from cli.output import print_json

_GIVEN = "perennial.given"
"""Key of a command line's arguments in click's context."""

INTERRUPTED = 130
"""Exit code after Ctrl-C: 128 and the number of the signal, as shells have it."""

NOT_WRITABLE = (errno.EACCES, errno.ENOTDIR, errno.EPERM)
"""Errors about a named file that a person repairs; those of the disk itself are known by ``storage_failure``."""


class Group(click.Group):
    """A group that lists its commands under headings and turns our errors into messages and exit codes.

    Parameters
    ----------
    sections
        Commands by heading, in the order of the help.
    """

    def __init__(
        self, *args: Any, sections: Mapping[str, Sequence[click.Command]] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.sections = sections or {}
        for command in chain.from_iterable(self.sections.values()):
            self.add_command(command)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the arguments, which an error of usage may be explained by."""
        ctx.meta.setdefault(_GIVEN, list(args))
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature click calls
        """Return names in the order of definition (click would sort them)."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one table of commands per heading, all with the same first column."""
        if not self.sections:
            super().format_commands(ctx, formatter)
            return
        width = max(map(len, self.commands))
        for heading, commands in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(str(one.name).ljust(width), one.get_short_help_str(formatter.width)) for one in commands]
                )

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; an error becomes a message and an exit code."""
        from core.errors import PerennialError

        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            _fail_interrupted()
        except PerennialError as error:
            _fail(error, error.exit_code)
        except click.UsageError as error:
            dash = _unusual_dash(ctx.meta.pop(_GIVEN, ()))  # said once, also where groups are nested
            if not dash:
                raise
            raise click.UsageError(error.format_message() + dash, error.ctx) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the process: log it, report it, exit code 1
            _fail_otherwise(error)


class WithDefault(Group):
    """A group with the default command ``list``: ``data credit`` means ``data list credit``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``list`` if no command is named."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


def _unusual_dash(arguments: Sequence[str]) -> str:
    """Name a dash of typography with which an argument begins, as a text has that was copied from a page."""
    from unicodedata import category, name

    for argument in arguments:
        first = argument[:1]
        if first and not first.isascii() and (category(first) == "Pd" or first == "\u2212"):
            return f" {argument!r} begins with U+{ord(first):04X} {name(first)}; options begin with two hyphens (--)."
    return ""


def _wants_json() -> bool:
    return "--json" in sys.argv


def _fail(error: Exception, exit_code: int) -> NoReturn:
    if _wants_json():
        print_json({"error": {"kind": type(error).__name__, "message": str(error), "exit_code": exit_code}})
    click.echo(f"error: {error}", err=True)
    sys.exit(exit_code)


def _fail_interrupted() -> NoReturn:
    from tasks.warm.leaving import end_by_interrupt

    end_by_interrupt()  # a second Ctrl-C while exit functions run: their trace would say nothing
    says = "interrupted by Ctrl-C; the same command replaces what was left incomplete"
    if _wants_json():
        print_json({"error": {"kind": "KeyboardInterrupt", "message": says, "exit_code": INTERRUPTED}})
    click.echo(says, err=True)
    sys.exit(INTERRUPTED)


def _fail_otherwise(error: Exception) -> NoReturn:
    """Tell an error that is not one of ours: of the disk, of a file's permissions, or unexpected."""
    from core.errors import StorageError
    from core.storage_failure import storage_failure

    if failure := storage_failure(error):
        _fail(failure, failure.exit_code)
    if not isinstance(error, OSError) or error.errno not in NOT_WRITABLE or error.filename is None:
        _fail_unexpectedly(error)
    says = f"{error.filename}: {error.strerror}; correct owner and permissions, then run again"
    _fail(StorageError(says), StorageError.exit_code)


def _fail_unexpectedly(error: Exception) -> NoReturn:
    from cli.output import full_disk, record_crash
    from core.errors import StorageError

    says = full_disk()
    path = record_crash(error)
    where = f"The full traceback is in {path}" if path else "The traceback cannot be written to any file"
    if says:
        _fail(StorageError(f"{says} (it failed with {type(error).__name__}). {where}"), StorageError.exit_code)
    _fail(RuntimeError(f"unexpected {type(error).__name__}: {error}\n{where}"), 1)
