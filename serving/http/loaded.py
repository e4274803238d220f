"""A served model in a worker, and who answers its requests while a release runs."""

from __future__ import annotations

import time

from core.release.routing import entity_of, goes_to_challenger
from serving.instance.state import ModelState, ReleasedState
from serving.model.forms import forms_of
from serving.model.residents import Resident
from serving.model.rows import Rows
from serving.model.served import ServedModel
from serving.release.breaker import Breaker
from serving.telemetry.metrics import ModelMetrics


class Loaded:
    """A served model with its tenure, its metrics, the forms of its requests and answers, and its place in memory.

    Parameters
    ----------
    model, state, metrics
        The version.
    seconds
        Time that its load took.

    Attributes
    ----------
    routing
        Who answers while a release runs; None: this version answers every request.
    before
        Of a version that lies outside the memory: the version before it, which is served if its own does not load.
    """

    __slots__ = ("before", "forms", "metrics", "model", "resident", "retry_at", "routing", "state")

    def __init__(self, model: ServedModel, state: ModelState, metrics: ModelMetrics, seconds: float = 0.0) -> None:
        self.model = model
        self.state = state
        self.metrics = metrics
        self.forms = forms_of(model)
        now = time.perf_counter()
        self.resident = Resident(model.size, since=now, took=seconds, used=now)
        self.retry_at = 0.0
        self.routing: Routing | None = None
        self.before: ModelState | None = None


class Routing:
    """Which of two versions answers, while a release of a model runs.

    Parameters
    ----------
    state
        The release.
    other
        The version beside the champion, loaded and warm; None: it is not loaded, and the champion answers all requests.
    breaker
        Of the released version: of ``other``, or of the champion while the release bakes.
    """

    __slots__ = ("breaker", "other", "state")

    def __init__(self, state: ReleasedState, other: Loaded | None, breaker: Breaker) -> None:
        self.state = state
        self.other = other
        self.breaker = breaker

    def versions(self, champion: Loaded, rows: Rows, request_id: str, prediction: str) -> tuple[Loaded, Loaded | None]:
        """Return the version that is asked, and the one that is asked if it fails.

        Parameters
        ----------
        champion
            The champion.
        rows
            What is asked, as the champion reads it.
        request_id, prediction
            The client's id of the request, empty if it sent none; and the id of the first prediction.
        """
        other, state = self.other, self.state
        if not self.draws_share or other is None:
            return self.without_share(champion)
        if not goes_to_challenger(state.salt, subject_of(rows, request_id, prediction), state.share):
            return champion, None
        return other, champion

    def without_share(self, champion: Loaded) -> tuple[Loaded, Loaded | None]:
        """Return the versions where no share is drawn, see :meth:`versions`."""
        if self.other is None or self.state.stage != "bake":
            return champion, None
        return (self.other, champion) if self.breaker.is_open else (champion, self.other)

    @property
    def draws_share(self) -> bool:
        """Whether the subject of a request decides who answers."""
        return self.state.stage == "step" and self.other is not None and not self.breaker.is_open

    def is_released(self, found: Loaded) -> bool:
        """Whether a version is the one that is released."""
        return (found is self.other) != (self.state.stage == "bake")


def subject_of(rows: Rows, request_id: str, prediction: str) -> str:
    """Return what the share is drawn by: the entity's key, else the client's id of the request, else the prediction's.

    A request of several entities has no key: its rows are answered by one version.
    """
    entity = entity_of(rows.keys)
    return entity if entity is not None else request_id or prediction
