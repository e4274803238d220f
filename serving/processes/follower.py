"""Follow the champions: fetch and check their bundles, and publish the state to the workers.

It runs in the supervisor, not in a worker: the workers answer while it fetches or waits for an unavailable database.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import Engine

from config.load import load_model_config
from config.settings import ServingSettings, Settings
from core.errors import BundleError, ConfigError, PerennialError, StorageError
from core.prediction_ids import first_id_at
from serving.bundle.reader import verified
from serving.instance.state import (
    DriftSummary,
    ModelState,
    PerformanceSummary,
    ServiceState,
    read_state,
    state_stamp,
    write_state,
)
from serving.processes.following import STEP_SECONDS, Pulse
from serving.processes.releases import Fetched, Releases
from store.api_keys import api_keys
from store.champions import Champion, current_champions
from store.database import open_database
from store.drift import DriftWindow, drift_windows
from store.predictions import delete_before
from store.registry.registrations import trusted_manifest

_logger = logging.getLogger("perennial.follower")

KEPT_BUNDLES = 5
"""Local bundles per model, so that a rollback need not fetch the version before again."""

FETCH_SECONDS = 300.0
MAX_FETCH_SECONDS = 4800.0
"""Time limit of a fetch: it doubles after each fetch that exceeded it, because a busy host or network is slow."""

RETRY_SECONDS = 15.0
"""Pause between two attempts to fetch a bundle."""

RELEASE_SECONDS = 0.5
"""Longest time between two looks while a release runs: with the workers' looks, a share is in force within 2 s."""

PRUNE_SECONDS = 3600.0

LONG_PRUNE_SECONDS = 1800.0
"""Time for deleting old requests; the first time after a change of the setting there may be millions."""


@dataclass(frozen=True)
class Wanted:
    """A bundle to fetch.

    Parameters
    ----------
    model, version
        The registered version.
    manifest
        SHA-256 of the manifest in the operational database; None: the version is older than these records, and is
        recorded when it is fetched.
    folder
        Folder for the bundle, which gets its manifest's hash as its name.
    trusted
        Types that its pipeline may contain.
    """

    model: str
    version: int
    manifest: str | None
    folder: str
    trusted: tuple[str, ...]


class Fetch:
    """Fetches bundles in a separate process, which may import MLflow, and whose crash does not end the service.

    Parameters
    ----------
    command
        Command that reads a :class:`Wanted` as a line of JSON and prints ``{"manifest": …}``, or
        ``{"error": …, "kind": …}``.
    beat
        Told how many seconds a fetch may take, before it begins.
    """

    def __init__(self, command: Sequence[str], beat: Callable[[float], None] = lambda _seconds: None) -> None:
        self._command = command
        self._beat = beat
        self._seconds = FETCH_SECONDS

    def __call__(self, wanted: Wanted) -> str:
        """Fetch a bundle and return its manifest's hash.

        Raises
        ------
        BundleError
            It is not what was registered, or cannot be loaded.
        StorageError
            MLflow or the artifact store is unavailable, or the process crashed.
        """
        question = json.dumps(vars(wanted))
        self._beat(self._seconds + STEP_SECONDS)
        try:
            done = subprocess.run(  # noqa: S603 - our own interpreter and module
                self._command, input=question, capture_output=True, text=True, timeout=self._seconds, check=False
            )
            answer = json.loads(done.stdout.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            ended = self._seconds
            self._seconds = min(MAX_FETCH_SECONDS, 2 * ended)
            raise StorageError(
                f"the bundle was not fetched within {ended:.0f} s; the next attempt has {self._seconds:.0f} s. "
                "Check that MLflow and its artifact store answer"
            ) from None
        except OSError as error:
            raise StorageError(f"the bundle cannot be fetched: {error}") from error
        except (ValueError, IndexError):
            last = done.stderr.strip().splitlines()[-1:] or ["it printed nothing"]
            raise StorageError(
                f"the process that fetches bundles ended without a result (exit code {done.returncode}): {last[0]}"
            ) from None
        self._seconds = FETCH_SECONDS
        if "error" in answer:
            raise (BundleError if answer["kind"] == "bundle" else StorageError)(answer["error"])
        return str(answer["manifest"])


class Follower:
    """Keeps the state of an instance up to date.

    Parameters
    ----------
    settings, serving
        Settings of the project and of the service.
    instance
        Folder of the state.
    bundles
        Folder of the private copies.
    fetch
        Fetches a bundle; raises the same errors as :class:`Fetch`.
    failed
        Called with the model and the kind of failure, ``bundle`` or ``storage``, when a champion cannot be fetched.
    pulse
        Shows that this thread goes on, and tells it to end.
    """

    def __init__(
        self,
        settings: Settings,
        serving: ServingSettings,
        instance: Path,
        bundles: Path,
        fetch: Callable[[Wanted], str],
        failed: Callable[[str, str], None] = lambda _model, _kind: None,
        pulse: Pulse | None = None,
    ) -> None:
        self._settings = settings
        self._serving = serving
        self._instance = instance
        self._bundles = bundles
        self._fetch = fetch
        self._failed = failed
        self._engine: Engine | None = None
        self._pulse = pulse or Pulse()
        self._stamp = state_stamp(instance)
        self._published = read_state(instance) or ServiceState()
        self._retry_at: dict[str, float] = {}
        self._prune_at = 0.0
        self._failing = False
        self._missing: Set[str] = set()
        self._releases = Releases(instance, self)

    def run(self) -> None:
        """Poll until the pulse says stop; failures are logged and retried."""
        stop = self._pulse.stop
        while not stop.is_set():
            self._pulse.beat()
            try:
                self.look()
            except Exception as error:  # noqa: BLE001 - the edge of a thread that must not end: logged and retried
                if not self._failing or not isinstance(error, PerennialError):
                    _logger.warning("cannot read the champions: %s; retrying", error)
                self._failing, self._engine = True, None
            else:
                if self._failing:
                    _logger.info("the champions can be read again")
                self._failing = False
            seconds = self._serving.follow_seconds
            self._pulse.beat(seconds + STEP_SECONDS)
            stop.wait(min(seconds, RELEASE_SECONDS) if self._releases.is_any else seconds)

    def look(self) -> None:
        """Poll once: fetch new champions' bundles and publish changes.

        Raises
        ------
        StorageError
            The database is unavailable, or the state cannot be written.
        """
        engine = self._engine = self._engine or open_database(self._settings.database_url, create=False)
        names = set(self._serving.models)
        wanted = [champion for champion in current_champions(engine) if not names or champion.model in names]
        before = {model.name: model for model in self._published.models}
        models: list[ModelState] = []
        trouble: dict[str, str] = {}
        for champion in wanted:
            self._pulse.beat()
            model = self._served(engine, champion, before.get(champion.model), trouble)
            if model is not None:
                models.append(model)
        self._log_missing(names - {champion.model for champion in wanted} - before.keys())
        models += _orphans(before, {champion.model for champion in wanted}, names)
        models = self._releases.look(engine, models)
        models.sort(key=lambda model: model.name)
        keys = tuple(key for key in api_keys(engine) if key.revoked_at is None)
        self._publish(ServiceState(tuple(models), keys, trouble))
        self._prune(engine)

    def _log_missing(self, names: Set[str]) -> None:
        for name in sorted(names - self._missing):
            _logger.warning("%r has no champion yet; list the models with 'perennial models'", name)
        self._missing = names

    def _served(
        self, engine: Engine, champion: Champion, before: ModelState | None, trouble: dict[str, str]
    ) -> ModelState | None:
        """Return the state of a model: its champion if the bundle can be fetched, else the version served before."""
        drift = _drift_summary(next(iter(drift_windows(engine, champion.model, limit=1)), None))
        if before is not None and self._is_current(before, champion):
            return msgspec.structs.replace(before, drift=drift)
        if time.monotonic() < self._retry_at.get(champion.model, 0.0):
            found = before.trouble if before else self._published.trouble.get(champion.model)
        else:
            try:
                state = self._fetched(engine, champion, drift)
            except (BundleError, StorageError, ConfigError) as error:
                self._retry_at[champion.model] = time.monotonic() + RETRY_SECONDS
                self._failed(champion.model, "storage" if isinstance(error, StorageError) else "bundle")
                found = str(error)
                _logger.error("version %d of %r is not served: %s", champion.version, champion.model, found)  # noqa: TRY400 - a sentence, no trace
            else:
                self._retry_at.pop(champion.model, None)
                return state
        if before is None:
            trouble[champion.model] = found or ""
            return None
        return msgspec.structs.replace(before, drift=drift, trouble=found)

    def _is_current(self, before: ModelState, champion: Champion) -> bool:
        folder = self._bundles / before.name / before.manifest
        is_here = before.folder == str(folder) and folder.is_dir()
        is_same = (before.sequence, before.version) == (champion.sequence, champion.version)
        return is_here and is_same and before.trouble is None

    def _fetched(self, engine: Engine, champion: Champion, drift: DriftSummary | None) -> ModelState:
        judged = trusted_manifest(engine, champion.model, champion.version)
        bundle = None if judged is None else self.local(champion.model, champion.version, judged)
        bundle = bundle or self.fetched(champion.model, champion.version, judged)
        _remove_old(self._bundles / champion.model, self._kept(champion.model))
        _logger.info("version %d of %r is ready to be served", champion.version, champion.model)
        return ModelState(
            name=champion.model,
            version=champion.version,
            variant="champion",
            sequence=champion.sequence,
            since=champion.at.isoformat(),
            by=champion.kind,
            reason=champion.reason,
            manifest=bundle.manifest,
            folder=str(bundle.folder),
            data_version=bundle.data_version,
            trusted=bundle.trusted,
            drift=drift,
        )

    def _kept(self, model: str) -> Set[str]:
        """Return the bundles that are in use: of the champion before too, which a release that bakes returns to."""
        served = [one for one in self._published.models if one.name == model]
        released = [one.release.manifest for one in served if one.release is not None]
        return self._releases.kept(model).union(released, (one.manifest for one in served))

    def local(self, model: str, _version: int, manifest: str) -> Fetched | None:
        """Return a bundle that is here and intact, see :class:`serving.processes.releases.Bundles`."""
        folder = self._bundles / model / manifest
        return self._verified(model, folder, manifest) if _is_intact(folder, manifest) else None

    def fetched(self, model: str, version: int, manifest: str | None) -> Fetched:
        """Fetch and verify a bundle.

        Raises
        ------
        BundleError
            It is not what was registered, or of another model.
        StorageError
            MLflow or the artifact store is unavailable.
        """
        home = self._bundles / model
        judged = self._fetch(Wanted(model, version, manifest, str(home), self._trusted(model)))
        self._pulse.beat()
        return self._verified(model, home / judged, judged)

    def _verified(self, model: str, folder: Path, judged: str) -> Fetched:
        folder.touch()
        manifest = verified(folder, judged)
        if manifest.model != model:
            raise BundleError(f"expected a bundle of {model!r}, found one of {manifest.model!r}")
        return Fetched(folder, judged, manifest.data_version, self._trusted(model))

    def _trusted(self, model: str) -> tuple[str, ...]:
        try:
            return load_model_config(self._settings.root, model).training.trusted_types
        except ConfigError:
            # A machine that only serves may lack the model files; then their trusted types are missing.
            return ()

    def _publish(self, state: ServiceState) -> None:
        # A thread that was left behind in the middle of a write may have completed it since.
        if state == self._published and state_stamp(self._instance) == self._stamp is not None:
            return
        if self._pulse.stop.is_set():
            return  # another thread has taken over, and what is known here may be old
        write_state(self._instance, state)
        self._stamp, self._published = state_stamp(self._instance), state

    def _prune(self, engine: Engine) -> None:
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + PRUNE_SECONDS
        self._pulse.beat(LONG_PRUNE_SECONDS)
        kept = datetime.now(UTC) - timedelta(days=self._serving.retention_days)
        if deleted := delete_before(engine, first_id_at(kept)):
            _logger.info("deleted %d logged requests older than %g days", deleted, self._serving.retention_days)


def _orphans(before: Mapping[str, ModelState], known: Set[str], names: Set[str]) -> list[ModelState]:
    """Return served models that are no longer in the database; history is append-only, so it was lost."""
    lost = "this model is no longer in the operational database: restore the database from a backup"
    return [
        msgspec.structs.replace(model, trouble=lost)
        for name, model in before.items()
        if name not in known and (not names or name in names)
    ]


def _is_intact(folder: Path, manifest: str) -> bool:
    if not folder.is_dir():
        return False
    try:
        verified(folder, manifest)
    except BundleError as error:
        _logger.warning("the local copy of a bundle is damaged; fetching it again: %s", error)
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def _remove_old(home: Path, kept: Set[str]) -> None:
    found = (path for path in home.iterdir() if path.is_dir() and path.name not in kept)
    newest = sorted(found, key=lambda path: -path.stat().st_mtime)
    for path in newest[KEPT_BUNDLES:]:
        shutil.rmtree(path, ignore_errors=True)


def _drift_summary(window: DriftWindow | None) -> DriftSummary | None:
    if window is None:
        return None
    document: dict[str, Any] = json.loads(window.document)
    return DriftSummary(
        status=window.status,
        champion=window.champion,
        n_rows=window.n_rows,
        measured_at=window.measured_at.isoformat(),
        importance_share=float(document.get("importance_share") or 0.0),
        psi={column["name"]: column["psi"] for column in document["columns"] if column.get("psi") is not None},
        performance=[
            PerformanceSummary(found["kind"], found["metric"], found.get("value"), found.get("reference"))
            for found in document.get("performance", ())
        ],
    )
