"""A short plan of a release, and the traffic that it observes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine

from store.releases.records import ReleaseState
from store.releases.releases import newest_release
from tests.e2e.stage import Stage

PLAN: dict[str, Any] = {
    "mode": "staged",
    "steps": [50, 100],
    "shadow": {"requests": 40, "hours": 1},
    "min_requests": 40,
    "bake_hours": 0,
    "look_seconds": 2,
    # With so few requests, little can be shown: that the share of failures did not rise by half.
    "guardrails": {"error_rate": 0.5, "latency_ratio": None, "prediction_psi": None, "performance_loss": None},
}


class Traffic:
    """Requests without end, and who answered them."""

    def __init__(self, stage: Stage, model: str) -> None:
        self._stage, self._model = stage, model
        self._body = stage.ask(f"/v1/models/{model}/example")
        self.variants: Counter[tuple[str, int]] = Counter()
        self.failures: list[str] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Ask until told to stop."""
        while not self._over.is_set():
            try:
                answer = self._stage.ask(f"/v1/models/{self._model}/predict", self._body)
            except (OSError, ValueError) as error:
                self.failures.append(repr(error))
            else:
                self.variants[answer["variant"], answer["version"]] += 1

    def stop(self) -> None:
        """Stop after the request in progress."""
        self._over.set()


@contextmanager
def traffic_on(stage: Stage, model: str) -> Iterator[Traffic]:
    """Ask for predictions of a model for the length of a block."""
    traffic = Traffic(stage, model)
    thread = threading.Thread(target=traffic.run)
    thread.start()
    try:
        yield traffic
    finally:
        traffic.stop()
        thread.join()


def ended_release(engine: Engine, model: str) -> ReleaseState | None:
    """Return the newest release of a model if it has ended."""
    found = newest_release(engine, model)
    return found if found is not None and found.is_over else None
