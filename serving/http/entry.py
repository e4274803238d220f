"""The ASGI entry of all requests: limits, access control, answer, access log and metrics.

It answers predictions itself, because the framework's routing would cost more than the model. All other requests go to
the FastAPI application.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from functools import partial
from typing import Any

import msgspec

from core.operate.browser_requests import names_this_machine
from serving.access.access import check_scope, origin
from serving.access.budget import MIN_BYTES, Budget, Place
from serving.access.callers import ANYONE, Caller
from serving.access.forwarded import Proxies
from serving.http.attempt import Attempt, attempt_of
from serving.http.exchange import Exchange, Scope, access_line
from serving.http.health import HEALTH, health_document
from serving.http.loaded import Loaded, Routing
from serving.http.service import Service
from serving.model.arrow import MEDIA_TYPE as ARROW
from serving.model.forms import Form
from serving.model.rows import Rows
from serving.model.served import ServedModel
from serving.problems import MEDIA_TYPE, Problem, of_status
from serving.routes import ACCESS, BUDGETS, EXEMPT, PREDICT, PREDICTIONS, WITH_BODY
from serving.telemetry.logs import AccessLog
from serving.telemetry.prediction_log import Answered

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]
_Answer = tuple[Loaded, Rows, list[Any], Answered]

_logger = logging.getLogger("perennial.entry")

_HOST = re.compile(rb"([A-Za-z0-9._~%!$&'()*+;=-]*|\[[0-9A-Fa-f:.]+\])(:\d*)?")

HOLD_SECONDS = 1.0
"""Delay before an overloaded worker refuses a request, so that clients that retry at once do not add to the load."""

DELIVERY_SECONDS = 5.0
"""Longest time that the body of a webhook delivery may take: its sender is not known before its last byte."""

MAX_INLINE_BODY = 256 * 1024
"""Largest body in bytes that is parsed on the event loop; it takes about a millisecond."""

ADMITTED = "perennial.admitted"
"""Key of an ASGI scope: the request, if it was read and admitted before."""

JSON = (b"content-type", b"application/json")
PROBLEM = (b"content-type", MEDIA_TYPE.encode())
CLOSE = (b"connection", b"close")


class Entry:
    """The ASGI application that the server calls.

    Parameters
    ----------
    service
        Models, limits, log and metrics.
    app
        Answers all requests except predictions.
    access_log
        Log of the requests.
    hook_body_kb
        Largest body of a webhook delivery in KiB; 0: deliveries are not accepted and their bodies not read.
    check_delivery
        Refuses a delivery by its headers and the client's address, before its body is read.
    """

    def __init__(
        self,
        service: Service,
        app: App,
        access_log: AccessLog,
        hook_body_kb: int = 0,
        check_delivery: Callable[[Sequence[tuple[bytes, bytes]], str], None] | None = None,
    ) -> None:
        self._service = service
        self._app = app
        self._access_log = access_log
        self._settings = service.settings
        self._is_open = service.settings.is_open
        self._max_body = service.settings.max_body_kb * 1024
        self._max_hook_body = hook_body_kb * 1024
        self._check_delivery = check_delivery
        self._encode = msgspec.json.Encoder().encode
        networks = self._settings.proxy_networks
        self._proxies = Proxies(networks, self._settings.proxy_header) if networks else None
        places = service.settings.max_concurrent_other
        self._budgets = {
            "labels": Budget(places, max(MIN_BYTES, 2 * self._max_body)),
            "hooks": Budget(places, max(MIN_BYTES, 2 * self._max_hook_body)),
            "pages": Budget(places),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = scope.get(ADMITTED) or self.exchange(scope)
        try:
            with self._service.work():
                await self._answer(exchange, scope, receive, send)
        finally:
            self.record(exchange)

    def exchange(self, scope: Scope) -> Exchange:
        """Return what a request's headers say."""
        exchange = Exchange(scope)
        if self._proxies is not None:
            exchange.client = self._proxies.client(exchange.client, scope["headers"])
        return exchange

    def admit_known(self, exchange: Exchange) -> bool:
        """Admit a request whose caller is known without waiting; False: the caller must be verified.

        Raises
        ------
        Problem
            The caller may not do this, or not this often.
        """
        _check_host(exchange)
        if self._admit_anyone(exchange):
            return True
        caller = self._service.access.known(exchange.authorization or b"")
        if caller is not None:
            self._accept(exchange, caller)
        return caller is not None

    def refused(self, client: str, problem: Problem) -> bytes:
        """Record a request that the server could not read, and return the document of its answer.

        Parameters
        ----------
        client
            Address of the client.
        problem
            Why it was not read.
        """
        exchange = Exchange({"method": "", "path": "", "client": (client, 0), "headers": ()})
        exchange.problem, exchange.detail, exchange.status = problem.kind, problem.detail, problem.status
        exchange.name()
        self.record(exchange)
        return problem.document(exchange.request_id)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._admit(exchange)
            if exchange.route in PREDICTIONS:
                kind, body = await self._placed_prediction(exchange, receive)
                await self._send(send, exchange, 200, kind, body)
                if exchange.after is not None:
                    exchange.after()
            else:
                await self._forward(exchange, scope, receive, send)
        except Problem as problem:
            await self._refuse(send, exchange, problem)
        except Exception:
            # The edge of the process: for every error, the client gets a problem document.
            _logger.exception("request %s failed", exchange.request_id or exchange.prediction)
            await self._refuse(send, exchange, of_status(500))

    async def _refuse(self, send: Send, exchange: Exchange, problem: Problem) -> None:
        exchange.fail(problem)
        body = problem.document(exchange.request_id, names_error=exchange.speaks_protocol)
        await self._send(send, exchange, problem.status, PROBLEM, body, problem.headers)

    async def _admit(self, exchange: Exchange) -> None:
        if exchange.caller is not None:
            return  # it was admitted on arrival
        _check_host(exchange)
        scope = ACCESS[exchange.route]
        if scope == "signature" or self._admit_anyone(exchange) or scope is None:
            return
        self._accept(exchange, await self._service.access.caller(exchange.authorization, exchange.client))

    def _admit_anyone(self, exchange: Exchange) -> bool:
        """Admit a request without credentials, if the service is open."""
        if not self._is_open or (exchange.authorization or b"").strip():
            return False
        exchange.caller = ANYONE
        # DNS rebinding guard: a web page in a local browser must not reach this port under its own host name.
        if not names_this_machine(exchange.host):
            raise Problem(
                "invalid-host",
                "without access control, the header Host must be localhost or a loopback address; turn on access "
                "control (PERENNIAL_SERVE_ACCESS=required) to use other names",
            )
        return True

    def _accept(self, exchange: Exchange, caller: Caller) -> None:
        exchange.caller = caller
        self._service.access.check_rate(caller)
        _check_scope(caller, ACCESS[exchange.route] or "", exchange.model_name)

    async def _placed_prediction(self, exchange: Exchange, receive: Receive) -> tuple[Header, bytes]:
        # Only requests with valid credentials come here, and only predictions: nothing else takes these places.
        with self._service.prediction():
            if self._service.n_predictions > self._settings.max_concurrent:
                await self._shed()
            return await self._predict(exchange, receive)

    async def _shed(self) -> None:
        self._service.held += 1
        try:
            await asyncio.sleep(HOLD_SECONDS)
        finally:
            self._service.held -= 1
        raise Problem("overloaded", "this worker has too many requests in progress; try again later", retry_after=1)

    async def _predict(self, exchange: Exchange, receive: Receive) -> tuple[Header, bytes]:
        if exchange.method != "POST":
            raise Problem("method-not-allowed", "predictions need the method POST", headers=((b"allow", b"POST"),))
        doing = "body-too-slow"
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                known = exchange.loaded = self._service.loaded(exchange.model_name)
                check_version(known, exchange.version)
                body = await self._body(exchange, receive, self._max_body)
                exchange.name_prediction()
                doing = "timeout"
                if known.routing is not None and not exchange.version:
                    loaded, rows, answers, answered = await self._released(exchange, known, known.routing, body)
                else:
                    loaded, rows, answers, answered = await self._asked(exchange, known, body)
                doing = "log-unavailable"
                await self._service.log.put(answered)
        except TimeoutError:
            raise too_slow(doing) from None
        return written(exchange, loaded, rows, answered, answers)

    async def _asked(self, exchange: Exchange, known: Loaded, body: bytes | bytearray) -> _Answer:
        rows = await _read(known.forms[exchange.form], body)
        loaded = exchange.loaded = await self._service.in_memory(exchange.model_name)
        if loaded is not known:  # it was loaded for this request, and may be another version
            check_version(loaded, exchange.version)
            rows = await _read(loaded.forms[exchange.form], body)
        answers = await loaded.model.answer(rows.values, rows.locate)
        exchange.n_rows = rows.n
        return loaded, rows, answers, self.answered(exchange, loaded.model, rows, answers)

    async def _released(
        self, exchange: Exchange, champion: Loaded, routing: Routing, body: bytes | bytearray
    ) -> _Answer:
        """Ask one version, or two, while a release runs."""
        # What the champion refuses is refused: a request in the share must be able to return to it.
        read = await _read(champion.forms[exchange.form], body) if routing.draws_share else None
        attempt = attempt_of(exchange, champion, routing, read)
        rows, answers, seconds = await self._attempted(attempt, body)
        loaded = exchange.loaded = attempt.asked
        exchange.n_rows = rows.n
        answered = self.answered(exchange, loaded.model, rows, answers)
        attempt.answered(self._service, answered, seconds)
        exchange.after = partial(attempt.copy, self._service, body)
        return loaded, rows, answers, answered

    async def _attempted(self, attempt: Attempt, body: bytes | bytearray) -> tuple[Rows, list[Any], float]:
        """Ask one version after the other; return the rows, the answers, and the seconds of the model.

        Raises
        ------
        Problem
            No version answered.
        """
        while True:
            rows = attempt.rows
            try:
                async with asyncio.timeout(self._seconds_for(attempt)):
                    rows = rows or await _read(attempt.asked.forms[attempt.exchange.form], body)
                    began = time.perf_counter()
                    answers = await attempt.asked.model.answer(rows.values, rows.locate)
                return rows, answers, time.perf_counter() - began
            except Problem as error:
                problem = error
            except TimeoutError:
                problem = too_slow("timeout")
            except Exception:
                # The other version answers, whatever happens in this one.
                _logger.exception("request %s failed", attempt.exchange.request_id or attempt.exchange.prediction)
                problem = of_status(500)
            if not attempt.fail(problem, rows):
                raise attempt.refused(self._service)

    def _seconds_for(self, attempt: Attempt) -> float | None:
        """Return the time that the asked version has."""
        exchange = attempt.exchange
        left = max(0.0, exchange.began + self._settings.timeout_seconds - time.perf_counter())
        if attempt.then is None:
            return left
        return attempt.routing.breaker.limit(left / 2)

    def answered(self, exchange: Exchange, model: ServedModel, rows: Rows, answers: list[Any]) -> Answered:
        """Return an answered request as the prediction log stores it.

        Parameters
        ----------
        exchange, model
            The request, and the version that answered it.
        rows, answers
            What was asked, and the answer to each row.
        """
        return Answered(
            id=exchange.prediction,
            model=model.name,
            version=model.version,
            variant=model.variant,
            at=time.time(),
            n_rows=rows.n,
            latency_ms=1000 * (time.perf_counter() - exchange.began),
            rows=rows.content,
            columns=rows.names,
            outputs=self._encode(answers),
            entity_keys=None if rows.keys is None else self._encode(rows.keys),
        )

    async def _body(self, exchange: Exchange, receive: Receive, most: int) -> bytes | bytearray:
        if not exchange.form and not exchange.is_json:
            others = f" or '{ARROW.decode()}'" if exchange.route == PREDICT.name else ""
            detail = f"expected the header 'Content-Type: application/json'{others}"
            raise Problem("unsupported-media-type", detail)
        announced = exchange.content_length
        if announced is not None and int(announced) > most:
            raise _too_large(most, exchange.route)
        message = await receive()
        body: bytes | bytearray = message.get("body", b"")
        while len(body) <= most:
            if not message.get("more_body", False):
                return body
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Problem("invalid-json", "the connection closed before the whole body was received")
            body = bytearray(body) if isinstance(body, bytes) else body
            body += message.get("body", b"")
        raise _too_large(most, exchange.route)

    async def _application_body(self, exchange: Exchange, receive: Receive, place: Place) -> bytes | bytearray:
        most, seconds = self._max_body, self._settings.timeout_seconds
        if exchange.route == "hook":
            most, seconds = self._max_hook_body, min(seconds, DELIVERY_SECONDS)
        try:
            async with place.waiting(seconds):
                return await self._body(exchange, _counted(receive, place), most) if most else b""
        except TimeoutError:
            raise too_slow("body-too-slow") from None

    async def _forward(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        if exchange.route == "other":
            # Only the entry decides on paths: the framework would match some paths differently, such as with a newline
            # at the end, after access was checked for another route.
            raise Problem("not-found", "this path does not exist; see /openapi.json for the paths of the service")
        if exchange.route in HEALTH and exchange.method == "GET":
            status, body = health_document(self._service, exchange.route)
            await self._send(send, exchange, status, JSON, body)
            return
        if exchange.route in EXEMPT:
            await self._apply(exchange, scope, receive, send)
            return
        if exchange.route == "hook" and exchange.method == "POST" and self._check_delivery is not None:
            self._check_delivery(scope["headers"], exchange.client)
        async with self._budgets[BUDGETS[exchange.route]].place(_sender(exchange)) as place:
            exchange.place = place
            if exchange.method == "POST" and exchange.route in WITH_BODY:
                receive = _replayed(await self._application_body(exchange, receive, place))
            await self._apply(exchange, scope, receive, send)

    async def _apply(self, exchange: Exchange, scope: Scope, receive: Receive, send: Send) -> None:
        exchange.name()
        scope["perennial.exchange"] = exchange

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A client that does not read its answer holds no place.
                exchange.end_work()
                exchange.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._own_headers(exchange)]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except Exception:
            # The edge of the process: the framework has already answered 500, and raises for the server's log.
            exchange.problem = "internal-error"
            _logger.exception("request %s failed", exchange.request_id)

    def headers(self, exchange: Exchange, kind: Header, body: bytes, further: Sequence[Header] = ()) -> list[Header]:
        """Return the headers of an answer; among them is "connection: close" while the worker drains.

        Parameters
        ----------
        exchange
            The request.
        kind
            Header with the content type.
        body, further
            Content of the answer, and headers of its problem.
        """
        return [kind, (b"content-length", b"%d" % len(body)), *self._own_headers(exchange), *further]

    def _own_headers(self, exchange: Exchange) -> list[Header]:
        exchange.name()
        own = [(b"x-request-id", exchange.request_id.encode())]
        if self._service.draining:
            own.append(CLOSE)
        return own

    async def _send(
        self,
        send: Send,
        exchange: Exchange,
        status: int,
        kind: Header,
        body: bytes,
        further: Sequence[Header] = (),
    ) -> None:
        exchange.status = status
        headers = self.headers(exchange, kind, body, further)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def record(self, exchange: Exchange) -> None:
        """Count an answered request, and write it to the access log."""
        seconds = time.perf_counter() - exchange.began
        metrics, loaded = self._service.metrics, exchange.loaded
        if loaded is not None:
            loaded.resident.used = exchange.began
        if loaded is not None and exchange.status == 200:
            loaded.metrics.requests_ok.inc()
            loaded.metrics.duration.observe(seconds)
        else:
            metrics.requests.labels(exchange.route, *exchange.labels, str(exchange.status)).inc()
            metrics.duration.labels(exchange.route, *exchange.labels).observe(seconds)
        if exchange.problem:
            metrics.errors.labels(exchange.problem, *exchange.labels).inc()
        if exchange.status >= 400 or exchange.route not in EXEMPT:
            self._access_log.add(access_line(exchange, seconds))


def _check_host(exchange: Exchange) -> None:
    if exchange.host is None or not _HOST.fullmatch(exchange.host):
        # A proxy may have decided by another of the hosts (RFC 9112, 3.2).
        raise Problem("invalid-host", "expected one header Host with a name or an address", headers=(CLOSE,))


def _check_scope(caller: Caller, scope: str, model: str) -> None:
    # A list of models needs the scope for at least one model, and contains only the caller's models.
    if model or scope == "operate" or not caller.may_somewhere(scope):
        check_scope(caller, scope, model or None)


async def _read(form: Form, body: bytes | bytearray) -> Rows:
    """Parse a body; a large one on a thread, so that other requests do not wait for it."""
    return form.read(body) if len(body) <= MAX_INLINE_BODY else await asyncio.to_thread(form.read, body)


def check_version(loaded: Loaded, version: str) -> None:
    """Refuse a request for another version than the one that is served; an empty one is whichever is.

    Raises
    ------
    Problem
        Another version is served.
    """
    if version and version != str(loaded.model.version):
        served = f"version {loaded.model.version} of {loaded.model.name!r} is served"
        raise Problem(
            "not-found", f"{served}, not version {version[:20]!r}; leave the version out to follow the champion"
        )


def written(
    exchange: Exchange, loaded: Loaded, rows: Rows, answered: Answered, answers: list[Any]
) -> tuple[Header, bytes]:
    """Count the answers to a request by their bins, and return content type and body of the answer.

    Parameters
    ----------
    exchange, loaded
        The request, and the model that answered it.
    rows, answered, answers
        What was asked, the log's row, and the answer to each row.
    """
    _count(loaded, answers)
    form = loaded.forms[exchange.form]
    return (b"content-type", form.content_type), form.write(rows, answered.id, answered.outputs, answers)


def _count(loaded: Loaded, answers: list[Any]) -> None:
    bins = loaded.metrics.bins
    if len(answers) == 1:
        bins[loaded.model.bin_of(answers[0])].inc()
        return
    counts = [0] * len(bins)
    for answer in answers:
        counts[loaded.model.bin_of(answer)] += 1
    for counter, count in zip(bins, counts, strict=True):
        if count:
            counter.inc(count)


def _replayed(body: bytes | bytearray) -> Receive:
    messages = [{"type": "http.request", "body": bytes(body), "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    return receive


def _counted(receive: Receive, place: Place) -> Receive:
    async def counted() -> Message:
        message = await receive()
        place.grow(len(message.get("body", b"")))
        return message

    return counted


def _sender(exchange: Exchange) -> str:
    caller = exchange.caller
    return caller.id if caller is not None and caller.id else origin(exchange.client)


def _too_large(most: int, route: str) -> Problem:
    advice = "" if route == "hook" else "; send fewer rows per request"
    detail = f"the body may have at most {most // 1024:,} KiB{advice}"
    return Problem("body-too-large", detail, headers=(CLOSE,))


def too_slow(doing: str) -> Problem:
    """Return the problem of a time that is over; ``doing``: the kind of problem."""
    details = {
        "body-too-slow": "the body did not arrive in time",
        "timeout": "the model did not answer in time; try fewer rows",
        "log-unavailable": "the prediction log was not written in time",
    }
    # The client may still be sending the rest of the body, so the connection is closed.
    headers = (CLOSE,) if doing == "body-too-slow" else ()
    return Problem(doing, details[doing], retry_after=1 if doing == "log-unavailable" else None, headers=headers)
