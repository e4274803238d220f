"""Commands of the relay, webhooks and alerts."""

from __future__ import annotations

import sys

import click

from cli.options import json_option
from cli.output import finish


@click.command()
@click.option("--once", is_flag=True, help="Do one round and end.")
def relay(once: bool) -> None:
    """Carry triggers and events to Prefect, and alerts to people.

    One of the processes of 'perennial up'. Webhooks wait until it runs; nothing is lost while it does not.

    \b
    Examples:
      perennial relay
      perennial relay --once
    """
    from config.settings import load_settings
    from tasks.operate.relay import relay as carry

    done = carry(load_settings(), once=once)
    if once:
        click.echo(", ".join(f"{count} {name}" for name, count in done.items()) + " carried")


@click.group()
def hooks() -> None:
    """Make secrets for webhooks, and send a test delivery.

    \b
    Examples:
      perennial hooks secret
      perennial hooks send credit --reason "the branches sent their corrections"
    """


@hooks.command("secret")
def hooks_secret() -> None:
    """Print a fresh secret, to be told to a sender and to the service.

    \b
    Example:
      perennial hooks secret
    """
    from tasks.serving.test_delivery import new_secret

    click.echo(new_secret())


@hooks.command("send")
@click.argument("model")
@click.option("--url", default="http://127.0.0.1:8470", show_default=True, metavar="URL", help="Where the service is.")
@click.option("--sender", metavar="NAME", help="Sign as this sender; the first one when left out.")
@click.option(
    "--convention", type=click.Choice(["standard", "github", "mlflow"]), help="Sign like this; as the sender does."
)
@click.option("--id", "delivery_id", metavar="ID", help="The same id again starts nothing; a new one when left out.")
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
    """Sign and send a delivery that asks for a retraining.

    It is signed with a secret of PERENNIAL_HOOKS_STANDARD, …_GITHUB or …_MLFLOW, as the service knows them.

    \b
    Example:
      perennial hooks send credit --sender ci --reason "new labels"
    """
    from config.settings import load_hook_settings
    from tasks.serving.test_delivery import hook_key, send_delivery

    key = hook_key(load_hook_settings(), model, sender=sender, convention=convention)
    answer = send_delivery(key, model, url, delivery_id=delivery_id, reason=reason)
    finish(answer.to_dict(), answer.lines(), as_json)


@click.group()
def alerts() -> None:
    """Look after the messages to people.

    \b
    Examples:
      perennial alerts test
      perennial alerts list
    """


@alerts.command("test")
@json_option
def alerts_test(as_json: bool) -> None:
    """Send a test message to every destination of PERENNIAL_ALERTS_URLS; exit code 2 where one did not arrive."""
    from cli.lines.alerts import delivery_lines
    from config.settings import load_settings
    from tasks.operate.alerts import send_test

    deliveries = send_test(load_settings())
    finish([delivery.to_dict() for delivery in deliveries], delivery_lines(deliveries), as_json)
    if any(delivery.problem for delivery in deliveries):
        sys.exit(2)


@alerts.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Alerts to show, the newest.")
@json_option
def alerts_list(limit: int, as_json: bool) -> None:
    """List the newest alerts, to whom, and whether they arrived."""
    from cli.lines.alerts import alert_lines
    from config.settings import load_settings
    from tasks.operate.alerts import list_alerts

    found = list_alerts(load_settings(), limit)
    finish([one.to_dict() for one in found], alert_lines(found), as_json)
