"""The process that answers copies of requests in the shadow: ``python -m serving.processes.start`` runs it.

No client has its answers, and none waits for it: workers drop the copies that it does not take. The supervisor starts
it while a release is in the shadow, and restarts it when it crashes or hangs; the copy in progress is then logged as
failed. It ends when no release is in the shadow.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec

from config.settings import ServingSettings
from core.errors import BundleError, StorageError
from core.train.trust import trusted_types
from serving.ids import new_request_id
from serving.instance.state import ModelState, ReleasedState, read_state, state_stamp
from serving.model.forms import Form, forms_of
from serving.model.rows import Rows
from serving.model.served import ServedModel, load_model
from serving.problems import Problem, of_status
from serving.processes.start import BEAT, signal_life
from serving.processes.worker import Assignment, end_with
from serving.release.copies import IN_PROGRESS, Copy, Inflow
from serving.telemetry.logs import configure_logging
from serving.telemetry.metrics import Metrics
from serving.telemetry.prediction_log import Answered, PredictionLog
from store.log.connection import LogConnection

_logger = logging.getLogger("perennial.shadow")

CRASHED = "crashed: the process ended, or was ended because it did not go on, while it answered"
LOOK_SECONDS = 0.2
IDLE_SECONDS = 0.01
BEAT_SECONDS = 1.0
CLOSE_SECONDS = 5.0
NICENESS = 10
"""Clients' requests come first."""


@dataclass(frozen=True)
class _Shadow:
    release: ReleasedState
    model: ServedModel
    forms: Mapping[str, Form]


class Shadow:
    """Answers copies with the versions that are in the shadow.

    Parameters
    ----------
    settings, instance
        Of the service; folder of its state.
    log, metrics
        Of this process.
    inflow
        The copies.
    """

    def __init__(
        self, settings: ServingSettings, instance: Path, log: PredictionLog, metrics: Metrics, inflow: Inflow
    ) -> None:
        self._settings = settings
        self._instance = instance
        self._log = log
        self._metrics = metrics
        self._inflow = inflow
        self._stamp: tuple[int, int] | None = None
        self._shadows: dict[str, _Shadow] = {}
        self._encode = msgspec.json.Encoder().encode
        self._is_any = True
        self.is_ending = False

    def follow(self) -> bool:
        """Load the versions that are in the shadow now; return whether there is a release in it."""
        stamp = state_stamp(self._instance)
        if stamp == self._stamp and stamp is not None:
            return self._is_any
        try:
            state = read_state(self._instance)
        except StorageError as error:
            _logger.warning("%s", error)
            return True
        self._stamp = stamp
        wanted = [(model, model.release) for model in (state.models if state else ()) if in_shadow(model)]
        self._is_any = bool(wanted)
        names = {model.name for model, _ in wanted}
        self._shadows = {name: one for name, one in self._shadows.items() if name in names}
        for model, release in wanted:
            if release is not None and release.trouble is None:
                self._load(model.name, release)
        return self._is_any

    def _load(self, name: str, release: ReleasedState) -> None:
        present = self._shadows.get(name)
        if present is not None and present.release.manifest == release.manifest:
            self._shadows[name] = _Shadow(release, present.model, present.forms)
            return
        folder, trusted = Path(release.folder), trusted_types(release.trusted)
        try:
            model = load_model(
                folder,
                release.manifest,
                trusted,
                name=name,
                version=release.version,
                variant="shadow",
                max_rows=self._settings.max_rows,
            )
        except BundleError as error:
            # The workers load it too, and report that.
            _logger.error("version %d of %r is not loaded: %s", release.version, name, error)  # noqa: TRY400 - a sentence
            return
        self._shadows[name] = _Shadow(release, model, forms_of(model))

    async def work(self) -> None:
        """Answer the copies that wait; of releases that are over, they are thrown away."""
        copy = self._inflow.take()
        if copy is None:
            await asyncio.sleep(IDLE_SECONDS)
            return
        shadow = self._shadows.get(copy.model)
        if shadow is None or shadow.release.number != copy.number:
            return
        file = self._instance / IN_PROGRESS
        file.write_bytes(msgspec.msgpack.encode(copy))
        await self._answer(copy, shadow)
        file.unlink(missing_ok=True)

    def note_crash(self) -> None:
        """Log the copy that the process before this one was ended with."""
        file = self._instance / IN_PROGRESS
        with suppress(OSError, msgspec.DecodeError):
            copy = msgspec.msgpack.decode(file.read_bytes(), type=Copy)
            file.unlink()
            shadow = self._shadows.get(copy.model)
            if shadow is not None and shadow.release.number == copy.number:
                with suppress(Problem):
                    rows = shadow.forms[copy.form].read(copy.body)
                    self._record(copy, shadow, rows, b"[]", 0.0, CRASHED)

    async def _answer(self, copy: Copy, shadow: _Shadow) -> None:
        watch, rows, failure, outputs = Watch(), None, None, b"[]"
        try:
            rows = shadow.forms[copy.form].read(copy.body)
            async with asyncio.timeout(self._settings.timeout_seconds):
                outputs = self._encode(await shadow.model.answer(rows.values, rows.locate))
        except Problem as problem:
            failure = problem.reason
        except TimeoutError:
            failure = "timeout: the model did not answer in time"
        except Exception:
            # The next copy is answered all the same.
            _logger.exception("the shadow of request %s failed", copy.served)
            failure = of_status(500).reason
        self._record(copy, shadow, rows, outputs, watch.seconds, failure)

    def _record(
        self, copy: Copy, shadow: _Shadow, rows: Rows | None, outputs: bytes, seconds: float, failure: str | None
    ) -> None:
        model = shadow.model
        result = "answered" if failure is None else "failed"
        self._metrics.shadow_requests.labels(model.name, str(model.version), result).inc()
        self._metrics.shadow_seconds.labels(model.name, str(model.version)).observe(seconds)
        self._log.add(
            Answered(
                id=new_request_id(),
                model=model.name,
                version=model.version,
                variant="shadow",
                at=time.time(),
                n_rows=rows.n if rows else 0,
                latency_ms=1000 * seconds,
                rows=rows.content if rows else b"[]",
                columns=rows.names if rows else None,
                outputs=outputs,
                entity_keys=None if rows is None or rows.keys is None else self._encode(rows.keys),
                failure=failure,
                served_id=copy.served,
            )
        )


class Watch:
    """Measures what an answer takes of this machine, from now on.

    This process gets the processor after those that clients wait for, so on a busy machine its answers are late. That
    says nothing about the version, but it would end a release of a sound one. So the time that the process has used
    counts if it is the smaller one; it is larger where a model computes on several processors. The first step measures
    both versions in the same workers.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._used = time.process_time()

    @property
    def seconds(self) -> float:
        """Seconds that passed, or that the process has used, whichever are fewer."""
        return min(time.perf_counter() - self._began, time.process_time() - self._used)


def in_shadow(model: ModelState) -> bool:
    """Whether a release of a model is in the shadow."""
    return model.release is not None and model.release.stage == "shadow"


async def _run(shadow: Shadow, log: PredictionLog, inflow: Inflow, signs: int) -> None:
    log.start()
    shadow.follow()
    shadow.note_crash()
    inflow.start()
    look_at = beat_at = 0.0
    while not shadow.is_ending:
        now = time.monotonic()
        if now >= beat_at:
            beat_at = now + BEAT_SECONDS
            signal_life(signs, BEAT)
        if now >= look_at:
            look_at = now + LOOK_SECONDS
            if not shadow.follow():
                break
        await shadow.work()
    await log.close(CLOSE_SECONDS)
    # The interpreter would wait for a thread in which a model hangs.
    os._exit(0)


def main() -> None:
    """Answer copies until no release is in the shadow."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    assignment = msgspec.json.decode(sys.stdin.buffer.readline(), type=Assignment)
    settings = ServingSettings.model_validate(assignment.settings)
    configure_logging(settings.log_format or "json")
    metrics = Metrics()
    log = PredictionLog(
        partial(LogConnection, assignment.database_url, durable=False),
        "async",
        max_bytes=settings.log_queue_mb * 2**20,
        flush_seconds=settings.log_flush_ms / 1000,
        dropped=lambda rows: metrics.log_rows.labels("dropped").inc(rows),
    )
    reader = socket.socket(fileno=os.dup(assignment.copies))
    inflow = Inflow(reader, partial(_count_dropped, metrics))
    shadow = Shadow(settings, Path(assignment.instance), log, metrics, inflow)

    def end(*_: object) -> None:
        shadow.is_ending = True

    signal.signal(signal.SIGTERM, end)
    threading.Thread(target=end_with, args=(sys.stdin.fileno(),), daemon=True).start()
    asyncio.run(_run(shadow, log, inflow, assignment.signs))


def _count_dropped(metrics: Metrics, copy: Copy) -> None:
    # The version is not in the copy: the workers count their drops under the model's version, this process under none.
    metrics.shadow_requests.labels(copy.model, "", "dropped").inc()


if __name__ == "__main__":
    main()
