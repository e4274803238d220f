"""Commands about models and their versions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from cli.options import checked_overrides, json_option, set_option, wait_option
from cli.output import finish, flow_run, print_json, short_path

if TYPE_CHECKING:
    from config.schema import DecimalMark


@click.command()
@click.option("--data", metavar="FILE", help="CSV or Parquet: a file, folder, glob or URL. Required without --suite.")
@click.option("--target", metavar="COLUMN", help="Column to predict. Required without --suite.")
@click.option("--time", metavar="COLUMN", help="Column that orders the rows; the newest become the holdout.")
@click.option("--key", metavar="COLUMN", help="Column that identifies the entity of a row.")
@click.option("--name", metavar="NAME", help="Name of the model.  [default: from the file's name]")
@click.option(
    "--decimal", type=click.Choice([".", ","]), help="Mark before the fraction, where the texts do not decide."
)
@click.option("--day-first/--month-first", default=None, help="Order of day and month, where the texts do not decide.")
@click.option("--encoding", metavar="NAME", help="Encoding of the text.  [default: detected]")
@click.option("--force", is_flag=True, help="Replace the files of an existing model.")
@click.option(
    "--suite", metavar="MODEL", help="Infer only this model's suite again, after an edit of its model file; see below."
)
@json_option
@click.pass_context
def init(
    context: click.Context,
    data: str | None,
    target: str | None,
    time: str | None,
    key: str | None,
    name: str | None,
    decimal: DecimalMark | None,
    day_first: bool | None,
    encoding: str | None,
    force: bool,
    suite: str | None,
    as_json: bool,
) -> None:
    """Infer a model file and a suite from your data.

    With --suite, the suite follows the model file: expectations that were inferred are inferred again from the model's
    source, by the kinds of its columns now. What a person wrote or changed stays.

    \b
    Examples:
      perennial init --data loans.csv --target defaulted --time applied_on --key loan_id
      perennial init --suite loans
    """
    if suite is not None:
        _refuse_beside_suite(context)
        _infer_suite(suite, as_json)
        return
    if data is None or target is None:
        raise click.UsageError(f"Missing option '{'--data' if data is None else '--target'}'.", context)
    from cli.progress import progress_lines

    with progress_lines(show=not as_json):
        from config.settings import load_settings
        from core.init.choices import Answers
        from tasks.init.model_file import init_model

        answers = Answers(decimal, day_first, encoding)
        result = init_model(data, target, load_settings(), time=time, key=key, name=name, force=force, answers=answers)
    if as_json:
        print_json({"model": result.model, "files": [str(path) for path in result.paths], "notes": result.notes})
        return
    for path in result.paths:
        click.echo(f"wrote {short_path(path)}")
    for note in result.notes:
        click.echo(f"  - {note}")
    click.echo(f"\nReview the files, then run: perennial train {result.model}")


def _refuse_beside_suite(context: click.Context) -> None:
    given = [name for name, value in context.params.items() if value is not None and value is not False]
    given = [name.replace("_", "-") for name in given if name not in {"suite", "as_json"}]
    if given:
        names = ", ".join(f"--{name}" for name in given)
        raise click.UsageError(f"--suite takes the source and the columns from the model file; remove {names}", context)


def _infer_suite(model: str, as_json: bool) -> None:
    from cli.lines.suite import suite_document, suite_lines
    from cli.progress import progress_lines

    with progress_lines(show=not as_json):
        from config.settings import load_settings
        from tasks.validation.infer_suite import infer_suite

        result = infer_suite(model, load_settings())
    finish(
        {"model": model, "file": str(result.path), "n_rows": result.n_rows, **suite_document(result.update)},
        [f"wrote {short_path(result.path)}", *suite_lines(result.update, result.n_rows)],
        as_json,
    )


@click.command()
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
    from cli.lines.outcomes import training_lines
    from tasks.gate.unchanged import unchanged_training
    from tasks.runs.session import held_model
    from tasks.validation.staging import stage_ahead

    overrides = checked_overrides(model, settings_)
    with held_model(model, wait_seconds) as settings:
        result = unchanged_training(model, data_version, overrides, settings)
        if result is None:
            ahead = partial(stage_ahead, model, overrides, settings) if data_version is None else None
            with flow_run(as_json, ahead):
                from flows.train import train as flow

                result = flow(model, data_version=data_version, overrides=overrides, wait_seconds=wait_seconds)
    finish(result.to_dict(), training_lines(result), as_json, refused=result.refused)


@click.command()
@json_option
def models(as_json: bool) -> None:
    """List models and their registered versions.

    \b
    Example:
      perennial models
    """
    from cli.lines.versions import model_lines
    from config.settings import load_settings
    from tasks.registry.versions import list_models

    summaries = list_models(load_settings())
    finish([summary.to_dict() for summary in summaries], model_lines(summaries), as_json)


@click.command()
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
    from cli.lines.versions import version_lines
    from config.settings import load_settings
    from tasks.registry.versions import show_model

    model, _, which = selector.partition("@")
    detail = show_model(model, which or None, load_settings())
    finish(detail.to_dict(), version_lines(detail), as_json)


@click.command()
@click.argument("champion", metavar="MODEL@A")
@click.argument("challenger", metavar="MODEL@B")
@click.option("--data-version", metavar="V", help="Take the holdout from this data version instead of the newest.")
@wait_option
@json_option
def compare(champion: str, challenger: str, data_version: str | None, wait_seconds: float, as_json: bool) -> None:
    """Show the gate's verdict on B as challenger to A.

    Both are scored on the same rows: the holdout rows that neither was trained on. Nothing is recorded or moved.

    \b
    Examples:
      perennial compare credit@champion credit@4
      perennial compare credit@3 credit@4 --data-version 3f2a91
    """
    from cli.lines.versions import comparison_lines
    from config.settings import load_settings
    from tasks.gate.compare import compare_versions
    from tasks.runs.session import computation

    with computation(show_progress=not as_json):
        verdict = compare_versions(champion, challenger, data_version, load_settings(), wait_seconds)
    finish(verdict.to_dict(), comparison_lines(verdict), as_json)


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="Port to listen at.")
def ui(port: int) -> None:
    """Browse runs and models in MLflow, until Ctrl-C.

    \b
    Example:
      perennial ui
    """
    from config.settings import load_settings
    from tasks.registry.versions import serve_mlflow

    serve_mlflow(load_settings(), port)


@click.command()
@click.argument("selector", metavar="MODEL@VERSION")
@set_option
@wait_option
@json_option
def judge(selector: str, settings_: tuple[str, ...], wait_seconds: float, as_json: bool) -> None:
    """Judge a registered version by the rules of the model file now.

    The version is compared with the champion and promoted if the gate says so. It is judged once by the same rules: a
    repeat shows the recorded verdict. Exit code 3 where the gate does not say yes.

    \b
    Examples:
      perennial judge credit@4
      perennial judge credit@4 --set gate.margin=0.002
    """
    from cli.lines.outcomes import training_lines
    from config.settings import load_settings
    from tasks.gate.judge_version import judge_version
    from tasks.runs.session import computation

    overrides = checked_overrides(selector.partition("@")[0], settings_)
    with computation(show_progress=not as_json):
        outcome = judge_version(selector, load_settings(), overrides, wait_seconds)
    finish(outcome.to_dict(), training_lines(outcome), as_json, refused=outcome.refused)
