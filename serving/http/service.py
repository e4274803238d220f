"""The state of a worker: its loaded models, log and metrics, and whether it accepts requests."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import msgspec

from config.settings import ServingSettings
from core.errors import BundleError, StorageError
from core.train.trust import trusted_types
from serving.access.access import Access
from serving.http.loaded import Loaded, Routing
from serving.instance.state import ModelState, ReleasedState, ServiceState, read_state, state_stamp
from serving.model.free_memory import return_free_memory
from serving.model.residents import room_for
from serving.model.served import ServedModel, describe_model, load_model
from serving.problems import Problem
from serving.release.breaker import Breaker, breaker_file
from serving.release.copies import Copy, Sender
from serving.telemetry.metrics import Metrics, ModelMetrics
from serving.telemetry.prediction_log import PredictionLog
from serving.telemetry.recent import Live

_logger = logging.getLogger("perennial.service")

LOOK_SECONDS = 0.2
"""Interval of the checks for a new state file."""

BREAKER_SECONDS = 0.1
"""Interval of the checks for breakers that other workers opened."""

DRAINING = "the service is shutting down"
"""Reason of "not ready" while the worker drains."""

NO_LOG = (
    "the prediction log cannot be written, and with log=commit no prediction is answered without it; "
    "the status page and the service's log give the reason"
)
"""Reason of "not ready" without the cause: callers without a key read it, and the cause names the database."""


MAX_WAIT_SECONDS = 2.0
"""Longest time that a request waits until another model may leave memory; a longer one is refused."""

RETRY_SECONDS = 15.0
"""Pause between two attempts to load a model for requests, after one failed."""


class Service:
    """The service of one worker.

    Parameters
    ----------
    settings
        Limits and modes.
    instance
        Folder of the state.
    log, metrics, access
        Prediction log, metrics and access control of this worker.
    """

    def __init__(
        self, settings: ServingSettings, instance: Path, log: PredictionLog, metrics: Metrics, access: Access
    ) -> None:
        self.settings = settings
        self.log = log
        self.metrics = metrics
        self.access = access
        self.live = Live(metrics.live)
        self.models: dict[str, Loaded] = {}
        """Models in memory, by name."""
        self.unloaded: dict[str, Loaded] = {}
        """Served models that the next request loads."""
        self._loading: dict[str, asyncio.Task[Loaded]] = {}
        self._bringing: dict[str, asyncio.Task[None]] = {}
        self._unloadable: set[str] = set()
        # One load at a time bounds the memory; the follower waits for one load for requests at most.
        self._turn, self._queue = asyncio.Lock(), asyncio.Lock()
        self.state: ServiceState | None = None
        self.draining = False
        self.held = 0
        self._n_others = 0
        self.copies = Sender(-1)
        """Takes copies of requests for a version in the shadow."""
        self._instance = instance
        self._stamp: tuple[int, int] | None = None
        self._tasks: Callable[[], int] = lambda: 0

    def count_requests_by(self, tasks: Callable[[], int]) -> None:
        """Set the function that counts the requests in progress."""
        self._tasks = tasks

    @property
    def in_flight(self) -> int:
        """Requests in progress, without those that wait for their refusal."""
        return self._tasks() - self.held

    @property
    def n_predictions(self) -> int:
        """Predictions in progress, with the requests that have not begun: they wait for the event loop."""
        return self.in_flight - self._n_others

    @contextmanager
    def work(self) -> Iterator[None]:
        """Work on a request that takes no prediction's place: checking credentials, refusing, sending, other routes."""
        self._n_others += 1
        try:
            yield
        finally:
            self._n_others -= 1

    @contextmanager
    def prediction(self) -> Iterator[None]:
        """Predict, within :meth:`work`."""
        self._n_others -= 1
        try:
            yield
        finally:
            self._n_others += 1

    @property
    def served(self) -> dict[str, Loaded]:
        """All served models by name, in memory or not."""
        return {**self.unloaded, **self.models}

    def loaded(self, name: str) -> Loaded:
        """Return a served model, which may lie outside the memory.

        Raises
        ------
        Problem
            There is no such model, or its version could not be loaded.
        """
        found = self.models.get(name) or self.unloaded.get(name)
        if found is not None:
            return found
        if self.state is None:
            raise Problem("no-model", "no champion is known yet; the service is starting, try again", retry_after=1)
        known = name in self.state.trouble or any(model.name == name for model in self.state.models)
        if known:
            raise _not_loaded(name)
        served = ", ".join(sorted(self.served)) or "none"
        raise Problem("not-found", f"no model {name[:63]!r} is served here; served models: {served}")

    async def in_memory(self, name: str) -> Loaded:
        """Return a model that can answer; load it if it lies outside the memory.

        Raises
        ------
        Problem
            There is no such model, it cannot be loaded, or there is no memory for it at present.
        """
        found = self.loaded(name)
        if name in self.models:
            return found
        task = self._loading.get(name)
        if task is None:
            task = self._loading[name] = asyncio.create_task(self._brought(name))
            task.add_done_callback(lambda done: self._forget(name, done))
        # A request that gives up ends its own wait only.
        return await asyncio.shield(task)

    def _forget(self, name: str, done: asyncio.Task[Loaded]) -> None:
        del self._loading[name]
        if not done.cancelled():
            done.exception()  # the requests have it

    async def _brought(self, name: str) -> Loaded:
        async with self._queue:
            while True:
                async with self._turn:
                    found = self.loaded(name)
                    if name in self.models:
                        return found
                    if (wait := await self._make_room(found.model.size)) == 0:
                        return await self._load_again(found)
                if wait > MAX_WAIT_SECONDS:
                    detail = f"the memory for models is taken by others in use, so {name!r} is not loaded; try again"
                    raise Problem("no-model", detail, retry_after=math.ceil(wait))
                await asyncio.sleep(wait)

    async def _load_again(self, found: Loaded) -> Loaded:
        name = found.state.name
        if time.perf_counter() < found.retry_at:
            raise _not_loaded(name)
        try:
            return await self._load(found.state)
        except BundleError as error:
            self._refused(found.state, error)
            if found.before is not None:
                return await self._load_before(found, found.before)
            found.retry_at = time.perf_counter() + RETRY_SECONDS
            raise _not_loaded(name) from error

    async def _load_before(self, found: Loaded, before: ModelState) -> Loaded:
        """Load the version before one that does not load, as it would have stayed if it had been in memory."""
        try:
            return await self._load(before)
        except BundleError as error:
            found.retry_at = time.perf_counter() + RETRY_SECONDS
            self._refused(before, error)
            raise _not_loaded(before.name) from error

    async def _make_room(self, size: int, *, replaced: str = "", at_once: bool = False) -> float:
        """Unload what must leave for a model; return the seconds to wait if none may leave yet."""
        residents = {
            name: one.resident for name, one in self.models.items() if name != replaced and one.routing is None
        }
        now = math.inf if at_once else time.perf_counter()
        pinned = sum(one.resident.size for name, one in self.models.items() if name != replaced and one.routing)
        most = self.settings.models_memory_mb * 2**20 - pinned - self._memory_of_others()
        room = room_for(size, residents, most, now)
        for name in room.leaving:
            self._unload(name)
        if room.leaving:
            await asyncio.to_thread(return_free_memory)
        return room.wait

    def _memory_of_others(self) -> int:
        """Bytes of the versions beside the champions: they stay while their releases run."""
        return sum(one.resident.size for one in self.beside)

    @property
    def stopped(self) -> list[str]:
        """Models with a release whose breaker is open."""
        return [name for name, one in self.models.items() if one.routing is not None and one.routing.breaker.is_open]

    @property
    def beside(self) -> list[Loaded]:
        """Versions in memory beside the champions whose releases run."""
        routings = [one.routing for one in self.models.values()]
        return [routing.other for routing in routings if routing is not None and routing.other is not None]

    def _unload(self, name: str) -> None:
        gone = self.models.pop(name)
        self.unloaded[name] = Loaded(gone.model.unloaded(), gone.state, gone.metrics)
        self.metrics.swaps.labels(name, "unloaded").inc()
        _logger.info("%r left the memory; its next request loads it again", name)

    def not_ready_because(self) -> str | None:
        """Return why the worker does not accept requests; None if it does."""
        if self.draining:
            return DRAINING
        if self.state is None:
            return "no champion is known yet"
        served = self.served
        waiting = [model.name for model in self.state.models if model.name not in served]
        if not served:
            return "no model is loaded" + (f"; {', '.join(waiting)} could not be loaded" if waiting else "")
        if self.settings.log == "commit" and self.log.trouble is not None:
            return NO_LOG
        return self.access.trouble

    def send_copy(self, routing: Routing, model: str, served: str, form: str, body: bytes) -> None:
        """Send a copy of an answered request to the shadow, if the release is in it.

        Parameters
        ----------
        routing
            Of the release that ran when the request was answered.
        model, served
            The model, and the id of the request.
        form, body
            The body and its form.
        """
        release = routing.state
        if release.stage != "shadow" or release.trouble is not None:
            return
        result = self.copies.send(Copy(model, release.number, served, form, body))
        self.metrics.shadow_requests.labels(model, str(release.version), result).inc()

    async def follow(self) -> None:
        """Load the versions of the state, now and after each change, until cancelled."""
        while True:
            is_more = False
            try:
                await self.look()
                self._bring_others()
                is_more = await self.load_ahead()
                self.measure()
            except Exception:
                # The edge of a task that must not end: without it, new versions and revoked keys would go unnoticed.
                _logger.exception("the state could not be followed; retrying")
            await asyncio.sleep(0 if is_more else LOOK_SECONDS)

    async def follow_breakers(self) -> None:
        """Look at the breakers until cancelled; apart from :meth:`follow`, which waits for loads."""
        while True:
            self.look_at_breakers()
            await asyncio.sleep(BREAKER_SECONDS)

    def measure(self) -> None:
        """Set the gauges to their current values."""
        self.metrics.in_flight.set(self.in_flight)
        others = self.beside
        self.metrics.models_loaded.set(len(self.models) + len(others))
        self.metrics.models_memory.set(sum(one.resident.size for one in (*self.models.values(), *others)))
        self.metrics.log_queue.set(self.log.waiting)
        self.metrics.log_up.set(self.log.trouble is None)

    async def look(self) -> None:
        """Load or describe what changed since the last call; if that fails, the version before stays."""
        stamp = state_stamp(self._instance)
        if stamp is None or stamp == self._stamp:
            return
        try:
            state = read_state(self._instance)
        except StorageError as error:
            _logger.warning("%s", error)
            return
        self._stamp = stamp
        if state is not None:
            await self._follow_state(state)

    async def _follow_state(self, state: ServiceState) -> None:
        self.access.replace_keys(state.keys)
        for wanted in state.models:
            # Before all loads, which take time: a share that falls to nothing must be in force at once.
            self._route(wanted)
        for wanted in state.models:
            await self._swap(wanted)
        for gone in self.served.keys() - {model.name for model in state.models}:
            self.models.pop(gone, None)
            self.unloaded.pop(gone, None)
        is_first, self.state = self.state is None, state
        self._bring_others()
        if is_first:
            # A worker that is restarted answers none of the share by the champion; it may have to load both.
            for _ in ("champion", "other"):
                await asyncio.gather(*self._bringing.values(), return_exceptions=True)
                self._bring_others()

    async def _swap(self, wanted: ModelState) -> None:
        async with self._turn:
            present = self.served.get(wanted.name)
            if present is not None and _is_same(present.state, wanted):
                present.state = wanted
                return
            try:
                await self._bring_in(wanted)
            except BundleError as error:
                self._refused(wanted, error)

    async def _bring_in(self, wanted: ModelState) -> None:
        """Load a version that replaces a loaded one, or is the first; describe any other, which takes little time."""
        name = wanted.name
        if name in self.models or not self.models:
            loaded = await self._load(wanted)
            await self._make_room(loaded.model.size, replaced=name, at_once=True)
        else:
            model = await asyncio.to_thread(_described, wanted, self.settings.max_rows)
            present = self.unloaded.get(name)
            described = self.unloaded[name] = Loaded(model, wanted, ModelMetrics(self.metrics, model))
            if present is not None:
                # Not one that was described and never loaded, if it knows one before itself.
                described.before = present.before or present.state

    def look_at_breakers(self) -> None:
        """Stop asking the versions that another worker has stopped asking."""
        for one in self.models.values():
            if one.routing is not None:
                one.routing.breaker.look()

    def _route(self, wanted: ModelState) -> None:
        """Bring a release into force as far as nothing has to be loaded for it; a promotion and a return need not."""
        present, release = self.models.get(wanted.name), wanted.release
        if present is None or present.routing is None:
            return
        before = present.routing
        other = before.other
        if not _is_same(present.state, wanted):
            if other is None or not _is_version(other.state, wanted):
                present.routing = None
                return
            present, other = self._in_role(other, wanted), present
            self.models[wanted.name] = present
            _logger.info("version %d of %r is now served", wanted.version, wanted.name)
        present.routing = None
        if release is None:
            return
        is_there = other is not None and release.trouble is None and _is_version(other.state, release)
        if other is not None and is_there and other.state.variant != "challenger":
            other = self._in_role(other, _beside(wanted, release))
        breaker = before.breaker if _is_same_stage(before.state, release) else self._breaker(wanted.name, release)
        present.routing = Routing(release, other if is_there else None, breaker)

    def _in_role(self, found: Loaded, state: ModelState) -> Loaded:
        """Return a loaded version as the champion, or as the version beside it."""
        model = replace(found.model, variant=state.variant)
        return Loaded(model, state, ModelMetrics(self.metrics, model), found.resident.took)

    def _bring_others(self) -> None:
        """Begin to load the versions beside the champions; each is asked once it is loaded and warm."""
        for wanted in self.state.models if self.state else ():
            present = self.models.get(wanted.name)
            is_served = present is None or _is_same(present.state, wanted)
            if wanted.release is None or not is_served or wanted.name in self._bringing:
                continue
            if present is not None and present.routing is None:
                present.routing = Routing(wanted.release, None, self._breaker(wanted.name, wanted.release))
            if present is None or self._lacks_other(present):
                task = self._bringing[wanted.name] = asyncio.create_task(self._bring_other(wanted, wanted.release))
                task.add_done_callback(lambda _, name=wanted.name: self._bringing.pop(name))  # type: ignore[misc] # a default

    def _lacks_other(self, champion: Loaded) -> bool:
        routing = champion.routing
        if routing is None or routing.other is not None or routing.state.trouble is not None:
            return False
        return not routing.breaker.is_open and routing.state.manifest not in self._unloadable

    async def _bring_other(self, wanted: ModelState, release: ReleasedState) -> None:
        try:
            if wanted.name not in self.models:
                await self.in_memory(wanted.name)
                return  # the next look goes on
            async with self._turn:
                self._unloadable.add(release.manifest)  # until it is loaded, whatever happens
                other = await self._load_other(wanted, release)
                self._unloadable.discard(release.manifest)
        except Problem:
            return  # logged and counted
        except BundleError as error:
            self._refused(_beside(wanted, release), error)
            if release.stage != "bake":
                breaker = self._breaker(wanted.name, release)
                breaker.open("load", f"version {release.version} cannot be loaded: {error}")
            return
        present = self.models.get(wanted.name)
        now = present.routing if present is not None else None
        if present is not None and now is not None and _is_version(other.state, now.state):
            present.routing = Routing(now.state, other, now.breaker)

    async def _load_other(self, wanted: ModelState, release: ReleasedState) -> Loaded:
        state = _beside(wanted, release)
        began = time.perf_counter()
        model = await asyncio.to_thread(_load, state, self.settings.max_rows)
        await self._make_room(model.size, at_once=True)
        seconds = time.perf_counter() - began
        self.metrics.swaps.labels(state.name, "loaded").inc()
        _logger.info(
            "version %d of %r is loaded for release %d (%s, loaded in %.2f s)",
            *(state.version, state.name, release.number, model.kind, seconds),
        )
        return Loaded(model, state, ModelMetrics(self.metrics, model), seconds)

    def _breaker(self, name: str, release: ReleasedState) -> Breaker:
        return Breaker(breaker_file(self._instance, name, release.number, release.since))

    async def load_ahead(self) -> bool:
        """Load one model for which there is memory, before it is asked; return whether there was one."""
        async with self._turn:
            taken = sum(one.resident.size for one in self.models.values()) + self._memory_of_others()
            free = self.settings.models_memory_mb * 2**20 - taken
            now = time.perf_counter()
            fitting = (one for one in self.unloaded.values() if one.model.size <= free and one.retry_at <= now)
            found = next(fitting, None)
            if found is not None:
                with suppress(Problem):  # logged and counted; its requests get it
                    await self._load_again(found)
        return found is not None

    async def _load(self, wanted: ModelState) -> Loaded:
        began = time.perf_counter()
        model = await asyncio.to_thread(_load, wanted, self.settings.max_rows)
        seconds = time.perf_counter() - began
        loaded = self.models[wanted.name] = Loaded(model, wanted, ModelMetrics(self.metrics, model), seconds)
        self.unloaded.pop(wanted.name, None)
        self.metrics.swaps.labels(wanted.name, "loaded").inc()
        self.metrics.load_seconds.observe(seconds)
        _logger.info(
            "version %d of %r is now served (%s, loaded in %.2f s)", wanted.version, wanted.name, model.kind, seconds
        )
        return loaded

    def _refused(self, wanted: ModelState, error: BundleError) -> None:
        self.metrics.swaps.labels(wanted.name, "refused").inc()
        _logger.error("version %d of %r is not loaded: %s", wanted.version, wanted.name, error)


def _is_same(one: ModelState, other: ModelState) -> bool:
    return (one.version, one.variant, one.manifest) == (other.version, other.variant, other.manifest)


def _is_same_stage(one: ReleasedState, other: ReleasedState) -> bool:
    return (one.number, one.since) == (other.number, other.since)


def _is_version(one: ModelState, other: ModelState | ReleasedState) -> bool:
    return (one.version, one.manifest) == (other.version, other.manifest)


def _beside(champion: ModelState, release: ReleasedState) -> ModelState:
    """Return the state of the version beside the champion."""
    return msgspec.structs.replace(
        champion,
        version=release.version,
        variant="challenger",
        manifest=release.manifest,
        folder=release.folder,
        data_version=release.data_version,
        trusted=release.trusted,
        drift=None,
        release=None,
    )


def _not_loaded(name: str) -> Problem:
    return Problem("no-model", f"no version of {name!r} could be loaded; see the log", retry_after=5)


def _described(wanted: ModelState, max_rows: int) -> ServedModel:
    return describe_model(
        Path(wanted.folder),
        wanted.manifest,
        name=wanted.name,
        version=wanted.version,
        variant=wanted.variant,
        max_rows=max_rows,
    )


def _load(wanted: ModelState, max_rows: int) -> ServedModel:
    return load_model(
        Path(wanted.folder),
        wanted.manifest,
        trusted_types(wanted.trusted),
        name=wanted.name,
        version=wanted.version,
        variant=wanted.variant,
        max_rows=max_rows,
    )


@asynccontextmanager
async def following(service: Service, close_seconds: float) -> AsyncIterator[None]:
    """Load the models, start the log, and follow the state until the block ends; then write the queued log rows."""
    service.log.start()
    await service.look()
    service.measure()
    following = (service.follow(), service.follow_breakers(), service.live.follow())
    tasks = [asyncio.create_task(one) for one in following]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await service.log.close(close_seconds)
