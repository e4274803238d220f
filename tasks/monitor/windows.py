"""Choose the rows of a window, batches or a range of the prediction log, and compute the id of the decision on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from config.schema import ModelConfig
from config.settings import Settings
from core.data.cells import in_utc
from core.data.deliveries import PREDICTION_LOG
from core.data.history import BatchEntry
from core.drift.decision import decision_id
from core.drift.monitored_window import CHAMPION, LoggedWindow, MonitoredWindow
from core.drift.windows import WindowRequest, batches_before, choose_batches
from core.errors import ConfigError
from core.served.windows import Asked as Source
from core.served.windows import LogRange, asked_range, asked_time, chosen_source, stated_time
from store.database import open_database
from store.drift import earlier_windows
from store.log.labels import newest_label
from store.registry.registrations import RegisteredVersion
from tasks.monitor.logged import log_notes, logged_rows, next_log_range, pending_batches
from tasks.registry.versions import champion_record
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
    source
        ``batches``, ``predictions`` for the prediction log, or ``auto``; None as the model file says.
    """

    batches: tuple[str, ...] = ()
    since: str | None = None
    until: str | None = None
    against: str = CHAMPION
    exact: bool = False
    source: Source | None = None


def monitored_window(
    config: ModelConfig, asked: Asked, settings: Settings, wait_seconds: float = 0.0
) -> MonitoredWindow:
    """Choose the rows of a requested window, and compute the decision's id; no row is read.

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
    champion = champion_record(config.model, settings)
    if asked.against != CHAMPION:
        asked = replace(asked, against=resolved_version(config.model, asked.against, settings, engine))
    chosen = _Chosen(config, asked, champion, settings, engine)
    is_open = not (asked.batches or asked.since or asked.until)
    # A range may be one of the batches' times or of the log's; named batches are no rows of the log.
    is_of_batches = bool(asked.batches) or (not is_open and config.monitor.source == "auto")
    source = asked.source or ("batches" if is_of_batches else config.monitor.source)
    if source == "predictions":
        return chosen.logged()
    window = chosen.batches(wait_seconds)
    return chosen.unless_pending(window) if source == "auto" and is_open else window


@dataclass(frozen=True)
class _Chosen:
    """What the choice of a window needs."""

    config: ModelConfig
    asked: Asked
    champion: RegisteredVersion
    settings: Settings
    engine: Engine

    def batches(self, wait_seconds: float) -> MonitoredWindow:
        """Choose batches."""
        config, asked, settings = self.config, self.asked, self.settings
        with hold_model(config.model, settings, wait_seconds):
            bring_back_missing(config.model, settings)
            entries = data_history(config.model, settings).batches
        if not asked.batches:  # rows of the log are judged when they were answered, not when their labels arrive
            entries = tuple(entry for entry in entries if entry.source != PREDICTION_LOG)
        since, until = stated_time("--since", asked.since), stated_time("--until", asked.until)
        request = WindowRequest(batches=asked.batches, since=since, until=until)
        is_usual, rows = asked.against == CHAMPION, config.drift.window_rows
        version = self.champion.data_version if is_usual else asked.against
        trained = _batches_of(version, config.model, settings, self.engine)
        choice = choose_batches(entries, trained, request, rows, config.time, min_rows=config.drift.min_rows)
        before = batches_before(entries, trained, choice.batches, rows) if is_usual else ()
        names = [batch.name for batch in choice.batches]  # a batch's name contains its fingerprint
        labels = _labels(choice.batches, config, datetime.now(UTC))
        folder = data_folder(config.model, settings)
        return self._window(
            names,
            labels,
            since=request.since,
            until=request.until,
            paths=tuple(folder / f"{name}.parquet" for name in names),
            known=any(f"{name}.parquet" in trained for name in names),
            notes=choice.notes,
            before=tuple(folder / f"{batch.name}.parquet" for batch in before),
        )

    def logged(self) -> MonitoredWindow:
        """Choose a range of the prediction log."""
        asked, now = self.asked, datetime.now(UTC)
        if asked.batches:
            raise ConfigError(
                "--batches names batches, but --source predictions reads the prediction log; leave one out"
            )
        since, until = asked_time("--since", asked.since), asked_time("--until", asked.until)
        hours = self.config.monitor.window_hours
        is_open = since is None and until is None
        span = next_log_range(self.engine, self.config, now) if is_open else asked_range(since, until, now, hours)
        return self.of_log(span, logged_rows(self.engine, self.config.model, span, now), now)

    def unless_pending(self, window: MonitoredWindow) -> MonitoredWindow:
        """Return the window of batches if one of them is pending, or one of the log if it has enough new rows."""
        names = [path.stem for path in window.paths]
        n_pending = len(pending_batches(names, earlier_windows(self.engine, self.config.model), window))
        if n_pending:
            return window  # what the log has does not matter, so it is not counted
        now = datetime.now(UTC)
        span = next_log_range(self.engine, self.config, now)
        log = logged_rows(self.engine, self.config.model, span, now)
        choice = chosen_source(
            "auto",
            n_pending=n_pending,
            n_logged=sum(one.n_rows for one in log.answered),
            min_rows=self.config.drift.min_rows,
        )
        if choice.source == "batches":
            return replace(window, notes=(*window.notes, *choice.notes))
        found = self.of_log(span, log, now)
        return replace(found, notes=(*choice.notes, *found.notes))

    def of_log(self, span: LogRange, log: LoggedWindow, now: datetime) -> MonitoredWindow:
        """Return the window of a range of the log, whose rows were counted."""
        content = [*(str(one) for one in log.answered), f"{log.n_shadow} {log.n_failed}"]
        newest = newest_label(self.engine, self.config.model)
        labels = [str(newest), str(self.config.labels.match_days), _young(log.until, self.config, now)]
        return self._window(
            ["predictions", *content],
            " ".join(labels),
            since=in_utc(log.since),
            until=in_utc(log.until),
            paths=(),
            # Rows that were answered later than the champion was trained cannot be among its training rows.
            known=log.since < self.champion.recorded_at,
            notes=(*span.notes, *log_notes(log)),
            log=log,
        )

    def _window(self, content: Sequence[str], labels: str, **rows: Any) -> MonitoredWindow:
        config, asked, champion = self.config, self.asked, self.champion
        decision = decision_id(
            model=config.model,
            champion=champion.version,
            manifest=champion.manifest,
            against=asked.against,
            batches=content,
            since=rows["since"],
            until=rows["until"],
            drift=config.drift,
            labels=" ".join([labels, config.gate.metric, *["exact"][: asked.exact]]),
        )
        return MonitoredWindow(
            config=config,
            champion=champion.version,
            manifest=champion.manifest,
            against=asked.against,
            exact=asked.exact,
            id=decision,
            folder=report_folder(config.model, decision, self.settings),
            **rows,
        )


def report_folder(model: str, decision: str, settings: Settings) -> Path:
    """Return the folder of a decision's report."""
    return settings.var / "reports" / model / "drift" / decision[:12]


def _batches_of(version: str, model: str, settings: Settings, engine: Engine) -> dict[str, str]:
    """Return the file names of a data version's batches, with their hashes."""
    return version_files(model, version, settings, engine)


def _labels(entries: Sequence[BatchEntry], config: ModelConfig, now: datetime) -> str:
    """Return a text that changes daily while labels are incomplete, so that the rows are judged again later."""
    times = [entry.last_time for entry in entries if entry.last_time is not None]
    if not config.drift.label_delay_days or not times:
        return ""
    return _young(max(times).replace(tzinfo=UTC), config, now)


def _young(newest: datetime, config: ModelConfig, now: datetime) -> str:
    complete = newest + timedelta(days=config.drift.label_delay_days)
    return "" if complete <= now or not config.drift.label_delay_days else f"{now:%Y-%m-%d}"
