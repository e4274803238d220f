"""Commands of the relay, webhooks, alerts and retention."""

from __future__ import annotations

import sys

import click

from cli.options import json_option, wait_option
from cli.output import finish, flow_run


@click.command()
@click.option("--once", is_flag=True, help="Run one round, then exit.")
def relay(once: bool) -> None:
    """Deliver triggers and events to Prefect, and alerts to people.

    'perennial up' runs this process. While it does not run, webhooks wait in the database; none is lost.

    \b
    Examples:
      perennial relay
      perennial relay --once
    """
    from config.settings import load_settings
    from tasks.operate.relay import relay as carry

    done = carry(load_settings(), once=once)
    if once:
        click.echo(", ".join(f"{count} {name}" for name, count in done.items()) + " delivered")


@click.group()
def hooks() -> None:
    """Create secrets for webhooks, and send a test delivery.

    \b
    Examples:
      perennial hooks secret
      perennial hooks send credit --reason "the branches sent their corrections"
    """


@hooks.command("secret")
def hooks_secret() -> None:
    """Print a new secret for a sender and the service.

    \b
    Example:
      perennial hooks secret
    """
    from tasks.serving.test_delivery import new_secret

    click.echo(new_secret())


@hooks.command("send")
@click.argument("model")
@click.option(
    "--url", default="http://127.0.0.1:8470", show_default=True, metavar="URL", help="Address of the service."
)
@click.option("--sender", metavar="NAME", help="Sign as this sender.  [default: the first]")
@click.option(
    "--convention",
    type=click.Choice(["standard", "github", "mlflow"]),
    help="Signature convention.  [default: the sender's]",
)
@click.option(
    "--id", "delivery_id", metavar="ID", help="Delivery id; a repeated id starts no second run.  [default: a new id]"
)
@click.option("--reason", default="", metavar="TEXT", help="Why the model should be retrained.")
@json_option
def hooks_send(
    model: str,
    url: str,
    sender: str | None,
    convention: str | None,
    delivery_id: str | None,
    reason: str,
    as_json: bool,
) -> None:
    """Sign and send a delivery that requests a retraining.

    It is signed with a secret from PERENNIAL_HOOKS_STANDARD, …_GITHUB or …_MLFLOW, the same that the service reads.

    \b
    Example:
      perennial hooks send credit --sender ci --reason "new labels"
    """
    from config.settings import HookSettings, load_section
    from tasks.serving.test_delivery import hook_key, send_delivery

    key = hook_key(load_section(HookSettings), model, sender=sender, convention=convention)
    answer = send_delivery(key, model, url, delivery_id=delivery_id, reason=reason)
    finish(answer.to_dict(), answer.lines(), as_json)


@click.group()
def alerts() -> None:
    """Test and list alerts.

    \b
    Examples:
      perennial alerts test
      perennial alerts list
    """


@alerts.command("test")
@json_option
def alerts_test(as_json: bool) -> None:
    """Send a test message to every destination of PERENNIAL_ALERTS_URLS; exit code 2 if one did not arrive."""
    from cli.lines.alerts import delivery_lines
    from config.settings import load_settings
    from tasks.operate.alerts import send_test

    deliveries = send_test(load_settings())
    finish([delivery.to_dict() for delivery in deliveries], delivery_lines(deliveries), as_json)
    if any(delivery.problem for delivery in deliveries):
        sys.exit(2)


@alerts.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Number of alerts to show.")
@json_option
def alerts_list(limit: int, as_json: bool) -> None:
    """List the newest alerts, their destinations, and whether they arrived."""
    from cli.lines.alerts import alert_lines
    from config.settings import load_settings
    from tasks.operate.alerts import list_alerts

    found = list_alerts(load_settings(), limit)
    finish([one.to_dict() for one in found], alert_lines(found), as_json)


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
