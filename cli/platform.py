"""Commands of the whole platform."""

from __future__ import annotations

import functools
from typing import Any

import click

from cli.options import json_option
from cli.output import finish


@click.group()
def server() -> None:
    """Show or stop the local Prefect server.

    \b
    Examples:
      perennial server status
      perennial server stop
    """


@server.command("status")
@json_option
def server_status(as_json: bool) -> None:
    """Show whether the local server is running, and its address."""
    from config.platform import read_platform
    from config.settings import load_settings
    from tasks.runs.local_server import running_server

    settings = load_settings()
    found, platform = running_server(settings), read_platform(settings.var)
    line = f"running at {found.url} (process {found.pid})" if found else "not running; the next flow run starts it"
    if found is None and platform is not None:
        line = f"not running: the platform is up and uses {platform.prefect_api_url}; see: perennial up"
    finish({"running": bool(found), "url": found.url if found else None}, [line], as_json)


@server.command("stop")
def server_stop() -> None:
    """Stop the local server."""
    from config.settings import load_settings
    from tasks.runs.local_server import stop_server

    click.echo("stopped" if stop_server(load_settings()) else "not running")


@click.command()
@click.option("--postgres", metavar="URL", help="PostgreSQL database for all data.  [default: SQLite files]")
@click.option("--runs", type=click.IntRange(1, 256), help="Concurrent flow runs.  [default: 2, or half the processors]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the prediction service.  [default: 8470]")
@click.option("--prefect-port", type=click.IntRange(0, 65535), help="Port of Prefect.  [default: 4200]")
@click.option("--mlflow-port", type=click.IntRange(0, 65535), help="Port of MLflow.  [default: 5000]")
@click.option("--detach", is_flag=True, help="Return when all processes are healthy; they keep running.")
@json_option
def up(
    postgres: str | None,
    runs: int | None,
    port: int | None,
    prefect_port: int | None,
    mlflow_port: int | None,
    detach: bool,
    as_json: bool,
) -> None:
    """Run the whole platform on this machine, until Ctrl-C.

    Prefect's and MLflow's servers, a worker with the flows of all models, the relay and the prediction service.

    \b
    Examples:
      perennial up
      perennial up --detach --port 8000
      PERENNIAL_DATABASE_URL=postgresql://user:password@host/database perennial up
    """
    from config.platform import read_platform
    from config.settings import PlatformSettings, ServingSettings, load_section, load_settings
    from tasks.platform.up import bring_up, interruptible, run_platform
    from tasks.runs.progress import shown

    _refuse_password(postgres)
    settings = load_settings()
    present = read_platform(settings.var)
    if present is not None and present.ready:
        _show_platform(present, as_json, remark="the platform is already up; stop it with: perennial down")
        return
    if postgres:
        settings = settings.model_copy(update={"database_url": postgres})
    options = load_section(PlatformSettings, runs_at_once=runs, prefect_port=prefect_port, mlflow_port=mlflow_port)
    serving_port = load_section(ServingSettings, port=port).port
    with shown():
        if not detach:
            told = functools.partial(_show_platform, as_json=as_json, hint="Ctrl-C stops all processes")
            run_platform(settings, options, serving_port, told, functools.partial(_show_change, as_json=as_json))
            return
        with interruptible():
            state = bring_up(settings, options, serving_port)
    _show_platform(state, as_json, hint="stop it with: perennial down")


@click.command()
@json_option
def down(as_json: bool) -> None:
    """Stop the platform on this machine.

    Running flow runs are ended. The relay restarts retrainings when the platform is up again; start other runs again.

    \b
    Example:
      perennial down
    """
    from config.platform import last_platform
    from config.settings import load_settings
    from tasks.platform.up import bring_down, end_left_over
    from tasks.runs.progress import shown

    settings = load_settings()
    state = last_platform(settings.var)
    with shown():
        if state is not None:
            bring_down(settings, state)
        n_ended = end_left_over(settings)
    was_running = state is not None or n_ended > 0
    finish({"stopped": was_running}, ["stopped" if was_running else "not running"], as_json)


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Check everything the platform needs, and advise what to do.

    Versions, disk, clock, databases, servers, data remote and model files. Exit code 3 if there is a problem.

    \b
    Example:
      perennial doctor
    """
    from cli.lines.findings import finding_lines
    from config.settings import PlatformSettings, ServingSettings, load_section, load_settings
    from tasks.platform.doctor import examine

    findings = examine(load_settings(), load_section(PlatformSettings), load_section(ServingSettings))
    wrong = any(finding.level == "problem" for finding in findings)
    finish([finding.to_dict() for finding in findings], finding_lines(findings), as_json, refused=wrong)


@click.command()
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Deploy this model; may be repeated.  [default: all]"
)
@click.option("--prune", is_flag=True, help="Remove deployments of models that no longer exist.")
@click.option("--pool", metavar="NAME", help="Work pool of the runs.  [default: perennial]")
@click.option("--repository", metavar="URL", help="Git repository that every run clones.  [default: this folder]")
@click.option("--branch", metavar="NAME", help="Branch of that repository.")
@json_option
def deploy(
    models: tuple[str, ...], prune: bool, pool: str | None, repository: str | None, branch: str | None, as_json: bool
) -> None:
    """Deploy the flows of all models to a Prefect server.

    This includes the schedules of the model files and the automations between flows. A repeat changes nothing.

    \b
    Examples:
      perennial deploy
      perennial deploy --model credit --repository https://github.com/you/yours.git --branch main
    """
    from cli.lines.deployments import deployment_lines
    from config.settings import load_settings
    from tasks.runs.deployments import deploy_models

    deployed = deploy_models(models, load_settings(), pool=pool, repository=repository, branch=branch, prune=prune)
    finish([flow.to_dict() for flow in deployed], deployment_lines(deployed), as_json)


def _refuse_password(address: str | None) -> None:
    """Refuse an address with a password: every user of this machine can read a command line."""
    if address is None:
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    from core.errors import ConfigError

    try:
        url = make_url(address)
    except ArgumentError:
        raise ConfigError("--postgres: expected an address like postgresql://user@host/database") from None
    if url.password is not None or "password" in url.query:
        raise ConfigError(
            "--postgres: expected an address without a password, because every user of this machine can read a command "
            "line. Set PERENNIAL_DATABASE_URL to the whole address instead, or keep the password in ~/.pgpass"
        )


def _show_platform(state: Any, as_json: bool, hint: str = "", remark: str = "") -> None:
    """Print the processes, below a hint; the remark goes to stderr once the process manager has answered."""
    from cli.lines.platform import platform_document, platform_lines
    from config.settings import load_settings
    from tasks.platform.up import statuses

    found = statuses(load_settings(), state)
    if remark:
        click.echo(remark, err=True)
    lines = ["", *platform_lines(found), *(["", hint] if hint else [])]
    finish(platform_document(found, state), lines, as_json)


def _show_change(before: Any, after: Any, as_json: bool) -> None:
    from datetime import datetime

    from cli.lines.platform import change_line

    click.echo(change_line(before, after, datetime.now().astimezone()), err=as_json)
