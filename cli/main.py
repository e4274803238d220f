"""The command ``perennial``: its groups of commands, in the order of the help.

Each command is one function in the module of its group. Only click is imported at start; each command imports what it
needs, so that ``--help`` is quick.
"""

from __future__ import annotations

import click

from cli import champions, data, models, monitoring, operating, platform, retention, retraining, serving
from cli.group import Group

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Data": (models.init, data.ingest, data.data),
    "Models": (
        models.train,
        models.models,
        models.show,
        models.compare,
        models.judge,
        champions.approve,
        champions.reject,
        champions.rollback,
        champions.history,
        models.ui,
    ),
    "Monitoring and retraining": (
        monitoring.monitor,
        monitoring.drift,
        monitoring.report,
        retraining.retrain,
        retraining.triggers,
    ),
    "Serving": (serving.serve, serving.keys, operating.hooks),
    "Operating": (
        platform.up,
        platform.down,
        platform.doctor,
        platform.deploy,
        operating.relay,
        operating.alerts,
        retention.prune,
        platform.server,
    ),
}
"""Commands by the heading of the help."""


@click.group(
    cls=Group, sections=SECTIONS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="perennial")
def main() -> None:
    """Keep tabular models up to date: version, validate, train, judge and register, from one YAML file.

    \b
    Start with your own rows:
      perennial init --data rows.csv --target churned
      perennial train rows
    """
