"""Commands about rows and data versions."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import click

from cli.group import WithDefault
from cli.options import checked_overrides, json_option, set_option, wait_option
from cli.output import finish, flow_run, short_path

if TYPE_CHECKING:
    from config.settings import Settings
    from tasks.erasure.forget import ForgetRequest


@click.command()
@click.argument("model")
@click.option("--append", is_flag=True, help="Every row is new: the source holds no rows of earlier deliveries.")
@click.option(
    "--source",
    type=click.Choice(["configured", "predictions"]),
    default="configured",
    show_default=True,
    help="Rows of the model file's source, or served rows whose labels are known.",
)
@click.option("--since", metavar="TIME", help="With predictions: first time of an answer (ISO 8601).")
@click.option("--until", metavar="TIME", help="With predictions: time before which it was given.")
@set_option
@wait_option
@json_option
def ingest(
    model: str,
    append: bool,
    source: Literal["configured", "predictions"],
    since: str | None,
    until: str | None,
    settings_: tuple[str, ...],
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Read, validate and version a model's rows.

    Rows that an earlier batch of the same source holds are recognised and left out; equal rows of one delivery are all
    kept. With --append (or 'source.append: true' in the model file) every row is new, but the same file or the same
    delivery is still read once.

    With --source predictions, the rows are those that the service answered and whose labels are known, with the
    features as they were sent; with 'labels.train: true' in the model file, they are taken beside those of the source.
    Exit code 3 if the rows are refused.

    \b
    Examples:
      perennial ingest credit
      perennial ingest clicks --append
      perennial ingest credit --source predictions
    """
    from cli.lines.outcomes import ingestion_lines
    from core.served.windows import asked_time
    from tasks.runs.session import held_model
    from tasks.validation.staging import stage_ahead

    is_log = source == "predictions"
    if (since or until) and not is_log:
        raise click.UsageError("--since and --until need --source predictions")
    if append and is_log:
        raise click.UsageError("--append is for rows of the model file's source; leave it out")
    # A mistake is told before a server starts.
    asked_time("--since", since)
    asked_time("--until", until)
    overrides = checked_overrides(model, (*settings_, "source.append=true") if append else settings_)
    with (
        held_model(model, wait_seconds) as settings,
        flow_run(as_json, None if is_log else partial(stage_ahead, model, overrides, settings)),
    ):
        from flows.ingest import ingest as flow

        result = flow(model, overrides=overrides, wait_seconds=wait_seconds, source=source, since=since, until=until)
    finish(result.to_dict(), ingestion_lines(result), as_json, refused=not result.accepted)


@click.group(cls=WithDefault)
def data() -> None:
    """List a model's data versions, or restore one.

    \b
    Examples:
      perennial data credit
      perennial data restore credit 3f2a91
    """


@data.command("list")
@click.argument("model")
@json_option
def data_list(model: str, as_json: bool) -> None:
    """List a model's batches and data versions, and count its distinct rows.

    With a unique key, the newest row of each key counts; the others are not trained on.
    """
    from cli.lines.data import history_lines
    from config.load import existing_model_path
    from config.settings import load_settings
    from tasks.versions.versions import data_history, n_distinct_rows

    settings = load_settings()
    existing_model_path(settings.root, model)
    history = data_history(model, settings)
    if history.batches:
        history = replace(history, n_distinct=n_distinct_rows(model, settings))
    finish(history.to_dict(), history_lines(history), as_json)


@data.command("restore")
@click.argument("model")
@click.argument("version")
@click.option("--force", is_flag=True, help="Overwrite files of which no cache or remote has a copy.")
@click.option("--missing-ok", is_flag=True, help="Succeed if 'latest' finds no data version.")
@wait_option
@json_option
def data_restore(model: str, version: str, force: bool, missing_ok: bool, wait_seconds: float, as_json: bool) -> None:
    """Restore the exact bytes of a data version, also in a fresh clone.

    Exit code 2 if there is none.

    \b
    Examples:
      perennial data restore credit 3f2a91
      perennial data restore credit latest
    """
    from config.settings import load_settings
    from core.errors import DataVersionError
    from tasks.runs.lock import hold_model
    from tasks.versions.versions import restore_data

    settings = load_settings()
    with hold_model(model, settings, wait_seconds):
        paths = restore_data(model, version, settings, force=force)
    if not paths and not missing_ok:
        raise DataVersionError(f"{model!r} has no data version yet; read its rows with: perennial ingest {model}")
    lines = [f"restored {short_path(path)}" for path in paths] or ["no data version yet"]
    finish({"files": [str(path) for path in paths]}, lines, as_json)


@click.command()
@click.argument("model")
@click.option("--key", metavar="KEY", help="Key of the entity, as text or number; '-' reads it from standard input.")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the record, such as the number of the request.")
@click.option("--dry-run", is_flag=True, help="Show what would be removed, and remove nothing.")
@click.option("--yes", is_flag=True, help="Remove without a question.")
@click.option("--list", "lists", is_flag=True, help="List the recorded erasures of the model.")
@wait_option
@json_option
def forget(
    model: str,
    key: str | None,
    reason: str,
    dry_run: bool,
    yes: bool,
    lists: bool,
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Remove every row of an entity: prediction log, labels, batches, rows set aside, outputs of scorings.

    A batch that a registered version was trained on is not changed; it is named, with everything else that remains.
    That it was done is recorded without the key.

    \b
    Examples:
      perennial forget credit --key 4711 --dry-run
      perennial forget credit --key 4711 --reason "request 2026-31" --yes
      perennial forget credit --list
    """
    from cli.lines.retention import erasure_lines, record_lines
    from config.load import existing_model_path
    from config.settings import load_settings
    from tasks.erasure.forget import ForgetRequest, erasure_records
    from tasks.erasure.forget import forget as erase

    settings = load_settings()
    if lists:
        existing_model_path(settings.root, model)
        records = erasure_records(model, settings)
        finish([record.to_dict() for record in records], record_lines(records), as_json)
        return
    if key is None:
        raise click.UsageError("missing option '--key': whom to forget; --list lists what was forgotten")
    request = ForgetRequest(model, sys.stdin.readline().rstrip("\r\n") if key == "-" else key, reason)
    if not (dry_run or yes or _agrees(request, settings)):
        click.echo("nothing was removed", err=True)
        return
    outcome = erase(request, settings, dry_run=dry_run, wait_seconds=wait_seconds)
    finish(outcome.to_dict(), erasure_lines(outcome), as_json)


def _agrees(request: ForgetRequest, settings: Settings) -> bool:
    """Show what would be removed and ask; without a terminal there is no answer."""
    from cli.lines.retention import erasure_lines
    from tasks.erasure.forget import forget as erase

    if not sys.stdin.isatty():
        raise click.UsageError("expected --yes or --dry-run: without a terminal there is no question before it acts")
    click.echo("\n".join(erasure_lines(erase(request, settings, dry_run=True))), err=True)
    return click.confirm("Remove these rows? They cannot be brought back", err=True)
