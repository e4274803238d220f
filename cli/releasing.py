"""The command that looks at a release and moves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from cli.group import Group
from cli.options import json_option, reason_option
from cli.output import finish

if TYPE_CHECKING:
    from config.settings import Settings
    from store.releases.records import ReleaseState


class OfModel(Group):
    """A group whose commands are about a model that is named before them; the default is ``status``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Insert ``status`` after the model if no command is named; refuse a command that does not exist."""
        if len(args) > 1 and not args[1].startswith("-") and args[1] not in self.commands:
            ctx.fail(self._unknown(args[0], args[1]))
        named = [place for place, text in enumerate(args) if text in self.commands and place > 0]
        if args and not args[0].startswith("-") and not named:
            args = [args[0], "status", *args[1:]]
        return super().parse_args(ctx, args)

    def _unknown(self, model: str, command: str) -> str:
        if model in self.commands:
            return f"expected the model before the command: perennial release {command} {model} …"
        return f"no such command {command!r}; expected one of {', '.join(self.commands)}"


@click.group(cls=OfModel)
@click.argument("model")
@click.pass_context
def release(ctx: click.Context, model: str) -> None:
    """Show the release of a model, or move it.

    \b
    Examples:
      perennial release credit
      perennial release credit start 4 --reason "the gate is manual"
      perennial release credit abort --reason "complaints"
    """
    ctx.obj = model


@release.command()
@json_option
@click.pass_obj
def status(model: str, as_json: bool) -> None:
    """Show the newest release: its stage, what it waits for, and what happened."""
    from config.settings import load_settings

    show_release(model, load_settings(), as_json)


@release.command()
@click.argument("version")
@reason_option
@json_option
@click.pass_obj
def start(model: str, version: str, reason: str, as_json: bool) -> None:
    """Start the release of a version that passed the gate."""
    from tasks.release.people import start as start_release

    _finish(model, lambda settings: start_release(model, version, reason, settings), as_json)


@release.command()
@reason_option
@json_option
@click.pass_obj
def pause(model: str, reason: str, as_json: bool) -> None:
    """Keep the present share until it is resumed; a breach still ends the release."""
    from tasks.release.people import pause as pause_release

    _finish(model, lambda settings: pause_release(model, reason, settings), as_json)


@release.command()
@reason_option
@json_option
@click.pass_obj
def resume(model: str, reason: str, as_json: bool) -> None:
    """Let a paused release move on."""
    from tasks.release.people import resume as resume_release

    _finish(model, lambda settings: resume_release(model, reason, settings), as_json)


@release.command()
@reason_option
@json_option
@click.pass_obj
def advance(model: str, reason: str, as_json: bool) -> None:
    """Move to the next stage without waiting for evidence."""
    from tasks.release.people import advance as advance_release

    _finish(model, lambda settings: advance_release(model, reason, settings), as_json)


@release.command()
@reason_option
@json_option
@click.pass_obj
def abort(model: str, reason: str, as_json: bool) -> None:
    """End the release; the champion before it answers everything. MLflow and Prefect are not needed."""
    from tasks.release.people import abort as abort_release

    _finish(model, lambda settings: abort_release(model, reason, settings), as_json)


@release.command()
@json_option
@click.pass_obj
def look(model: str, as_json: bool) -> None:
    """Look once now, as the relay asks for while the platform runs, and take the step that follows."""
    from cli.lines.releases import look_lines
    from config.settings import load_settings
    from tasks.champions.history import known_engine
    from tasks.release.look import look as look_once
    from tasks.release.waiting import go_on

    settings = load_settings()
    known_engine(model, settings)
    outcome = go_on(look_once(model, settings), settings)
    finish(outcome.to_dict(), look_lines(outcome), as_json, refused=outcome.refused)


def show_release(model: str, settings: Settings, as_json: bool) -> None:
    """Print a model's newest release."""
    from cli.lines.releases import release_lines
    from tasks.release.people import status as release_status

    found = release_status(model, settings)
    finish(found, release_lines(found), as_json)


def _finish(model: str, move: Callable[[Settings], ReleaseState], as_json: bool) -> None:
    from config.settings import load_settings

    settings = load_settings()
    move(settings)
    show_release(model, settings, as_json)
