"""Options that several commands share."""

from __future__ import annotations

import click

reason_option = click.option("--reason", required=True, metavar="TEXT", help="Reason, kept in the history.")


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


set_option = click.option(
    "--set",
    "settings_",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the model file for this run; may be repeated.",
)


wait_option = click.option(
    "--wait", "wait_seconds", type=click.FloatRange(min=0), default=0.0, help="Seconds to wait for another run to end."
)


def checked_overrides(model: str, assignments: tuple[str, ...]) -> dict[str, str]:
    """Parse ``--set`` and load the model file with it, so that a typing error is reported before anything starts."""
    from config.load import load_model_config
    from config.settings import load_settings

    overrides = {}
    for assignment in assignments:
        path, separator, value = assignment.partition("=")
        if not separator or not path:
            raise click.UsageError(f"--set expects PATH=VALUE, found {assignment!r}")
        overrides[path] = value
    load_model_config(load_settings().root, model, overrides)
    return overrides
