"""Commands by which a person changes the champion or looks at past champions."""

from __future__ import annotations

import click

from cli.options import json_option, reason_option
from cli.output import finish
from cli.releasing import show_release


@click.command()
@click.argument("selector", metavar="MODEL@VERSION")
@reason_option
@click.option(
    "--override", is_flag=True, help="Promote against the gate; the gate's objection is recorded with the reason."
)
@click.option("--direct", is_flag=True, help="Make it champion at once, whatever the model file says of releases.")
@json_option
def approve(selector: str, reason: str, override: bool, direct: bool, as_json: bool) -> None:
    """Make a waiting version champion, or start its release.

    \b
    Example:
      perennial approve credit@4 --reason "the new income bands were agreed"
    """
    from cli.lines.champions import move_lines
    from config.settings import load_settings
    from tasks.champions.approvals import Move
    from tasks.release.approval import approve_version

    model, _, which = selector.partition("@")
    settings = load_settings()
    move = approve_version(model, which, reason, settings, override=override, direct=direct)
    if isinstance(move, Move):
        finish(move.to_dict(), move_lines(move), as_json)
    else:
        show_release(model, settings, as_json)


@click.command()
@click.argument("selector", metavar="MODEL@VERSION")
@reason_option
@json_option
def reject(selector: str, reason: str, as_json: bool) -> None:
    """Reject a waiting version.

    \b
    Example:
      perennial reject credit@4 --reason "worse for the smallest region"
    """
    from cli.lines.champions import rejection_lines
    from config.settings import load_settings
    from tasks.champions.approvals import reject as reject_version

    model, _, which = selector.partition("@")
    review = reject_version(model, which, reason, load_settings())
    finish(review.to_dict(), rejection_lines(review), as_json)


@click.command()
@click.argument("model")
@reason_option
@json_option
def rollback(model: str, reason: str, as_json: bool) -> None:
    """Return to the previous champion.

    \b
    Example:
      perennial rollback credit --reason "complaints from the branches"
    """
    from cli.lines.champions import move_lines
    from config.settings import load_settings
    from tasks.release.ended import roll_back as return_to_predecessor

    move = return_to_predecessor(model, reason, load_settings())
    finish(move.to_dict(), move_lines(move), as_json)


@click.command()
@click.argument("model")
@click.option(
    "--at", metavar="TIME", help="Show the champion at this moment (ISO 8601; local time unless it names a zone)."
)
@json_option
def history(model: str, at: str | None, as_json: bool) -> None:
    """List who was champion when, why, and by which actor.

    \b
    Examples:
      perennial history credit
      perennial history credit --at 2026-03-01T12:30
    """
    from cli.lines.champions import tenure_lines
    from config.settings import load_settings
    from tasks.champions.history import history as tenure_history

    found = tenure_history(model, load_settings(), at)
    finish(found.to_dict(), tenure_lines(found), as_json)
