"""Commands about drift."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import click

from cli.options import checked_overrides, json_option, set_option, wait_option
from cli.output import finish, flow_run

if TYPE_CHECKING:
    from config.settings import Settings


@click.command()
@click.argument("model")
@click.option(
    "--batches",
    metavar="NAMES",
    help="Batches to measure instead of the newest: numbers, names or beginnings of names, comma separated.",
)
@click.option(
    "--source",
    type=click.Choice(["auto", "batches", "predictions"]),
    help="Rows to measure: batches, or what the service answered.  [default: monitor.source of the model file]",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Measure rows from this moment on (ISO 8601, as in the time column; of predictions: UTC).",
)
@click.option("--until", metavar="TIME", help="Measure rows before this moment.")
@click.option(
    "--against",
    default="champion",
    show_default=True,
    metavar="champion|V",
    help="Reference: the champion's training rows, or a data version.",
)
@click.option("--exact", is_flag=True, help="Add distances computed on all values; needs memory for all rows.")
@set_option
@wait_option
@json_option
def monitor(
    model: str,
    batches: str | None,
    source: Literal["auto", "batches", "predictions"] | None,
    since: str | None,
    until: str | None,
    against: str,
    exact: bool,
    settings_: tuple[str, ...],
    wait_seconds: float,
    as_json: bool,
) -> None:
    """Check whether the newest rows have drifted.

    They are compared with the champion's training rows. Exit code 3 if they drifted or if there are too few rows. With
    'auto', batches are measured, and the rows that the service answered if no batch is pending.

    \b
    Examples:
      perennial monitor credit
      perennial monitor credit --batches 2,3
      perennial monitor credit --since 2025-01-01 --until 2025-02-01
      perennial monitor credit --against 3f2a91
      perennial monitor credit --source predictions
    """
    from cli.lines.drift import monitor_lines

    overrides = checked_overrides(model, settings_)
    with flow_run(as_json):
        from flows.monitor import monitor as flow

        names = batches.split(",") if batches else None
        verdict = flow(model, names, since, until, against, exact, overrides, wait_seconds=wait_seconds, source=source)
    refused, links = verdict.status in {"drift", "insufficient"}, _drift_links(verdict)
    finish({**verdict.to_dict(), "links": links}, monitor_lines(verdict, links), as_json, refused=refused)


@click.command()
@click.argument("model")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Number of windows to show.")
@click.option("--open/--no-open", "open_report", default=None, help="Open the newest report.  [default: in a terminal]")
@json_option
def drift(model: str, limit: int, open_report: bool | None, as_json: bool) -> None:
    """Show the drift of a model's rows over time.

    In a terminal, the newest report is opened.

    \b
    Example:
      perennial drift credit
    """
    from cli.lines.drift import drift_lines
    from config.load import load_model_config
    from config.settings import load_settings
    from tasks.monitor.recorded import newest_report, recorded_verdicts

    settings = load_settings()
    bound = load_model_config(settings.root, model).drift.psi
    verdicts = recorded_verdicts(model, settings, limit)
    page = newest_report(verdicts, settings)
    finish([verdict.to_dict() for verdict in verdicts], drift_lines(model, verdicts, page, bound=bound), as_json)
    if page:
        _launch(page, open_report, as_json)


@click.command()
@click.argument("model", metavar="MODEL[@VERSION]")
@click.argument("decision", required=False)
@click.option("--open/--no-open", "open_report", default=None, help="Open the page.  [default: in a terminal]")
@json_option
def report(model: str, decision: str | None, open_report: bool | None, as_json: bool) -> None:
    """Add Evidently's plots to the page of a decision on drift, or to that of a version's training.

    DECISION is the beginning of its id, as its page shows it; by default the newest decision. The page itself, with
    figures and without these plots, is there from the decision on. When runs add the plots themselves is
    'monitor.report' in the model file.

    \b
    Examples:
      perennial report credit
      perennial report credit 3f2a91
      perennial report credit@3
    """
    from cli.lines.drift import report_lines
    from config.settings import load_settings
    from tasks.runs.session import computation

    settings = load_settings()
    name, _, version = model.partition("@")
    if version and decision:
        raise click.UsageError(f"{model} names a training, which has no decision {decision!r}; leave one of them out")
    with computation(show_progress=not as_json):
        document = _drawn_training(name, version, settings) if version else _drawn_decision(name, decision, settings)
    finish(document, report_lines(document), as_json)
    _launch(document["links"]["drift report"], open_report, as_json)


@click.command()
@click.argument("model")
@click.option("--from", "place", metavar="FILE|SQL", help="Record the labels of a CSV or Parquet file, or of a query.")
@click.option("--key", metavar="COLUMN", help="Column with keys of entities.  [default: the model's key]")
@click.option("--id", "id_", metavar="COLUMN", help="Column with ids of predictions, instead of keys.")
@click.option("--label", metavar="COLUMN", help="Column with the outcomes.  [default: the model's target]")
@click.option("--at", metavar="COLUMN", help="With keys: column with the time that the outcome is about.")
@click.option("--uri-env", metavar="NAME", help="Environment variable with the address of the query's database.")
@click.option(
    "--weeks",
    type=click.IntRange(1, 520),
    default=12,
    show_default=True,
    help="Without --from: weeks of predictions to show.",
)
@json_option
def labels(
    model: str,
    place: str | None,
    key: str | None,
    id_: str | None,
    label: str | None,
    at: str | None,
    uri_env: str | None,
    weeks: int,
    as_json: bool,
) -> None:
    """Record true outcomes of predictions from a file or a query; without one, show how many predictions have a label.

    Values are read as 'ingest' reads them. If one is wrong, nothing is recorded. A repeat changes nothing.

    \b
    Examples:
      perennial labels credit
      perennial labels credit --from outcomes.csv --key application_id --label defaulted --at due_date
      perennial labels credit --from outcomes.parquet --id prediction_id
    """
    from cli.lines.labels import coverage_lines, recorded_lines
    from config.load import load_model_config
    from config.settings import load_settings

    settings = load_settings()
    config = load_model_config(settings.root, model)
    if place is None:
        from tasks.served.coverage import label_coverage

        if given := [
            name for name, value in (("--key", key), ("--id", id_), ("--label", label), ("--at", at)) if value
        ]:
            raise click.UsageError(f"{given[0]} belongs to --from, which names the file or the query")
        found = label_coverage(config, weeks, datetime.now(UTC), settings)
        finish(found.to_dict(), coverage_lines(found), as_json)
        return
    if key and id_:
        raise click.UsageError("--key and --id exclude each other: a label belongs to an entity or to a prediction")
    if id_ and at:
        raise click.UsageError("--at belongs to --key: the outcome of a prediction is about the prediction's own time")
    reference = id_ or key or config.key
    if reference is None:
        raise click.UsageError(f"expected --key or --id: {model!r} has no key")
    from tasks.monitor.contract import champion_contract
    from tasks.served.bulk import LabelColumns, record_labels_of

    asked = LabelColumns(place, "id" if id_ else "key", reference, label or config.target, at, uri_env)
    recorded = record_labels_of(config, champion_contract(model, settings), asked, settings)
    finish({"model": model, **recorded.to_dict()}, recorded_lines(model, recorded), as_json)


def _drawn_decision(model: str, decision: str | None, settings: Settings) -> dict[str, Any]:
    from config.load import existing_model_path
    from tasks.monitor.follow_up import report_now
    from tasks.monitor.recorded import chosen_verdict

    existing_model_path(settings.root, model)
    verdict = chosen_verdict(model, decision, settings)
    page = report_now(verdict, settings).html
    return {"model": model, "id": verdict.id, "status": verdict.status, "links": {"drift report": str(page)}}


def _drawn_training(model: str, selector: str, settings: Settings) -> dict[str, Any]:
    from tasks.registry.versions import version_number
    from tasks.train.drift_report import draw_training_report

    version = int(selector) if selector.isdecimal() else version_number(model, selector, settings)
    page = draw_training_report(model, version, settings).html
    return {"model": model, "version": version, "links": {"drift report": str(page)}}


def _launch(page: str, wanted: bool | None, as_json: bool) -> None:
    """Open a page in a browser if that is wanted; without a word on it, in a terminal."""
    if sys.stdout.isatty() and not as_json if wanted is None else wanted:
        click.launch(page)


def _drift_links(verdict: Any) -> dict[str, str]:
    from config.settings import load_settings
    from tasks.monitor.recorded import report_links

    return report_links(verdict, load_settings())
