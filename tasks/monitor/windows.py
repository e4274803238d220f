"""Choose the batches of a window, and compute the id of the decision on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine

from config.schema import ModelConfig
from config.settings import Settings
from core.data.history import BatchEntry
from core.drift.decision import decision_id
from core.drift.monitored_window import CHAMPION, MonitoredWindow
from core.drift.windows import WindowRequest, batches_before, choose_batches
from core.errors import ConfigError, ModelNotFoundError
from store.champions import current_champion
from store.database import open_database
from store.registry.registrations import RegisteredVersion, find_version
from tasks.registry.contents import registry_contents
from tasks.registry.records import champion_before_history, recorded_version
from tasks.registry.versions import registered_in_mlflow
from tasks.runs.lock import hold_model
from tasks.versions.bring_back import bring_back_missing
from tasks.versions.known_versions import resolved_version, version_files
from tasks.versions.versions import data_history
from tasks.versions.working_copy import data_folder


@dataclass(frozen=True)
class Asked:
    """The requested window, as the user wrote it.

    Parameters
    ----------
    batches
        Batches by number, name or unique beginning of the name; if empty, the newest batches, or all that overlap the
        range.
    since, until
        Times in ISO 8601, in the time zone of the time column.
    against
        ``champion`` or a data version.
    exact
        Whether distances are also computed from the exact values.
    """

    batches: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    against: str = CHAMPION
    exact: bool = False


def monitored_window(
    config: ModelConfig, asked: Asked, settings: Settings, wait_seconds: float = 0.0
) -> MonitoredWindow:
    """Choose the batches of a requested window, and compute the decision's id; no row is read.

    Raises
    ------
    ModelNotFoundError
        The model has no champion.
    ConfigError
        The request is invalid: an unknown batch, an empty range, or a range without a time column.
    DataVersionError, StorageError
        ``against`` is no data version, the champion's data version is lost, or a remote or a database is unavailable.
    """
    engine = open_database(settings.database_url)
    champion = _champion(config.model, settings, engine)
    against = asked.against
    if against != CHAMPION:
        against = resolved_version(config.model, against, settings, engine)
    with hold_model(config.model, settings, wait_seconds):
        bring_back_missing(config.model, settings)
        entries = data_history(config.model, settings).batches
    request = WindowRequest(
        batches=asked.batches, since=_moment("--since", asked.since), until=_moment("--until", asked.until)
    )
    trained = _batches_of(champion.data_version if against == CHAMPION else against, config.model, settings, engine)
    rows = config.drift.window_rows
    choice = choose_batches(entries, trained, request, rows, config.time, min_rows=config.drift.min_rows)
    before = batches_before(entries, trained, choice.batches, rows) if against == CHAMPION else ()
    decision = decision_id(
        model=config.model,
        champion=champion.version,
        manifest=champion.manifest,
        against=against,
        batches=[batch.name for batch in choice.batches],  # a batch's name contains its fingerprint
        since=request.since,
        until=request.until,
        drift=config.drift,
        labels=" ".join(
            [_labels(choice.batches, config, datetime.now(UTC)), config.gate.metric, *["exact"][: asked.exact]]
        ),
    )
    folder = data_folder(config.model, settings)
    return MonitoredWindow(
        config=config,
        champion=champion.version,
        manifest=champion.manifest,
        against=against,
        paths=tuple(folder / f"{batch.name}.parquet" for batch in choice.batches),
        since=request.since,
        until=request.until,
        known=any(f"{batch.name}.parquet" in trained for batch in choice.batches),
        exact=asked.exact,
        notes=choice.notes,
        id=decision,
        folder=report_folder(config.model, decision, settings),
        before=tuple(folder / f"{batch.name}.parquet" for batch in before),
    )


def report_folder(model: str, decision: str, settings: Settings) -> Path:
    """Return the folder of a decision's report."""
    return settings.var / "reports" / model / "drift" / decision[:12]


def _champion(model: str, settings: Settings, engine: Engine) -> RegisteredVersion:
    entry = current_champion(engine, model)
    number = entry.version if entry else champion_before_history(model, settings)
    if number is None:
        raise ModelNotFoundError(f"{model!r} has no champion to monitor; train one with: perennial train {model}")
    record = find_version(engine, model, number)
    if record is None:
        contents = registry_contents(settings)
        record = recorded_version(contents, registered_in_mlflow(contents, model, number), settings)
    return record


def _batches_of(version: str, model: str, settings: Settings, engine: Engine) -> dict[str, str]:
    """Return the file names of a data version's batches, with their hashes."""
    return version_files(model, version, settings, engine)


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} expects a time such as 2026-03-01 or 2026-03-01T12:30, found {text!r}") from error


def _labels(entries: Sequence[BatchEntry], config: ModelConfig, now: datetime) -> str:
    """Return a text that changes daily while labels are incomplete, so that the rows are judged again later."""
    times = [entry.last_time for entry in entries if entry.last_time is not None]
    if not config.drift.label_delay_days or not times:
        return ""
    complete = max(times) + timedelta(days=config.drift.label_delay_days)
    return "" if complete <= now.replace(tzinfo=None) else f"{now:%Y-%m-%d}"
