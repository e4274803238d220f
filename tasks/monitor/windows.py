"""Choose the rows of a window, and name the decision about them."""

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
from core.drift.windows import WindowRequest, choose_batches
from core.errors import BundleError, ConfigError, ModelNotFoundError
from store.champions import current_champion
from store.database import open_database
from tasks.registry.client import mlflow_client
from tasks.registry.fetch import registered_version
from tasks.registry.register import MANIFEST
from tasks.registry.versions import champion_before_history
from tasks.runs.lock import hold_model
from tasks.versions.bring_back import bring_back_missing
from tasks.versions.dvc_stores import open_stores
from tasks.versions.known_versions import resolved_version, version_files
from tasks.versions.versions import data_history
from tasks.versions.working_copy import data_folder

DATA_VERSION = "perennial.data_version"


@dataclass(frozen=True)
class Asked:
    """What somebody asks to be looked at, as they wrote it.

    Parameters
    ----------
    batches
        Names; none: the newest, or all that meet the range.
    since, until
        ISO 8601, as the time column has them.
    against
        ``champion`` or a data version.
    exact
        Whether distances of the values themselves are wanted.
    """

    batches: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    against: str = CHAMPION
    exact: bool = False


def monitored_window(
    config: ModelConfig, asked: Asked, settings: Settings, wait_seconds: float = 0.0
) -> MonitoredWindow:
    """Choose batches for what was asked and name the decision about them; no row is read.

    Raises
    ------
    ModelNotFoundError
        The model has no champion.
    ConfigError
        What was asked for makes no sense: an unknown batch, an empty range, no time column.
    DataVersionError, StorageError
        ``against`` is no data version; the champion's data is not known any more; a remote or a database is away.
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
    decision = decision_id(
        model=config.model,
        champion=champion.version,
        manifest=champion.manifest,
        against=against,
        batches=[batch.name for batch in choice.batches],  # a batch's name holds its fingerprint
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
    )


def report_folder(model: str, decision: str, settings: Settings) -> Path:
    """Where the report of a decision lies."""
    return settings.var / "reports" / model / "drift" / decision[:12]


@dataclass(frozen=True)
class _Champion:
    version: int
    manifest: str
    data_version: str


def _champion(model: str, settings: Settings, engine: Engine) -> _Champion:
    entry = current_champion(engine, model)
    number = entry.version if entry else champion_before_history(model, settings)
    if number is None:
        raise ModelNotFoundError(f"{model!r} has no champion to monitor; train one with: perennial train {model}")
    tags = registered_version(mlflow_client(settings), model, number, settings).tags
    if not {MANIFEST, DATA_VERSION} <= tags.keys():
        raise BundleError(f"version {number} of {model!r} was not registered by Perennial: train one")
    return _Champion(number, tags[MANIFEST], tags[DATA_VERSION])


def _batches_of(version: str, model: str, settings: Settings, engine: Engine) -> dict[str, str]:
    """File names of a data version's batches, with their hashes."""
    return version_files(model, version, open_stores(settings, engine), settings, engine)


def _moment(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} expects a time such as 2026-03-01 or 2026-03-01T12:30, found {text!r}") from error


def _labels(entries: Sequence[BatchEntry], config: ModelConfig, now: datetime) -> str:
    """Tell days on which labels still come in apart: the same rows are judged again once more of them count."""
    times = [entry.last_time for entry in entries if entry.last_time is not None]
    if not config.drift.label_delay_days or not times:
        return ""
    complete = max(times) + timedelta(days=config.drift.label_delay_days)
    return "" if complete <= now.replace(tzinfo=None) else f"{now:%Y-%m-%d}"
