"""Follow the running releases: bring the version beside the champion, and report what services found out about it.

Fetching is done on a thread of its own: the share of one release is followed while the bundle of another is fetched.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace
from sqlalchemy import Engine

from core.errors import BundleError, PerennialError
from serving.instance.state import ModelState, ReleasedState
from serving.release.breaker import FOLDER, Kind, breaker_file, read_report
from store.registry.registrations import trusted_manifest
from store.releases.records import ReleaseState, Trip
from store.releases.releases import running_releases
from store.releases.reports import newest_look, record_trip

_logger = logging.getLogger("perennial.follower")

FETCHING = "its bundle is being fetched"
RETRY_SECONDS = 15.0
PATIENCE_SECONDS = 60.0
"""So long a bundle may be missing until it is reported: a registry whose disk is away looks like a changed bundle."""

MOST_INSTANCE = 255
"""Characters of an instance's name in the database."""


@dataclass(frozen=True)
class Place:
    """A bundle beside the champion's: model, version, and the hash of its manifest; None: it is not recorded."""

    model: str
    version: int
    manifest: str | None


@dataclass(frozen=True)
class Fetched:
    """A verified bundle in this machine's private folder, and the hash of its manifest."""

    folder: Path
    manifest: str
    data_version: str
    trusted: tuple[str, ...]


class Bundles(Protocol):
    """The private folder of bundles."""

    def local(self, model: str, version: int, manifest: str) -> Fetched | None:
        """Return the bundle of a version if it is here and intact."""

    def fetched(self, model: str, version: int, manifest: str | None) -> Fetched:
        """Fetch and verify the bundle of a version."""


class Releases:
    """The running releases as one instance follows them.

    Parameters
    ----------
    instance
        Folder of the instance.
    bundles
        Fetches and keeps bundles.
    clock
        Seconds.
    """

    def __init__(self, instance: Path, bundles: Bundles, clock: Callable[[], float] = time.monotonic) -> None:
        self._instance = instance
        self._home = bundles
        self._clock = clock
        self._running: dict[str, ReleaseState] = {}
        self._bundles: dict[Place, Fetched] = {}
        self._fetching: dict[Place, Future[Fetched]] = {}
        self._failed: dict[Place, tuple[str, float, float]] = {}
        self._reported: set[tuple[str, int, Kind]] = set()

    @property
    def is_any(self) -> bool:
        """Whether a release runs."""
        return bool(self._running)

    def look(self, engine: Engine, models: Sequence[ModelState]) -> list[ModelState]:
        """Return the served versions with their running releases.

        Raises
        ------
        StorageError
            The database is unavailable.
        """
        self._running = {state.release.model: state for state in running_releases(engine) if not _has_mesh(state)}
        found = [self._with_release(engine, model) for model in models]
        self._forget()
        return found

    def kept(self, model: str) -> frozenset[str]:
        """Return the manifests of a model's bundles that must stay here."""
        return frozenset(one.manifest for place, one in self._bundles.items() if place.model == model)

    def _with_release(self, engine: Engine, model: ModelState) -> ModelState:
        state = self._running.get(model.name)
        # The champion moved, or the one that the release expects is not served: no other version is asked.
        if state is None or state.champion_sequence != model.sequence:
            return model if model.release is None else replace(model, release=None)
        self._report_breaker(engine, state)
        return replace(model, release=self._released(engine, state))

    def _released(self, engine: Engine, state: ReleaseState) -> ReleasedState:
        release, now = state.release, state.newest
        is_baking = now.stage == "bake"
        version = release.champion if is_baking else release.version
        look = newest_look(engine, state)
        bundle, trouble = None, None
        try:
            place = Place(release.model, version, _manifest(engine, state, version))
            bundle, trouble = self._bundle(place)
        except BundleError as error:
            place, trouble = Place(release.model, version, release.manifest), str(error)
            self._failed.setdefault(place, (trouble, self._clock() - PATIENCE_SECONDS, self._clock()))
        # A promoted version is not returned because the version before cannot be loaded: that would make it worse.
        if trouble is not None and not is_baking and self._is_lasting(place):
            self._report(engine, state, "load", f"version {version} cannot be loaded: {trouble}")
        return ReleasedState(
            number=release.number,
            stage="bake" if is_baking else "shadow" if now.stage == "shadow" else "step",
            share=now.share,
            salt=release.salt,
            version=version,
            manifest=bundle.manifest if bundle else place.manifest or "",
            folder=str(bundle.folder) if bundle else "",
            data_version=bundle.data_version if bundle else "",
            since=state.entered.at.isoformat(),
            trusted=bundle.trusted if bundle else (),
            paused=state.is_paused,
            look=look.document if look else "",
            trouble=trouble,
        )

    def _bundle(self, place: Place) -> tuple[Fetched | None, str | None]:
        """Return a bundle, or why there is none yet."""
        if (found := self._bundles.get(place)) is not None and found.folder.is_dir():
            return found, None
        task = self._fetching.get(place)
        if task is None:
            if (failed := self._failed.get(place)) is not None and self._clock() < failed[2]:
                return None, failed[0]
            if place.manifest and (found := self._home.local(place.model, place.version, place.manifest)) is not None:
                self._bundles[place] = found
                return found, None
            task = self._fetching[place] = self._begin(place)
        if not task.done():
            return None, self._failed[place][0] if place in self._failed else FETCHING
        del self._fetching[place]
        try:
            found = self._bundles[place] = task.result()
        except (PerennialError, OSError) as error:
            self._note_failure(place, error)
            return None, str(error)
        self._failed.pop(place, None)
        return found, None

    def _begin(self, place: Place) -> Future[Fetched]:
        task: Future[Fetched] = Future()

        def run() -> None:
            try:
                task.set_result(self._home.fetched(place.model, place.version, place.manifest))
            except BaseException as error:  # noqa: BLE001 - the edge of a thread: look() raises it
                task.set_exception(error)

        # Of a pool, the process would wait for its end.
        threading.Thread(target=run, name="released bundle", daemon=True).start()
        return task

    def _note_failure(self, place: Place, error: Exception) -> None:
        now = self._clock()
        first = self._failed[place][1] if place in self._failed else now
        if place not in self._failed:
            _logger.error("version %d of %r is not released here: %s", place.version, place.model, error)
        self._failed[place] = (str(error), first, now + RETRY_SECONDS)

    def _is_lasting(self, place: Place) -> bool:
        failed = self._failed.get(place)
        return failed is not None and self._clock() - failed[1] >= PATIENCE_SECONDS

    def _report_breaker(self, engine: Engine, state: ReleaseState) -> None:
        file = breaker_file(self._instance, state.release.model, state.release.number, state.entered.at.isoformat())
        if (found := read_report(file)) is not None:
            self._report(engine, state, *found)

    def _report(self, engine: Engine, state: ReleaseState, kind: Kind, reason: str) -> None:
        release = state.release
        key = (release.model, release.number, kind)
        if key in self._reported:
            return
        instance = f"{socket.gethostname()}:{self._instance}"[-MOST_INSTANCE:]
        record_trip(engine, Trip(release.model, release.number, instance, kind, reason, datetime.now(UTC)))
        self._reported.add(key)

    def _forget(self) -> None:
        """Forget bundles and breakers of releases that are over."""
        running = {(model, state.release.number) for model, state in self._running.items()}
        self._reported = {one for one in self._reported if one[:2] in running}
        models = self._running.keys()
        self._bundles = {place: one for place, one in self._bundles.items() if place.model in models}
        self._failed = {place: one for place, one in self._failed.items() if place.model in models}
        for file in (self._instance / FOLDER).glob("*.json"):
            model, number, *_ = file.name.split(".")
            if not number.isdigit() or (model, int(number)) not in running:
                with suppress(OSError):
                    file.unlink()


def _has_mesh(state: ReleaseState) -> bool:
    """Return whether a mesh divides the requests, so that the service must not."""
    return json.loads(state.release.plan).get("mesh") is not None


def _manifest(engine: Engine, state: ReleaseState, version: int) -> str | None:
    """Return the manifest that the records name for a version.

    Raises
    ------
    BundleError
        The release names another one than the version's registration.
    """
    release = state.release
    recorded = trusted_manifest(engine, release.model, version)
    if version != release.version:
        return recorded
    if recorded not in (None, release.manifest):
        raise BundleError(
            f"release {release.number} of {release.model!r} names the manifest {release.manifest[:12]} of version "
            f"{version}, its registration {recorded[:12] if recorded else recorded}; abort the release"
        )
    return release.manifest
