"""The command ``perennial``: one function per command, each the story of that command.

Only click is imported here; everything else is imported by the command that needs it, so that ``--help`` is quick.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import sys
import threading
from typing import Any, NoReturn

import click

DECISION_SAYS_NO = 3

reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why; it stays in the history.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document for machines.")
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


class _Group(click.Group):
    """A group that keeps the order of definition and turns our errors into messages and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature click calls
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        from core.errors import PerennialError

        try:
            return super().invoke(ctx)
        except PerennialError as error:
            _fail(error, error.exit_code)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:  # noqa: BLE001 - the edge of the process: record it, say so, exit code 1
            _fail_unexpectedly(error)


class _WithDefault(_Group):
    """A group whose first word may be left out: ``data credit`` means ``data list credit``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["list", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="perennial")
def main() -> None:
    """Keep tabular models fresh: version, validate, train, judge and register, from one YAML file.

    \b
    Start with your own rows:
      perennial init --data rows.csv --target churned
      perennial train rows
    """


@main.command()
@click.option("--data", required=True, metavar="FILE", help="CSV or Parquet: a file, folder, glob or address.")
@click.option("--target", required=True, metavar="COLUMN", help="Column to predict.")
@click.option("--time", metavar="COLUMN", help="Column that orders the rows; the newest become the holdout.")
@click.option("--key", metavar="COLUMN", help="Column that names the entity of a row.")
@click.option("--name", metavar="NAME", help="Name of the model; from the file's name when left out.")
@click.option("--force", is_flag=True, help="Replace the files of an existing model.")
@json_option
def init(
    data: str, target: str, time: str | None, key: str | None, name: str | None, force: bool, as_json: bool
) -> None:
    """Infer a model file and a suite from your data.

    \b
    Example:
      perennial init --data loans.csv --target defaulted --time applied_on --key loan_id
    """
    from config.settings import load_settings
    from tasks.init import init_model

    settings = load_settings()
    result = init_model(data, target, settings, time=time, key=key, name=name, force=force)
    if as_json:
        _print_json({"model": result.model, "files": [str(path) for path in result.paths], "notes": result.notes})
        return
    for path in result.paths:
        click.echo(f"wrote {_short(path)}")
    for note in result.notes:
        click.echo(f"  - {note}")
    click.echo(f"\nRead the files, then: perennial train {result.model}")


@main.command()
@click.argument("model")
@set_option
@wait_option
@json_option
def ingest(model: str, settings_: tuple[str, ...], wait_seconds: float, as_json: bool) -> None:
    """Read, validate and version a model's rows.

    \b
    Example:
      perennial ingest credit
    """
    from tasks.console import ingestion_lines

    overrides = _checked_overrides(model, settings_)
    with _flow_run(as_json):
        from flows.ingest import ingest as flow

        result = flow(model, overrides=overrides, wait_seconds=wait_seconds)
    _finish(result.to_dict(), ingestion_lines(result), as_json, refused=not result.accepted)


@main.command()
@click.argument("model")
@click.option("--data-version", metavar="V", help="Train on this data version instead of reading the source.")
@set_option
@wait_option
@json_option
def train(model: str, data_version: str | None, settings_: tuple[str, ...], wait_seconds: float, as_json: bool) -> None:
    """Train, judge and register a model.

    \b
    Examples:
      perennial train credit
      perennial train credit --set training.params.max_iter=300
      perennial train credit --data-version 3f2a91
    """
    from tasks.console import training_lines

    overrides = _checked_overrides(model, settings_)
    with _flow_run(as_json):
        from flows.train import train as flow

        result = flow(model, data_version=data_version, overrides=overrides, wait_seconds=wait_seconds)
    _finish(result.to_dict(), training_lines(result), as_json, refused=result.refused)


@main.command()
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
    from tasks.trigger_lines import retrain_lines

    overrides = _checked_overrides(model, settings_)
    with _flow_run(as_json):
        from flows.retrain import retrain as flow

        result = flow(model, reason=reason, force=force, overrides=overrides, wait_seconds=wait_seconds)
    _finish(result.to_dict(), retrain_lines(result), as_json, refused=result.refused)


@main.command()
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
    from config.settings import load_settings
    from store.database import open_database
    from store.triggers import triggers as recorded
    from tasks.trigger_lines import trigger_lines

    found = recorded(open_database(load_settings().database_url), model, limit)
    _finish([one.to_dict() for one in found], trigger_lines(found, model), as_json)


@main.command()
@click.argument("model")
@click.option("--batches", metavar="NAMES", help="Look at these batches (comma separated), not at the newest.")
@click.option("--since", metavar="TIME", help="Look at rows from this moment on (ISO 8601, as in the time column).")
@click.option("--until", metavar="TIME", help="Look at rows before this moment.")
@click.option(
    "--against",
    default="champion",
    show_default=True,
    metavar="champion|V",
    help="Compare with the rows the champion was trained on, or with a data version.",
)
@click.option("--exact", is_flag=True, help="Add distances of the values themselves; takes memory for all rows.")
@set_option
@wait_option
@json_option
def monitor(
    model: str,
    batches: str | None,
    since: str | None,
    until: str | None,
    against: str,
    exact: bool,
    settings_: tuple[str, ...],
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Judge whether the newest rows have drifted.

    They are held against those the champion learnt from. Exit code 3 where they drifted, or where that cannot be told.

    \b
    Examples:
      perennial monitor credit
      perennial monitor credit --since 2025-01-01 --until 2025-02-01
      perennial monitor credit --against 3f2a91
    """
    from tasks.drift_lines import monitor_lines

    overrides = _checked_overrides(model, settings_)
    with _flow_run(as_json):
        from flows.monitor import monitor as flow

        names = batches.split(",") if batches else None
        verdict = flow(model, names, since, until, against, exact, overrides, wait_seconds=wait_seconds)
    refused, links = verdict.status in {"drift", "insufficient"}, _drift_links(verdict)
    _finish({**verdict.to_dict(), "links": links}, monitor_lines(verdict, links), as_json, refused=refused)


@main.command()
@click.argument("model")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Windows to show, the newest.")
@click.option("--open/--no-open", "open_report", default=None, help="Open the newest report; a terminal does.")
@json_option
def drift(model: str, limit: int, open_report: bool | None, as_json: bool) -> None:
    """Tell how a model's rows drifted over time.

    Opens the newest report where there is a terminal.

    \b
    Example:
      perennial drift credit
    """
    from config.load import load_model_config
    from config.settings import load_settings
    from tasks.drift_lines import drift_lines
    from tasks.monitor import newest_report, recorded_verdicts

    settings = load_settings()
    bound = load_model_config(settings.root, model).drift.psi
    verdicts = recorded_verdicts(model, settings, limit)
    report = newest_report(verdicts, settings)
    _finish([verdict.to_dict() for verdict in verdicts], drift_lines(model, verdicts, report, bound=bound), as_json)
    if report and (sys.stdout.isatty() and not as_json if open_report is None else open_report):
        click.launch(report)


@main.command()
@json_option
def models(as_json: bool) -> None:
    """List models and their registered versions.

    \b
    Example:
      perennial models
    """
    from config.settings import load_settings
    from tasks.champions import repair_all
    from tasks.console import model_lines
    from tasks.registry import list_models

    settings = load_settings()
    repair_all(settings)
    summaries = list_models(settings)
    _finish([summary.to_dict() for summary in summaries], model_lines(summaries), as_json)


@main.command()
@click.argument("selector", metavar="MODEL[@VERSION|@champion|@challenger]")
@json_option
def show(selector: str, as_json: bool) -> None:
    """Show a version: metrics, lineage, gate, files.

    \b
    Examples:
      perennial show credit
      perennial show credit@3
      perennial show credit@challenger
    """
    from config.settings import load_settings
    from tasks.champions import repair
    from tasks.console import version_lines
    from tasks.registry import show_model

    model, _, which = selector.partition("@")
    settings = load_settings()
    repair(model, settings, thorough=True)
    detail = show_model(model, which or None, settings)
    _finish(detail.to_dict(), version_lines(detail), as_json)


@main.command()
@click.argument("champion", metavar="MODEL@A")
@click.argument("challenger", metavar="MODEL@B")
@click.option("--data-version", metavar="V", help="Take the holdout from this data version, not from the newest.")
@wait_option
@json_option
def compare(champion: str, challenger: str, data_version: str | None, wait_seconds: float, as_json: bool) -> None:
    """Say what the gate would of B as a challenger of A.

    Both answer the same rows, those of the holdout that neither has trained on. Nothing is recorded or moved.

    \b
    Examples:
      perennial compare credit@champion credit@4
      perennial compare credit@3 credit@4 --data-version 3f2a91
    """
    from config.settings import load_settings
    from tasks.compare import compare_versions
    from tasks.console import comparison_lines
    from tasks.session import computation

    with computation(show_progress=not as_json):
        verdict = compare_versions(champion, challenger, data_version, load_settings(), wait_seconds)
    _finish(verdict.to_dict(), comparison_lines(verdict), as_json)


@main.command()
@click.argument("selector", metavar="MODEL@VERSION")
@reason_option
@click.option("--override", is_flag=True, help="Promote against the gate; its objection is recorded with the reason.")
@json_option
def approve(selector: str, reason: str, override: bool, as_json: bool) -> None:
    """Make a version champion that waits for you.

    \b
    Example:
      perennial approve credit@4 --reason "the new income bands were agreed"
    """
    from config.settings import load_settings
    from tasks.champions import approve as approve_version
    from tasks.history_lines import move_lines

    model, _, which = selector.partition("@")
    move = approve_version(model, which, reason, load_settings(), override=override)
    _finish(move.to_dict(), move_lines(move), as_json)


@main.command()
@click.argument("selector", metavar="MODEL@VERSION")
@reason_option
@json_option
def reject(selector: str, reason: str, as_json: bool) -> None:
    """Turn a version down that waits for you.

    \b
    Example:
      perennial reject credit@4 --reason "worse for the smallest region"
    """
    from config.settings import load_settings
    from tasks.champions import reject as reject_version
    from tasks.history_lines import rejection_lines

    model, _, which = selector.partition("@")
    review = reject_version(model, which, reason, load_settings())
    _finish(review.to_dict(), rejection_lines(review), as_json)


@main.command()
@click.argument("model")
@reason_option
@json_option
def rollback(model: str, reason: str, as_json: bool) -> None:
    """Return to the champion before the present one.

    \b
    Example:
      perennial rollback credit --reason "complaints from the branches"
    """
    from config.settings import load_settings
    from tasks.champions import rollback as return_to_predecessor
    from tasks.history_lines import move_lines

    move = return_to_predecessor(model, reason, load_settings())
    _finish(move.to_dict(), move_lines(move), as_json)


@main.command()
@click.argument("model")
@click.option("--at", metavar="TIME", help="Who was champion at this moment (ISO 8601; your zone unless it names one).")
@json_option
def history(model: str, at: str | None, as_json: bool) -> None:
    """Tell who was champion when, why, and by whose hand.

    \b
    Examples:
      perennial history credit
      perennial history credit --at 2026-03-01T12:30
    """
    from config.settings import load_settings
    from tasks.champions import history as office_history
    from tasks.history_lines import office_lines

    found = office_history(model, load_settings(), at)
    _finish(found.to_dict(), office_lines(found), as_json)


@main.group(cls=_WithDefault)
def data() -> None:
    """List a model's data, or bring a version back.

    \b
    Examples:
      perennial data credit
      perennial data restore credit 3f2a91
    """


@data.command("list")
@click.argument("model")
@json_option
def data_list(model: str, as_json: bool) -> None:
    """List a model's batches and data versions."""
    from config.load import existing_model_path
    from config.settings import load_settings
    from tasks.console import history_lines
    from tasks.data import data_history

    settings = load_settings()
    existing_model_path(settings.root, model)
    history = data_history(model, settings)
    _finish(history.to_dict(), history_lines(history), as_json)


@data.command("restore")
@click.argument("model")
@click.argument("version")
@click.option("--force", is_flag=True, help="Overwrite files that no cache or remote holds.")
@wait_option
@json_option
def data_restore(model: str, version: str, force: bool, wait_seconds: float, as_json: bool) -> None:
    """Bring back the exact bytes of a data version, in a fresh clone too.

    \b
    Examples:
      perennial data restore credit 3f2a91
      perennial data restore credit latest
    """
    from config.settings import load_settings
    from tasks.data import restore_data
    from tasks.lock import hold_model

    settings = load_settings()
    with hold_model(model, settings, wait_seconds):
        paths = restore_data(model, version, settings, force=force)
    lines = [f"restored {_short(path)}" for path in paths] or ["no data version yet"]
    _finish({"files": [str(path) for path in paths]}, lines, as_json)


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def ui(port: int) -> None:
    """Browse runs and models in MLflow, until Ctrl-C.

    \b
    Example:
      perennial ui
    """
    from config.settings import load_settings
    from tasks.registry import serve_mlflow

    serve_mlflow(load_settings(), port)


@main.group()
def server() -> None:
    """Look after the local Prefect server.

    \b
    Examples:
      perennial server status
      perennial server stop
    """


@server.command("status")
@json_option
def server_status(as_json: bool) -> None:
    """Say whether the local server runs, and where."""
    from config.platform import read_platform
    from config.settings import load_settings
    from tasks.local_server import running_server

    settings = load_settings()
    found, platform = running_server(settings), read_platform(settings.var)
    line = f"running at {found.url} (process {found.pid})" if found else "not running; the next run starts it"
    if found is None and platform is not None:
        line = f"not running: the platform is up, with {platform.prefect_api_url}; see: perennial up"
    _finish({"running": bool(found), "url": found.url if found else None}, [line], as_json)


@server.command("stop")
def server_stop() -> None:
    """Stop the local server."""
    from config.settings import load_settings
    from tasks.local_server import stop_server

    click.echo("stopped" if stop_server(load_settings()) else "not running")


@main.command()
@click.option("--postgres", metavar="URL", help="PostgreSQL database of everything.  [default: SQLite files]")
@click.option("--runs", type=click.IntRange(1, 256), help="Flow runs at once.  [default: 2, or half the processors]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the predictions.  [default: 8470]")
@click.option("--prefect-port", type=click.IntRange(0, 65535), help="Port of Prefect.  [default: 4200]")
@click.option("--mlflow-port", type=click.IntRange(0, 65535), help="Port of MLflow.  [default: 5000]")
@click.option("--detach", is_flag=True, help="Return once all of it is healthy, and leave it running.")
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
    from config.settings import load_platform_settings, load_serving_settings, load_settings
    from tasks.platform import bring_up, interruptible, run_platform
    from tasks.progress import shown

    _hide_password(postgres)
    settings = load_settings()
    present = read_platform(settings.var)
    if present is not None and present.ready:
        click.echo("the platform is up already; stop it with: perennial down", err=True)
        _show_platform(present, as_json)
        return
    if postgres:
        settings = settings.model_copy(update={"database_url": postgres})
    options = load_platform_settings(runs_at_once=runs, prefect_port=prefect_port, mlflow_port=mlflow_port)
    serving_port = load_serving_settings(port=port).port
    with shown():
        if not detach:
            told = functools.partial(_show_platform, as_json=as_json, hint="Ctrl-C stops all of it")
            run_platform(settings, options, serving_port, told, functools.partial(_show_change, as_json=as_json))
            return
        with interruptible():
            state = bring_up(settings, options, serving_port)
    _show_platform(state, as_json, hint="stop it with: perennial down")


@main.command()
@json_option
def down(as_json: bool) -> None:
    """Stop the platform that runs on this machine.

    Runs in work are told to end; Prefect starts them again when the platform is up again.

    \b
    Example:
      perennial down
    """
    from config.platform import last_platform
    from config.settings import load_settings
    from tasks.platform import bring_down
    from tasks.progress import shown

    settings = load_settings()
    state = last_platform(settings.var)
    if state is not None:
        with shown():
            bring_down(settings, state)
    _finish({"stopped": state is not None}, ["stopped" if state else "not running"], as_json)


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at everything the platform needs, and say what to do.

    Versions, disk, clock, databases, servers, data remote and model files. Exit code 3 where there is a problem.

    \b
    Example:
      perennial doctor
    """
    from config.settings import load_platform_settings, load_serving_settings, load_settings
    from tasks.doctor import examine, finding_lines

    findings = examine(load_settings(), load_platform_settings(), load_serving_settings())
    wrong = any(finding.level == "problem" for finding in findings)
    _finish([finding.to_dict() for finding in findings], finding_lines(findings), as_json, refused=wrong)


@main.command()
@click.option("--model", "models", multiple=True, metavar="NAME", help="Serve this model; all when left out.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes that answer.  [default: 1]")
@click.option("--host", metavar="ADDRESS", help="Address to listen at.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen at.  [default: 8470]")
@click.option(
    "--log",
    type=click.Choice(["commit", "async"]),
    help="Whether an answer waits until it is in the prediction log.  [default: commit]",
)
@click.option("--access", type=click.Choice(["open", "required"]), help="Who may ask.  [default: by the address]")
def serve(
    models: tuple[str, ...],
    workers: int | None,
    host: str | None,
    port: int | None,
    log: str | None,
    access: str | None,
) -> None:
    """Answer predictions with the champions, over HTTP.

    \b
    Examples:
      perennial serve
      perennial serve --model credit --workers 2 --port 8000

    Further settings are variables PERENNIAL_SERVE_…, see docs/serving.md.
    """
    from config.settings import load_hook_settings, load_serving_settings, load_settings
    from serving.supervisor import serve as run_service

    given = {"models": models or None, "workers": workers, "host": host, "port": port, "log": log, "access": access}
    fetch = (sys.executable, "-m", "tasks.serving_bundles")
    run_service(load_settings(), load_serving_settings(**given), fetch, load_hook_settings())


@main.command()
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
    from tasks.relay import relay as carry

    done = carry(load_settings(), once=once)
    if once:
        click.echo(", ".join(f"{count} {name}" for name, count in done.items()) + " carried")


@main.command()
@click.option("--model", "models", multiple=True, metavar="NAME", help="Deploy this model; all when left out.")
@click.option("--prune", is_flag=True, help="Remove the deployments of models that are gone.")
@click.option("--pool", metavar="NAME", help="Work pool of the runs.  [default: perennial]")
@click.option("--repository", metavar="URL", help="Git repository that every run clones; this folder when left out.")
@click.option("--branch", metavar="NAME", help="Branch of that repository.")
@json_option
def deploy(
    models: tuple[str, ...], prune: bool, pool: str | None, repository: str | None, branch: str | None, as_json: bool
) -> None:
    """Put the flows of all models on a Prefect server.

    With the schedules of the model files and the automations between the flows. A repeat changes nothing.

    \b
    Examples:
      perennial deploy
      perennial deploy --model credit --repository https://github.com/you/yours.git --branch main
    """
    from config.settings import load_settings
    from tasks.deploy import deploy_models, deployment_lines

    deployed = deploy_models(models, load_settings(), pool=pool, repository=repository, branch=branch, prune=prune)
    _finish([flow.to_dict() for flow in deployed], deployment_lines(deployed), as_json)


@main.group()
def keys() -> None:
    """Give and take back keys to the prediction service.

    \b
    Examples:
      perennial keys create shop --scope predict --scope label
      perennial keys create dashboard --scope operate --days 90
      perennial keys revoke 0123456789ab
    """


@keys.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(["predict", "label", "operate"]),
    help="What it may do; may be repeated.",
)
@click.option(
    "--model", "models", multiple=True, metavar="MODEL", help="Model it is for; may be repeated. All without."
)
@click.option("--days", type=click.IntRange(1, 36_500), help="Days until it ends; never without.")
@click.option("--rate", type=click.FloatRange(0.001, 1_000_000), help="Requests per second; no bound without.")
@json_option
def keys_create(
    name: str, scopes: tuple[str, ...], models: tuple[str, ...], days: int | None, rate: float | None, as_json: bool
) -> None:
    """Make a key and print it, this once.

    \b
    Example:
      perennial keys create shop --scope predict --model credit --days 365 --rate 50
    """
    from config.settings import load_settings
    from tasks.keys import SHOWN_ONCE, create_key, key_document

    key, text = create_key(name, scopes, models, load_settings(), days=days, rate=rate)
    _finish({**key_document(key), "key": text}, [text], as_json)
    click.echo(SHOWN_ONCE.format(id=key.id), err=True)


@keys.command("list")
@json_option
def keys_list(as_json: bool) -> None:
    """List the keys, without their secrets."""
    from config.settings import load_settings
    from tasks.keys import key_document, key_lines, list_keys

    found = list_keys(load_settings())
    _finish([key_document(key) for key in found], key_lines(found), as_json)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@json_option
def keys_revoke(key_id: str, as_json: bool) -> None:
    """Take a key back, for good. The service refuses it within seconds.

    \b
    Example:
      perennial keys revoke 0123456789ab
    """
    from config.settings import load_settings
    from tasks.keys import key_document, revoke

    key = revoke(key_id, load_settings())
    _finish(key_document(key), [f"revoked {key.id} ({key.name})"], as_json)


@main.group()
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
    from tasks.hooks import new_secret

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
    from tasks.hooks import hook_key, send_delivery

    key = hook_key(load_hook_settings(), model, sender=sender, convention=convention)
    answer = send_delivery(key, model, url, delivery_id=delivery_id, reason=reason)
    _finish(answer.to_dict(), answer.lines(), as_json)


@main.group()
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
    from config.settings import load_settings
    from tasks.alerts import delivery_lines, send_test

    deliveries = send_test(load_settings())
    _finish([delivery.to_dict() for delivery in deliveries], delivery_lines(deliveries), as_json)
    if any(delivery.problem for delivery in deliveries):
        sys.exit(2)


@alerts.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Alerts to show, the newest.")
@json_option
def alerts_list(limit: int, as_json: bool) -> None:
    """List the newest alerts, to whom, and whether they arrived."""
    from config.settings import load_settings
    from tasks.alerts import alert_lines, list_alerts

    found = list_alerts(load_settings(), limit)
    _finish([one.to_dict() for one in found], alert_lines(found), as_json)


def run() -> NoReturn:
    """Run the command, do what was registered for the end of the process, and leave.

    Python's own teardown of some thousand modules takes half a second and lets DuckDB's binding print about objects
    that are freed in an order it does not expect; nobody waits for either.
    """
    code = 0
    try:
        main()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    threading._shutdown()  # type: ignore[attr-defined] # what the interpreter does first: joins threads that matter
    atexit._run_exitfuncs()  # and second: sends Prefect's last log lines
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _flow_run(as_json: bool) -> Any:
    from tasks.session import flow_session

    return flow_session(show_progress=not as_json)


def _drift_links(verdict: Any) -> dict[str, str]:
    from config.settings import load_settings
    from tasks.monitor import report_links

    return report_links(verdict, load_settings())


def _checked_overrides(model: str, assignments: tuple[str, ...]) -> dict[str, str]:
    """Parse ``--set`` and load the model file with it: a typing error is told before anything is started."""
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


def _finish(document: Any, lines: list[str], as_json: bool, refused: bool = False) -> None:
    if as_json:
        _print_json(document)
    else:
        click.echo("\n".join(lines))
    if refused:
        sys.exit(DECISION_SAYS_NO)


def _print_json(document: Any) -> None:
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _hide_password(address: str | None) -> None:
    """Begin again with an address in the environment, where its password stands in no list of processes."""
    if address is None or "@" not in address:
        return
    if any(word.startswith("--postgres=") for word in sys.argv):
        words = [word for word in sys.argv if not word.startswith("--postgres=")]
    else:
        place = sys.argv.index("--postgres")
        words = sys.argv[:place] + sys.argv[place + 2 :]
    environment = {**os.environ, "PERENNIAL_DATABASE_URL": address}
    os.execve(sys.executable, [sys.executable, *words], environment)  # noqa: S606 - this very command


def _show_platform(state: Any, as_json: bool, hint: str = "") -> None:
    from config.settings import load_settings
    from tasks.platform import statuses
    from tasks.platform_lines import platform_document, platform_lines

    found = statuses(load_settings(), state)
    lines = ["", *platform_lines(found), *(["", hint] if hint else [])]
    _finish(platform_document(found, state), lines, as_json)


def _show_change(before: Any, after: Any, as_json: bool) -> None:
    from datetime import datetime

    from tasks.platform_lines import change_line

    click.echo(change_line(before, after, datetime.now().astimezone()), err=as_json)


def _short(path: Any) -> str:
    from tasks.console import short_path

    return short_path(path)


def _wants_json() -> bool:
    return "--json" in sys.argv


def _fail(error: Exception, exit_code: int) -> NoReturn:
    if _wants_json():
        _print_json({"error": {"kind": type(error).__name__, "message": str(error), "exit_code": exit_code}})
    click.echo(f"error: {error}", err=True)
    sys.exit(exit_code)


def _fail_unexpectedly(error: Exception) -> NoReturn:
    from tasks.console import record_crash

    path = record_crash(error)
    _fail(RuntimeError(f"unexpected {type(error).__name__}: {error}\nThe whole trace is in {path}"), 1)


if __name__ == "__main__":
    run()
