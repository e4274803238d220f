"""The command ``perennial``: its groups of commands, in the order of the help.

Each command is one function in the module of its group. Only click is imported at start; each command imports what it
needs, so that ``--help`` is quick.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import click

from cli import champions, data, models, monitoring, operating, platform, releasing, retraining, serving
from cli.group import Group
from tasks.warm.leaving import raise_interrupt

SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Data": (models.init, data.ingest, data.data, data.forget),
    "Models": (
        models.train,
        models.models,
        models.show,
        models.compare,
        models.judge,
        champions.approve,
        champions.reject,
        champions.rollback,
        releasing.release,
        champions.history,
        models.ui,
    ),
    "Monitoring and retraining": (
        monitoring.monitor,
        monitoring.drift,
        monitoring.report,
        monitoring.labels,
        retraining.retrain,
        retraining.triggers,
    ),
    "Serving": (serving.serve, serving.score, serving.keys, operating.hooks),
    "Operating": (
        platform.up,
        platform.down,
        platform.doctor,
        platform.deploy,
        operating.relay,
        operating.alerts,
        operating.prune,
        platform.server,
    ),
}
"""Commands by the heading of the help."""

MAX_SHOWN = 5
"""Variables without effect that a command names."""

_NAMED = re.compile(r"\buri_env[\"']?\s*:\s*[\"']?(\w+)")


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
    raise_interrupt()  # from here on the group answers it; before, click would say "Aborted!" and end with code 1
    warn_of_unknown_variables(os.environ)


def warn_of_unknown_variables(environment: Mapping[str, str]) -> None:
    """Print a line on stderr for each variable that looks like Perennial's and that no setting is read from.

    It is a warning and not an error, because others set such variables too: Kubernetes for a service that is named
    *perennial*, a shell profile for a later version.
    """
    if not any(name.upper().startswith("PER") for name in environment):
        return  # without the import of the settings
    from config.variables import unknown_variables

    found = list(unknown_variables(environment))
    if found and (named := _named_in_model_files(environment)):
        found = [(name, close) for name, close in found if name not in named]
    for name, close in found[:MAX_SHOWN]:
        hint = f"; did you mean {close}?" if close else "; all settings: docs/reference/environment.md"
        click.echo(f"warning: {name} is not a setting and has no effect{hint}", err=True)
    if len(found) > MAX_SHOWN:
        click.echo(f"warning: and {len(found) - MAX_SHOWN} more variables without effect", err=True)


def _named_in_model_files(environment: Mapping[str, str]) -> set[str]:
    """Return the variables that the project's model files name as ``source.uri_env``; they may have any prefix."""
    from config.home import project_above
    from config.load import model_names, model_path

    texts: list[str] = []
    with suppress(OSError):  # the command itself reports what cannot be read
        root = Path(environment.get("PERENNIAL_ROOT") or project_above(Path.cwd()) or Path.cwd())
        texts += (model_path(root, model).read_text(encoding="utf-8", errors="replace") for model in model_names(root))
    return {name for text in texts for name in _NAMED.findall(text)}
