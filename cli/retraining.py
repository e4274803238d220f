"""Commands about retraining and what triggers it."""

from __future__ import annotations

import click

from cli.options import checked_overrides, json_option, set_option, wait_option
from cli.output import finish, flow_run


@click.command()
@click.argument("model")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stays with the trigger.")
@click.option("--force", is_flag=True, help="Do not mind cool-down and budget; rows must be new nonetheless.")
@set_option
@wait_option
@json_option
def retrain(
    model: str, reason: str, force: bool, settings_: tuple[str, ...], wait_seconds: float, as_json: bool
) -> None:
    """Train anew if there are new labelled rows.

    What drift, webhooks and schedules start is this, too. Exit code 3 where it was refused; 'perennial triggers' keeps
    every answer.

    \b
    Examples:
      perennial retrain credit
      perennial retrain credit --force --reason "the new bureau data is in"
    """
    from cli.lines.triggers import retrain_lines

    overrides = checked_overrides(model, settings_)
    with flow_run(as_json):
        from flows.retrain import retrain as flow

        result = flow(model, reason=reason, force=force, overrides=overrides, wait_seconds=wait_seconds)
    finish(result.to_dict(), retrain_lines(result), as_json, refused=result.refused)


@click.command()
@click.argument("model", required=False)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Triggers to show, the newest."
)
@json_option
def triggers(model: str | None, limit: int, as_json: bool) -> None:
    """Tell who asked for retrainings, and what came of it.

    \b
    Examples:
      perennial triggers
      perennial triggers credit --limit 5
    """
    from cli.lines.triggers import trigger_lines
    from config.settings import load_settings
    from store.database import open_database
    from store.triggers import triggers as recorded

    found = recorded(open_database(load_settings().database_url), model, limit)
    finish([one.to_dict() for one in found], trigger_lines(found, model), as_json)
