"""Commands of the prediction service."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from cli.options import checked_overrides, json_option, set_option
from cli.output import finish, flow_run


@click.command()
@click.option(
    "--model", "models", multiple=True, metavar="NAME", help="Serve this model; may be repeated.  [default: all]"
)
@click.option("--workers", type=click.IntRange(1, 64), help="Worker processes.  [default: 1]")
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 8470]")
@click.option(
    "--log",
    type=click.Choice(["commit", "async"]),
    help="Write the prediction log before each response, or after it.  [default: commit]",
)
@click.option(
    "--access", type=click.Choice(["open", "required"]), help="Whether requests need a key.  [default: by the address]"
)
def serve(
    models: tuple[str, ...],
    workers: int | None,
    host: str | None,
    port: int | None,
    log: str | None,
    access: str | None,
) -> None:
    """Serve predictions of the champions over HTTP.

    \b
    Examples:
      perennial serve
      perennial serve --model credit --workers 2 --port 8000

    Further settings are environment variables PERENNIAL_SERVE_…; see docs/serving.md.
    """
    from config.settings import HookSettings, ServingSettings, load_section, load_settings
    from serving.processes.supervisor import serve as run_service

    given = {"models": models or None, "workers": workers, "host": host, "port": port, "log": log, "access": access}
    fetch = (sys.executable, "-m", "tasks.serving.bring_bundle")
    run_service(load_settings(), load_section(ServingSettings, **given), fetch, load_section(HookSettings))


@click.command()
@click.argument("model")
@click.option(
    "--input",
    "rows",
    required=True,
    metavar="ADDRESS",
    help="CSV or Parquet: a file, a folder, a glob or an fsspec address; or sql:VARIABLE/table.",
)
@click.option(
    "--output",
    required=True,
    metavar="ADDRESS",
    help="A .parquet or .csv file, a folder of Parquet files, or sql:VARIABLE/table.",
)
@click.option("--version", type=click.IntRange(min=1), help="Version to score with.  [default: the champion]")
@click.option("--at", metavar="TIME", help="Time of the predictions.  [default: when input and version both existed]")
@click.option("--features", is_flag=True, help="Repeat the features in the output, as the model read them.")
@set_option
@json_option
def score(
    model: str,
    rows: str,
    output: str,
    version: int | None,
    at: str | None,
    features: bool,
    settings_: tuple[str, ...],
    as_json: bool,
) -> None:
    """Score all rows of a file, folder or table.

    The answers are those of the service. Rows that the feature contract refuses are set aside in a file beside the
    output, with the reason. The output appears when it is whole; after a kill, the same command goes on. VARIABLE is
    the environment variable that holds the database's address.

    \b
    Examples:
      perennial score credit --input applications.parquet --output scores.parquet
      perennial score credit --input "new/*.csv" --output scores.csv --version 3
      perennial score credit --input sql:WAREHOUSE/applications --output sql:WAREHOUSE/scores
    """
    from cli.lines.outcomes import score_lines

    overrides = checked_overrides(model, settings_)
    with flow_run(as_json):
        from flows.score import score as flow

        outcome = flow(model, _from_here(rows), _from_here(output), version, at, features, overrides)
    finish(outcome.to_dict(), score_lines(outcome), as_json)


def _from_here(address: str) -> str:
    """Return the address with a relative path taken from the working directory."""
    if address.startswith("sql:") or "://" in address or "::" in address:
        return address
    return str(Path(address).expanduser().absolute()) + "/" * address.endswith("/")


@click.group()
def keys() -> None:
    """Create, list and revoke keys of the prediction service.

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
    help="Permission of the key; may be repeated.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Model the key is valid for; may be repeated.  [default: all]",
)
@click.option("--days", type=click.IntRange(1, 36_500), help="Days until the key expires.  [default: never]")
@click.option("--rate", type=click.FloatRange(0.001, 1_000_000), help="Requests per second.  [default: no limit]")
@json_option
def keys_create(
    name: str, scopes: tuple[str, ...], models: tuple[str, ...], days: int | None, rate: float | None, as_json: bool
) -> None:
    """Create a key and print it; it is shown only once.

    \b
    Example:
      perennial keys create shop --scope predict --model credit --days 365 --rate 50
    """
    from config.settings import load_settings
    from tasks.serving.keys import SHOWN_ONCE, create_key, key_document

    key, text = create_key(name, scopes, models, load_settings(), days=days, rate=rate)
    finish({**key_document(key), "key": text}, [text], as_json)
    click.echo(SHOWN_ONCE.format(id=key.id), err=True)


@keys.command("list")
@json_option
def keys_list(as_json: bool) -> None:
    """List the keys, without their secrets."""
    from cli.lines.keys import key_lines
    from config.settings import load_settings
    from tasks.serving.keys import key_document, list_keys

    found = list_keys(load_settings())
    finish([key_document(key) for key in found], key_lines(found), as_json)


@keys.command("revoke")
@click.argument("key_id", metavar="ID")
@json_option
def keys_revoke(key_id: str, as_json: bool) -> None:
    """Revoke a key permanently. The service refuses it within seconds.

    \b
    Example:
      perennial keys revoke 0123456789ab
    """
    from config.settings import load_settings
    from tasks.serving.keys import key_document, revoke

    key = revoke(key_id, load_settings())
    finish(key_document(key), [f"revoked {key.id} ({key.name})"], as_json)
