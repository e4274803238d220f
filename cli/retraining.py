"""Commands for retraining and its triggers."""

from __future__ import annotations

import click

from cli.options import checked_overrides, json_option, set_option, wait_option
from cli.output import finish, flow_run


@click.command()
@click.argument("model")
@click.option("--reason", default="", metavar="TEXT", help="Reason, kept with the trigger.")
@click.option("--force", is_flag=True, help="Ignore cool-down and weekly budget; new rows are still required.")
@set_option
@wait_option
@json_option
def retrain(
    model: str, reason: str, force: bool, settings_: tuple[str, ...], wait_seconds: float, as_json: bool
) -> None:
    """Retrain if there are new labelled rows.

    Drift, webhooks and schedules start the same flow. Exit code 3 if it was refused; 'perennial triggers' lists every
    outcome.

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
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Number of triggers to show.")
@json_option
def triggers(model: str | None, limit: int, as_json: bool) -> None:
    """List retraining triggers and their outcomes, newest first.

    \b
    Examples:
      perennial triggers
      perennial triggers credit --limit 5
    """
    from cli.lines.triggers import trigger_lines
    from config.settings import load_settings
    from store.database import open_database
    from store.triggers import triggers as recorded
    from tasks.champions.history import known_engine

    settings = load_settings()
    found = recorded(open_database(settings.database_url), model, limit)
    if model is not None and not found:
        known_engine(model, settings)  # a misspelt name is an error
    finish([one.to_dict() for one in found], trigger_lines(found, model), as_json)
