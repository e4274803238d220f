"""Predictions that need not wait for anything, answered without a task of their own.

Requests that arrive in one turn of the event loop go through the model together. A request comes here with its whole
body, if its caller is known and its model is fast; every other one goes the usual way, see :mod:`serving.http.entry`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from asyncio.events import TimerHandle
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from serving.http.attempt import Attempt, attempt_of
from serving.http.entry import ADMITTED, CLOSE, PROBLEM, Entry, Header, check_version, too_slow, written
from serving.http.exchange import Exchange, Scope
from serving.http.loaded import Loaded, Routing
from serving.http.service import Service
from serving.model.rows import Rows
from serving.problems import Problem, of_status
from serving.routes import PREDICTIONS
from serving.telemetry.prediction_log import Answered

_logger = logging.getLogger("perennial.direct")

MAX_BODY = 64 * 1024
"""Largest body in bytes that is parsed at once, so that other connections wait for a millisecond at most."""

CHECK_SECONDS = 0.5
"""Interval at which requests that wait for the prediction log are checked for their time-out."""


@dataclass(slots=True)
class _Request:
    """A prediction that was read: its connection's state, model and rows; while a release runs, who else is asked."""

    cycle: RequestResponseCycle
    exchange: Exchange
    loaded: Loaded
    rows: Rows
    attempt: Attempt | None = None


class DirectPredictions:
    """Answers predictions as the server reads them.

    Parameters
    ----------
    service
        Models, limits and log.
    entry
        Admits and records the requests.
    """

    def __init__(self, service: Service, entry: Entry) -> None:
        self._service = service
        self._entry = entry
        self._max_body = min(MAX_BODY, service.settings.max_body_kb * 1024)
        self._read: list[_Request] = []
        self._logging: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._check: TimerHandle | None = None
        self.n_open = 0
        """Requests in progress."""

    def take(self, cycle: RequestResponseCycle) -> bool:
        """Take a request over whose body has arrived; False: it goes the usual way.

        Parameters
        ----------
        cycle
            The server's state of the request.
        """
        # Of uvicorn, a typed dictionary; of ASGI, a mapping.
        scope, service = cast("Scope", cycle.scope), self._service
        if scope["method"] != "POST" or len(cycle.body) > self._max_body or service.draining:
            return False
        exchange = self._entry.exchange(scope)
        loaded = service.models.get(exchange.model_name)
        if exchange.route not in PREDICTIONS or loaded is None or exchange.form not in loaded.forms:
            return False
        if service.n_predictions >= service.settings.max_concurrent:
            return False
        self.n_open += 1
        with self._refusing(cycle, exchange):
            if not self._begin(cycle, exchange, loaded):
                self.n_open -= 1
                return False
        return True

    @contextmanager
    def _refusing(self, cycle: RequestResponseCycle, exchange: Exchange) -> Iterator[None]:
        """Answer a request with the problem that its work ends in."""
        try:
            yield
        except Problem as problem:
            self._refuse(cycle, exchange, problem)
        except Exception:
            # The edge of the event loop: every request gets an answer, and gives its place back.
            _logger.exception("request %s failed", exchange.request_id or exchange.prediction)
            self._refuse(cycle, exchange, of_status(500))

    def _begin(self, cycle: RequestResponseCycle, exchange: Exchange, loaded: Loaded) -> bool:
        if not self._entry.admit_known(exchange):
            return False
        exchange.loaded = loaded
        check_version(loaded, exchange.version)
        if loaded.routing is not None and not exchange.version:
            request = _routed(cycle, exchange, loaded, loaded.routing)
        else:
            rows = loaded.forms[exchange.form].read(cycle.body)
            request = None if rows.n > loaded.model.max_inline_rows else _Request(cycle, exchange, loaded, rows)
        if request is None:
            cast("Scope", cycle.scope)[ADMITTED] = exchange
            return False
        self._read.append(request)
        if len(self._read) == 1:
            asyncio.get_running_loop().call_soon(self._answer_all)
        return True

    def _answer_all(self) -> None:
        requests, self._read = self._read, []
        for together in _parts(requests):
            self._answer(together)

    def _answer(self, requests: Sequence[_Request]) -> None:
        model, began = requests[0].loaded.model, time.perf_counter()
        try:
            values = [row for request in requests for row in request.rows.values]
            # Together, a problem only shows that one of them has it.
            answers = model.answer_inline(values, requests[0].rows.locate)
        except Problem as problem:
            self._answer_apart(requests, problem)
            return
        except Exception:
            # As above.
            _logger.exception("%d requests failed together", len(requests))
            self._answer_apart(requests, of_status(500))
            return
        start, seconds = 0, time.perf_counter() - began
        for request in requests:
            self._log(request, answers[start : start + request.rows.n], seconds)
            start += request.rows.n

    def _answer_apart(self, requests: Sequence[_Request], problem: Problem) -> None:
        """Find out whose problem it is."""
        if len(requests) == 1:
            self._fail(requests[0], problem)
            return
        for request in requests:
            self._answer([request])

    def _fail(self, request: _Request, problem: Problem) -> None:
        """Ask another version while a release runs, or refuse the request."""
        attempt, exchange = request.attempt, request.exchange
        if attempt is None:
            self._refuse(request.cycle, exchange, problem)
        elif not attempt.fail(problem, request.rows):
            self._refuse(request.cycle, exchange, attempt.refused(self._service))
        else:
            request.loaded = exchange.loaded = attempt.asked
            try:
                request.rows = attempt.rows or request.loaded.forms[exchange.form].read(request.cycle.body)
            except Problem as other:
                self._fail(request, other)
            else:
                self._answer([request])

    def _log(self, request: _Request, answers: list[Any], seconds: float) -> None:
        exchange = request.exchange
        exchange.name_prediction()
        exchange.n_rows = request.rows.n
        with self._refusing(request.cycle, exchange):
            answered = self._entry.answered(exchange, request.loaded.model, request.rows, answers)
            if request.attempt is not None:
                request.attempt.answered(self._service, answered, seconds)
            durable = self._service.log.queue(answered)
            if durable is None:
                self._send_answers(request, answered, answers)
            else:
                durable.add_done_callback(partial(self._logged, request, answered, answers))
                self._limit(durable)

    def _logged(self, request: _Request, answered: Answered, answers: list[Any], durable: asyncio.Future[None]) -> None:
        with self._refusing(request.cycle, request.exchange):
            if durable.cancelled():
                raise too_slow("log-unavailable")
            durable.result()
            self._send_answers(request, answered, answers)

    def _limit(self, durable: asyncio.Future[None]) -> None:
        """Cancel the wait when the request's time is over."""
        loop = durable.get_loop()
        while self._logging and self._logging[0][1].done():
            self._logging.popleft()
        self._logging.append((loop.time() + self._service.settings.timeout_seconds, durable))
        if self._check is None:
            self._check = loop.call_later(CHECK_SECONDS, self._cancel_late)

    def _cancel_late(self) -> None:
        loop, self._check = asyncio.get_running_loop(), None
        while self._logging and (self._logging[0][1].done() or self._logging[0][0] < loop.time()):
            self._logging.popleft()[1].cancel()
        if self._logging:
            self._check = loop.call_later(CHECK_SECONDS, self._cancel_late)

    def _send_answers(self, request: _Request, answered: Answered, answers: list[Any]) -> None:
        kind, body = written(request.exchange, request.loaded, request.rows, answered, answers)
        self._send(request.cycle, request.exchange, 200, kind, body)
        if request.attempt is not None:
            request.attempt.copy(self._service, request.cycle.body)

    def _refuse(self, cycle: RequestResponseCycle, exchange: Exchange, problem: Problem) -> None:
        exchange.fail(problem)
        body = problem.document(exchange.request_id, names_error=exchange.speaks_protocol)
        self._send(cycle, exchange, problem.status, PROBLEM, body, problem.headers)

    def _send(
        self,
        cycle: RequestResponseCycle,
        exchange: Exchange,
        status: int,
        kind: Header,
        body: bytes,
        further: Sequence[Header] = (),
    ) -> None:
        self.n_open -= 1
        exchange.status = status
        headers = self._entry.headers(exchange, kind, body, further)
        self._entry.record(exchange)
        if cycle.disconnected:
            return
        if CLOSE in headers:
            cycle.keep_alive = False
        elif not cycle.keep_alive:
            headers.append(CLOSE)
        cycle.response_started = cycle.response_complete = True
        lines = [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
        cycle.transport.write(b"".join((STATUS_LINE[status], *lines, b"\r\n", body)))
        if not cycle.keep_alive:
            cycle.transport.close()
        cycle.on_response()


def _routed(cycle: RequestResponseCycle, exchange: Exchange, champion: Loaded, routing: Routing) -> _Request | None:
    """Return a request while a release runs; None: it goes the usual way, which is for everything out of the order."""
    body, form = cycle.body, exchange.form
    try:
        read = champion.forms[form].read(body)
        attempt = attempt_of(exchange, champion, routing, read)
        rows = read if attempt.asked is champion else attempt.asked.forms[form].read(body)
    except Problem:
        return None
    versions = (attempt.asked,) if attempt.then is None else (attempt.asked, attempt.then)
    if rows.n > min(version.model.max_inline_rows for version in versions):
        return None
    return _Request(cycle, exchange, attempt.asked, rows, attempt)


def _parts(requests: Sequence[_Request]) -> Iterator[list[_Request]]:
    """Yield requests that go through a model together: of one version, with no more rows than it answers at once."""
    waiting = list(requests)
    while waiting:
        loaded, n_rows = waiting[0].loaded, 0
        part: list[_Request] = []
        others: list[_Request] = []
        for request in waiting:
            fits = request.loaded is loaded and n_rows + request.rows.n <= loaded.model.max_inline_rows
            (part if fits else others).append(request)
            n_rows += request.rows.n if fits else 0
        yield part
        waiting = others
