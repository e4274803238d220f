"""The command of retention."""

from __future__ import annotations

import click

from cli.options import json_option, wait_option
from cli.output import finish, flow_run


@click.command()
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@wait_option
@json_option
def prune(dry_run: bool, wait_seconds: float, as_json: bool) -> None:
    """Remove what is older or more than retention keeps.

    Numbers and ages are set by PERENNIAL_RETENTION_… . Champions, their predecessors, versions that wait for approval
    and everything a run reads or a trigger in progress needs stay. With 'perennial up' it runs each night.

    \b
    Examples:
      perennial prune --dry-run
      perennial prune --wait 600
    """
    from cli.lines.retention import prune_lines

    with flow_run(as_json):
        from flows.prune import prune as flow

        outcome = flow(dry_run, wait_seconds=wait_seconds)
    finish(outcome.to_dict(), prune_lines(outcome), as_json)
