"""A request while a release runs: the versions that are asked of it, and what those that failed leave in the log."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import msgspec

from serving.http.exchange import Exchange
from serving.http.loaded import Loaded, Routing
from serving.http.service import Service
from serving.ids import new_request_id
from serving.model.rows import Rows
from serving.problems import Problem
from serving.telemetry.prediction_log import Answered

SERVER_ERROR = 500


@dataclass(slots=True)
class _Failure:
    """A version that did not answer, and the time until then since the request's headers."""

    version: Loaded
    problem: Problem
    rows: Rows | None
    seconds: float


@dataclass(slots=True)
class Attempt:
    """A request, and the versions that answer it: the first one, and the second one if the first fails.

    Parameters
    ----------
    exchange, routing, champion
        The request, the running release, and the champion, whose problem the client gets if no version answers.
    asked, then
        The version that is asked now; the one that is asked if it fails, None if there is none.
    read
        The rows as the champion reads them; None if they were not read by it.
    """

    exchange: Exchange
    routing: Routing
    champion: Loaded
    asked: Loaded
    then: Loaded | None
    read: Rows | None = None
    _failures: list[_Failure] = field(default_factory=list)

    @property
    def rows(self) -> Rows | None:
        """The rows as the version that is asked reads them; None if it has to read them."""
        return self.read if self.asked is self.champion else None

    def fail(self, problem: Problem, rows: Rows | None = None) -> bool:
        """Note that the asked version failed; return whether another one is asked now.

        Parameters
        ----------
        problem
            Why.
        rows
            What it was asked, if it could read that.
        """
        seconds = time.perf_counter() - self.exchange.began
        self._failures.append(_Failure(self.asked, problem, rows, seconds))
        if self.then is None:
            return False
        self.asked, self.then = self.then, None
        return True

    def answered(self, service: Service, answered: Answered, seconds: float) -> None:
        """Count the answer, and log the failure before it.

        Parameters
        ----------
        service
            Log and metrics.
        answered
            The answer; its latency becomes the one of the version that gave it.
        seconds
            Time of its model alone.
        """
        breaker, is_released = self.routing.breaker, self.routing.is_released(self.asked)
        if self._failures:
            answered.latency_ms -= 1000 * self._failures[-1].seconds
            self._log_failures(service, self._failures, answered)
        if not is_released:
            breaker.other_answered(seconds)
        elif not breaker.is_open:
            breaker.answered(seconds)
        for failure in self._failures:
            if self.routing.is_released(failure.version) and not breaker.is_open:
                breaker.failed(failure.problem.reason)

    def copy(self, service: Service, body: bytes | bytearray) -> None:
        """Send a copy of the answered request to the shadow, if the release is in it."""
        exchange = self.exchange
        service.send_copy(self.routing, self.champion.model.name, exchange.prediction, exchange.form, bytes(body))

    def refused(self, service: Service) -> Problem:
        """Return the problem for the client, the champion's, and log the failures if it is the service's own.

        A request that the champion refuses is the client's mistake, whatever the other version made of it.
        """
        problem = next((one.problem for one in self._failures if one.version is self.champion), None)
        problem = problem or self._failures[-1].problem
        self.exchange.loaded = self.champion
        if problem.status >= SERVER_ERROR:
            ours = [one for one in self._failures if one.problem.status >= SERVER_ERROR]
            self._log_failures(service, ours, None)
        return problem

    def _log_failures(self, service: Service, failures: list[_Failure], answered: Answered | None) -> None:
        for failure in failures:
            model = failure.version.model
            service.metrics.release_failures.labels(
                model.name, str(model.version), model.variant, failure.problem.kind
            ).inc()
            rows = failure.rows or self.read
            content, names, keys, n = _content(rows, answered)
            service.log.add(
                Answered(
                    id=new_request_id(),
                    model=model.name,
                    version=model.version,
                    variant=model.variant,
                    at=time.time(),
                    n_rows=n,
                    latency_ms=1000 * failure.seconds,
                    rows=content,
                    columns=names,
                    outputs=b"[]",
                    entity_keys=keys,
                    failure=failure.problem.reason,
                    served_id=answered.id if answered is not None else None,
                )
            )


def _content(rows: Rows | None, answered: Answered | None) -> tuple[bytes, bytes | None, bytes | None, int]:
    """Return rows, columns, keys and number of rows for the log, of the answered request if nothing else was read."""
    if rows is not None:
        keys = None if rows.keys is None else msgspec.json.encode(rows.keys)
        return rows.content, rows.names, keys, rows.n
    if answered is not None:
        return answered.rows, answered.columns, answered.entity_keys, answered.n_rows
    return b"[]", None, None, 0


def attempt_of(exchange: Exchange, champion: Loaded, routing: Routing, rows: Rows | None) -> Attempt:
    """Return who is asked: the champion's reading of the rows decides, where a share is drawn.

    Parameters
    ----------
    exchange, champion, routing
        The request, and the running release of its model.
    rows
        As the champion reads them; None while the release bakes, when no share is drawn.
    """
    exchange.name_prediction()
    if rows is None:
        first, second = routing.without_share(champion)
    else:
        first, second = routing.versions(champion, rows, exchange.request_id, exchange.prediction)
    exchange.loaded = first
    return Attempt(exchange, routing, champion, first, second, rows)
