"""The state of a worker: its loaded models, log and metrics, and whether it accepts requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.settings import ServingSettings
from core.errors import BundleError, StorageError
from core.train.trust import trusted_types
from serving.access.access import Access
from serving.instance.state import ModelState, ServiceState, read_state, state_stamp
from serving.model.answers import AnswerWriter
from serving.model.served import ServedModel, load_model
from serving.problems import Problem
from serving.telemetry.metrics import Metrics, ModelMetrics
from serving.telemetry.prediction_log import PredictionLog
from serving.telemetry.recent import Live

_logger = logging.getLogger("perennial.service")

LOOK_SECONDS = 0.2
"""Interval of the checks for a new state file."""

DRAINING = "the service is shutting down"
"""Reason of "not ready" while the worker drains."""

NO_LOG = (
    "the prediction log cannot be written, and with log=commit no prediction is answered without it; "
    "the status page and the service's log give the reason"
)
"""Reason of "not ready" without the cause: callers without a key read it, and the cause names the database."""


class Loaded:
    """A loaded model with its tenure, its metrics, and the encoder of its answers."""

    __slots__ = ("metrics", "model", "state", "writer")

    def __init__(self, model: ServedModel, state: ModelState, metrics: ModelMetrics) -> None:
        self.model = model
        self.state = state
        self.metrics = metrics
        self.writer = AnswerWriter(model)


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
        self.state: ServiceState | None = None
        self.draining = False
        self.held = 0
        self._n_others = 0
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

    def loaded(self, name: str) -> Loaded:
        """Return a model.

        Raises
        ------
        Problem
            There is no such model, or its version could not be loaded.
        """
        found = self.models.get(name)
        if found is not None:
            return found
        if self.state is None:
            raise Problem("no-model", "no champion is known yet; the service is starting, try again", retry_after=1)
        known = name in self.state.trouble or any(model.name == name for model in self.state.models)
        if known:
            raise Problem("no-model", f"no version of {name!r} could be loaded; see the log", retry_after=5)
        served = ", ".join(sorted(self.models)) or "none"
        raise Problem("not-found", f"no model {name[:63]!r} is served here; served models: {served}")

    def not_ready_because(self) -> str | None:
        """Return why the worker does not accept requests; None if it does."""
        if self.draining:
            return DRAINING
        if self.state is None:
            return "no champion is known yet"
        waiting = [model.name for model in self.state.models if model.name not in self.models]
        if not self.models:
            return "no model is loaded" + (f"; {', '.join(waiting)} could not be loaded" if waiting else "")
        if self.settings.log == "commit" and self.log.trouble is not None:
            return NO_LOG
        return self.access.trouble

    async def follow(self) -> None:
        """Load the versions of the state, now and after each change, until cancelled."""
        while True:
            try:
                await self.look()
                self.measure()
            except Exception:
                # The edge of a task that must not end: without it, new versions and revoked keys would go unnoticed.
                _logger.exception("the state could not be followed; retrying")
            await asyncio.sleep(LOOK_SECONDS)

    def measure(self) -> None:
        """Set the gauges to their current values."""
        self.metrics.in_flight.set(self.in_flight)
        self.metrics.log_queue.set(self.log.waiting)
        self.metrics.log_up.set(self.log.trouble is None)

    async def look(self) -> None:
        """Load what changed since the last call; if a version cannot be loaded, the version before stays."""
        stamp = state_stamp(self._instance)
        if stamp is None or stamp == self._stamp:
            return
        try:
            state = read_state(self._instance)
        except StorageError as error:
            _logger.warning("%s", error)
            return
        self._stamp = stamp
        if state is None:
            return
        self.access.replace_keys(state.keys)
        for wanted in state.models:
            await self._swap(wanted)
        for gone in self.models.keys() - {model.name for model in state.models}:
            del self.models[gone]
        self.state = state

    async def _swap(self, wanted: ModelState) -> None:
        present = self.models.get(wanted.name)
        if present is not None and _is_same(present.state, wanted):
            present.state = wanted
            return
        try:
            model = await asyncio.to_thread(_load, wanted, self.settings.max_rows)
        except BundleError as error:
            self.metrics.swaps.labels(wanted.name, "refused").inc()
            _logger.error("version %d of %r is not loaded: %s", wanted.version, wanted.name, error)  # noqa: TRY400 - a sentence, no trace
            return
        self.models[wanted.name] = Loaded(model, wanted, ModelMetrics(self.metrics, model))
        self.metrics.swaps.labels(wanted.name, "loaded").inc()
        _logger.info("version %d of %r is now served (%s)", wanted.version, wanted.name, model.kind)


def _is_same(one: ModelState, other: ModelState) -> bool:
    return (one.version, one.variant, one.manifest) == (other.version, other.variant, other.manifest)


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
