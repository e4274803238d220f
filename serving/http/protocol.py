"""HTTP/1.1 on a connection: uvicorn's protocol over httptools, with bounds on all that a client sends.

The parser keeps the request line and each unfinished header itself, without a bound, and copies them for each block
that arrives. So bytes are counted before the parser gets them, in small slices, before their syntax is known: the bound
holds for what the parser accepts as much as for what it would refuse at the end.

A connection goes through: idle, head (request line and headers), body, answer; then idle again or, after the last
answer, *lingering*: the client can still send, everything is discarded, and so it can read the answer (RFC 9112, 9.6).
"""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from asyncio.events import TimerHandle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from serving.problems import MEDIA_TYPE, Problem

SLICE = 4096
"""Bytes that the parser gets at once: at most so many of the next requests are read while one is answered."""

TURN_SECONDS = 0.001
"""Maximum time that the bytes of one connection are parsed before the event loop does other work."""

MAX_TARGET = 8192
MAX_FIELDS = 200
"""Maximum number of headers: each takes about 200 bytes beside its text."""

CHUNK_EXCESS = 16 * 1024
CHUNK_CREDIT = 16
"""Bytes that a chunked body may take beyond its content (extensions, trailers): 16 KiB, and 16 per chunk.

References
----------
Go, ``net/http/internal/chunked.go``, after CVE-2023-39326.
"""

DRAINED = 256 * 1024
"""Largest unread body after which the connection stays open: the client sends the rest, which is discarded."""

LINGER_SECONDS = 10.0
LINGER_BYTES = 64 * 2**20
STALL_SECONDS = 30.0
STALL_BYTES = 16 * 1024
"""A client that reads less than this in ``STALL_SECONDS`` of an answer that waits for it is disconnected."""

Direct = Callable[[RequestResponseCycle], bool]
"""Takes a request over whose body has arrived; False: the application answers it."""

Refused = Callable[[str, Problem], bytes]
"""Records a request that cannot be read, by the client's address, and returns the document of the answer."""


@dataclass(frozen=True)
class Limits:
    """Bounds of a connection.

    Parameters
    ----------
    head_bytes
        Of a request line and its headers, as they are sent.
    head_seconds
        From the first byte of a request to the end of its headers.
    connections
        Of a worker; beyond it, the connection that has been idle for longest is closed.
    """

    head_bytes: int
    head_seconds: float
    connections: int


class _Reading(FlowControl):
    """Reading from a connection; it stays paused while received bytes wait to be parsed."""

    is_held = False

    def hold(self) -> None:
        """Read nothing until the bytes that wait are parsed."""
        self.pause_reading()
        self.is_held = True

    def release(self) -> None:
        """Read on."""
        self.is_held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        """Read on, if nothing waits."""
        if not self.is_held:
            super().resume_reading()


class _Answers:
    """The transport as an answer sees it: to close it is to linger."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, protocol: BoundedProtocol) -> None:
        self.write = protocol.transport.write
        self.is_closing = protocol.is_closing
        self.close = protocol.linger


class BoundedProtocol(HttpToolsProtocol):
    """A connection of a worker.

    Parameters
    ----------
    config, server_state, app_state, _loop
        As uvicorn gives them.
    """

    limits: Limits
    refused: Refused
    direct: Direct
    turns: deque[BoundedProtocol]
    """Connections of the worker whose bytes wait for their turn: one has it in each round of the event loop."""
    idle: dict[BoundedProtocol, None]
    """Connections of the worker without a request, the longest idle first."""
    flow: _Reading

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._unparsed = b""
        # Of the message that is being received:
        self._is_begun = False
        self._is_head = True
        self._excess = 0  # bytes since the last step that are not content of its body
        self._n_fields = 0
        self._length = 0  # of the rest of a body of known length
        self._is_chunked = False
        self._is_raw = False  # its body does not go through the parser
        self._keep_alive = False
        # Of the connection:
        self._active: RequestResponseCycle | None = None
        self._is_unstarted = False  # the answer begins with the end of the body, or of what has arrived of it
        self._failure: Problem | None = None
        self._is_deaf = False  # nothing more is parsed
        self._is_lingering = False
        self._is_half_closed = False
        self._is_ending = False
        self._discarded = 0
        self._deadline: TimerHandle | None = None
        self._stall: TimerHandle | None = None
        self._buffered = 0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time in which the first headers must arrive."""
        super().connection_made(transport)
        self.flow = _Reading(transport)
        self._answers = _Answers(self)
        self._set_deadline(self.limits.head_seconds, self._head_is_late)
        self.idle[self] = None
        if len(self.connections) > self.limits.connections:
            next(iter(self.idle)).transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers, and what is being answered."""
        self._is_deaf, self._unparsed = True, b""
        self.idle.pop(self, None)
        self.pipeline.clear()
        self._unset_deadline()
        self._unset_keepalive_if_required()
        self._unset_stall()
        if self._active is not None and not self._active.response_complete:
            self._active.disconnected = True
            self._active.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, or keep it while an answer is outstanding."""
        self._unset_keepalive_if_required()
        if self._is_lingering:
            self._discard(len(data))
        elif self._unparsed:
            self._unparsed += data
        elif not self._is_deaf:
            self._parse(data)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection of a client that has sent its requests and waits for the answers."""
        self._is_half_closed = True
        self.flow.is_held = True
        return not self._is_lingering and (bool(self._unparsed) or self._owes_answer)

    def pause_writing(self) -> None:
        """Start the time in which the client must read."""
        super().pause_writing()
        self._buffered = self.transport.get_write_buffer_size()
        self._stall = self.loop.call_later(STALL_SECONDS, self._check_stall)

    def resume_writing(self) -> None:
        """Stop the time, and go on with the next request: the client has read the answers before it."""
        self._unset_stall()
        super().resume_writing()
        self._advance()

    def shutdown(self) -> None:
        """Close the connection, after the answer if one is outstanding."""
        self._is_ending, self._keep_alive = True, False
        if self._is_lingering:
            self.transport.close()
        else:
            super().shutdown()

    def is_closing(self) -> bool:
        """Whether nothing more is sent."""
        return self._is_lingering or self.transport.is_closing()

    def _check_stall(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left > self._buffered - STALL_BYTES:
            self.transport.abort()
            return
        self._buffered = left
        self._stall = self.loop.call_later(STALL_SECONDS, self._check_stall)

    def _unset_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    # From bytes to requests

    @property
    def _owes_answer(self) -> bool:
        """Whether a request has arrived and is not answered."""
        active = self._active
        return bool(self.pipeline) or (active is not None and not active.response_complete and not active.more_body)

    def _parse(self, data: bytes) -> None:
        n = self._next(len(data))
        if n == len(data):
            self._feed(data)
        else:
            self._parse_slices(memoryview(data), n)
        if self._is_unstarted:
            self._start()
        if not self._is_deaf:
            self._await()

    def _parse_slices(self, rest: memoryview, n: int) -> None:
        until = time.perf_counter() + TURN_SECONDS
        while rest and not self._is_deaf:
            if self.pipeline or time.perf_counter() > until:
                self._hold(bytes(rest))
                return
            self._feed(rest[:n])
            rest = rest[n:]
            n = self._next(len(rest))

    def _next(self, n: int) -> int:
        """Return how many of the next bytes the parser may get: 0 where a bound is reached."""
        if self._length and not self._is_head:
            return min(n, self._length)
        bound = self.limits.head_bytes if self._is_head else CHUNK_EXCESS
        return min(n, SLICE, bound - self._excess)

    def _feed(self, data: bytes | memoryview) -> None:
        if not data:
            self._refuse(self._too_long())
        elif self._is_raw:
            self._feed_raw(bytes(data))
        else:
            self._excess += len(data)
            self._feed_parser(data)
            self._excess = max(0, self._excess)

    def _feed_parser(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # What follows the headers belongs to the other protocol for the parser; it is the body of this request.
            self._feed_raw(bytes(data[upgrade.args[0] :]))
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Problem) else _invalid("expected a request of HTTP/1.1"))

    def _feed_raw(self, data: bytes) -> None:
        if self._is_raw:
            self.on_body(data[: self._length])
            if not self._length:
                self._is_raw = False
                self._message_is_complete()

    def _hold(self, data: bytes) -> None:
        """Keep bytes until the requests before them are answered, or other connections have had their turn."""
        self._unparsed = data
        self.flow.hold()
        if not self.pipeline:
            self._queue()

    def _queue(self) -> None:
        self.turns.append(self)
        if len(self.turns) == 1:
            self.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        self.turns[0]._go_on()
        self.turns.popleft()
        if self.turns:
            self.loop.call_soon(self._take_turn)

    def _go_on(self) -> None:
        data, self._unparsed = self._unparsed, b""
        if self._is_deaf or self.transport.is_closing():
            return
        self._parse(data)
        if self._unparsed or self._is_deaf:
            return
        if not self._is_half_closed:
            self.flow.release()
        elif not self._owes_answer:
            self.transport.close()

    def _too_long(self) -> Problem:
        if not self._is_head:
            return _invalid("chunk extensions and trailers may have at most 16 KiB in excess of the content")
        return _headers_too_large(self.limits.head_bytes)

    # Calls of the parser

    def on_message_begin(self) -> None:
        """Begin a request."""
        if self._is_deaf:
            raise _invalid("expected no request after the last one")
        super().on_message_begin()
        self._is_begun = True
        self._n_fields = 0

    def on_url(self, url: bytes) -> None:
        """Note a part of the request target."""
        self.url += url
        if len(self.url) > MAX_TARGET:
            raise Problem("target-too-long", f"the request target may have at most {MAX_TARGET:,} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; trailers are ignored, because they were not there when access was checked."""
        self._n_fields += 1
        if self._n_fields > MAX_FIELDS:
            raise _headers_too_large(self.limits.head_bytes)
        if not self._is_head:
            return
        name = name.lower()
        if name == b"content-length":
            self._length = int(value)
        elif name == b"transfer-encoding":
            if self._is_chunked or value.strip(b" \t").lower() != b"chunked":
                raise _invalid("expected no transfer coding but chunked")
            self._is_chunked = True
        elif name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Start the answer, or queue it behind the ones before."""
        self._unset_deadline()
        self.idle.pop(self, None)
        self._read_target()
        parser = self.parser
        upgrades = parser.should_upgrade()
        self._keep_alive = parser.should_keep_alive() and self.scope["http_version"] == "1.1" and not upgrades
        if upgrades and self._is_chunked:
            raise _invalid("a request with the header Upgrade may have no body in chunks")
        self._is_raw = upgrades and self._length > 0
        self._is_begun, self._is_head, self._excess = False, False, 0
        self._answer_next()

    def on_body(self, body: bytes) -> None:
        """Pass a part of the body on."""
        self._excess -= len(body)
        if self._length:
            self._length -= len(body)
        cycle = self.cycle
        if cycle.response_complete:
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_chunk_header(self) -> None:
        """Allow for the line of a chunk."""
        self._excess -= CHUNK_CREDIT

    def on_message_complete(self) -> None:
        """Note the end of a request."""
        if not self._is_raw:
            self._message_is_complete()

    def _message_is_complete(self) -> None:
        self._is_head, self._is_chunked, self._length, self._excess = True, False, 0, 0
        cycle = self.cycle
        if not cycle.response_started:
            cycle.keep_alive = self._keep_alive
        if not cycle.keep_alive:
            self._is_deaf = True
            self.flow.hold()
        if cycle.response_complete:
            self._unset_deadline()
        else:
            cycle.more_body = False
            cycle.message_event.set()
        if self._is_unstarted and self.direct(cycle):
            self._is_unstarted = False
        elif self._is_unstarted:
            self._start()

    def _read_target(self) -> None:
        scope = self.scope
        version, method = self.parser.get_http_version(), self.parser.get_method().decode("ascii")
        if version not in ("1.0", "1.1"):
            raise _invalid("expected HTTP/1.1 or HTTP/1.0")
        target = httptools.parse_url(self.url)
        if target.path is None:
            raise _invalid("expected a path as the request target")
        if target.host is not None:
            self._replace_host(target)
        path = target.path.decode("ascii")
        scope["http_version"], scope["method"] = version, method
        scope["path"] = urllib.parse.unquote(path) if "%" in path else path
        scope["raw_path"], scope["query_string"] = target.path, target.query or b""

    def _replace_host(self, target: Any) -> None:
        """Take the host from a target such as ``http://host/path``; the header Host is ignored (RFC 9112, 3.2.2)."""
        given = [value for name, value in self.headers if name == b"host"]
        if target.userinfo is not None or len(given) > 1:
            raise _invalid("expected one host, without a user")
        if not given and self.parser.get_http_version() == "1.1":
            return  # the header is required all the same
        host = b"[%b]" % target.host if b":" in target.host else target.host
        host += b":%d" % target.port if target.port else b""
        self.headers[:] = [(b"host", host), *(one for one in self.headers if one[0] != b"host")]

    # Answers

    def _answer_next(self) -> None:
        before = self.cycle
        # An answer that comes before the end of a long body closes the connection, so that the rest is not read.
        is_long = self._is_chunked or self._length > DRAINED
        self.cycle = RequestResponseCycle(
            scope=self.scope,
            transport=self._answers,  # type: ignore[arg-type] # what it uses of the transport
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self._keep_alive and not is_long,
            on_response=self.on_response_complete,
        )
        if (before is None or before.response_complete) and not self.flow.write_paused:
            self._active, self._is_unstarted = self.cycle, True
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _start(self) -> None:
        """Let the application answer the request that has begun to arrive."""
        self._is_unstarted = False
        self._start_asgi_task(self.cycle, self.app)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._active = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for it."""
        self.server_state.total_requests += 1
        self._advance()

    def _advance(self) -> None:
        if self.is_closing() or (self._active is not None and not self._active.response_complete):
            return
        # A request whose client has not read the answers before would wait for it in the place of another.
        if self.flow.write_paused:
            return
        if self.pipeline:
            self._start_waiting()
        elif self._failure is not None:
            self._fail(self._failure)
        elif self._unparsed:
            self._queue()
        elif self._is_half_closed:
            self.transport.close()
        else:
            self.flow.resume_reading()
            self._await()

    def _start_waiting(self) -> None:
        cycle, app = self.pipeline.pop()
        self._start_asgi_task(cycle, app)
        if self.pipeline:
            return
        if self._unparsed:
            self._queue()
        elif self._is_half_closed and cycle.more_body:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer what cannot be read, after the answers to the requests before it, and read no more."""
        if self._is_deaf:
            return
        self._is_deaf = True
        self.flow.hold()
        self._unset_deadline()
        if self._is_head:
            self._fail_in_turn(problem)
        elif self.pipeline:
            self.pipeline.popleft()
            self._fail_in_turn(problem)
        elif self.cycle.response_complete:
            self.linger()
        elif self.cycle.response_started:
            self.cycle.keep_alive = False
        else:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self._fail(problem)

    def _fail_in_turn(self, problem: Problem) -> None:
        if self.pipeline or (self._active is not None and not self._active.response_complete):
            self._failure = problem
        else:
            self._fail(problem)

    def _fail(self, problem: Problem) -> None:
        document = self.refused(self.client[0] if self.client else "", problem)
        headers = [*self.server_state.default_headers, (b"content-type", MEDIA_TYPE.encode())]
        headers += [(b"content-length", b"%d" % len(document)), (b"connection", b"close"), *problem.headers]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(b"%b%b\r\n%b" % (STATUS_LINE[problem.status], lines, document))
        self.linger()

    # The end, and times

    def linger(self) -> None:
        """Close the sending side and discard what the client still sends, so that it can read the last answer."""
        if self.is_closing():
            return
        self._is_deaf = self._is_lingering = True
        self._unparsed = b""
        self.pipeline.clear()
        self._unset_keepalive_if_required()
        if self._is_half_closed or (self._is_ending and self._is_head):
            self.transport.close()
            return
        self.idle[self] = None
        self.transport.write_eof()
        self.flow.release()
        self._buffered = self.transport.get_write_buffer_size()
        self._set_deadline(LINGER_SECONDS, self._stop_lingering)

    def _discard(self, n: int) -> None:
        self._discarded += n
        if self._discarded > LINGER_BYTES:
            self.transport.abort()

    def _stop_lingering(self) -> None:
        left = self.transport.get_write_buffer_size()
        if not 0 < left < self._buffered:
            self.transport.abort()
            return
        self._buffered = left
        self._set_deadline(LINGER_SECONDS, self._stop_lingering)

    def _await(self) -> None:
        """Limit the time in which the client must send what comes next; a request in progress has its own limit."""
        if self._deadline is not None or (self.cycle is not None and not self.cycle.response_complete):
            return
        self.idle[self] = None
        if not self._is_head:
            self._set_deadline(LINGER_SECONDS, self.linger)
        elif self._is_begun or self._excess:
            self._set_deadline(self.limits.head_seconds, self._head_is_late)
        elif self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _head_is_late(self) -> None:
        if self._is_begun or self._excess:
            self._refuse(Problem("headers-too-slow", f"the headers took more than {self.limits.head_seconds:g} s"))
        else:
            self.transport.close()

    def _set_deadline(self, seconds: float, call: Callable[[], None]) -> None:
        self._unset_deadline()
        self._deadline = self.loop.call_later(seconds, call)

    def _unset_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def bounded_protocol(limits: Limits, refused: Refused, direct: Direct = lambda _cycle: False) -> type[BoundedProtocol]:
    """Return the class of a worker's connections.

    Parameters
    ----------
    limits
        Bounds of a connection.
    refused
        Called for each request that cannot be read.
    direct
        Called for each request whose body has arrived with its headers.
    """
    shared = {
        "limits": limits,
        "refused": staticmethod(refused),
        "direct": staticmethod(direct),
        "turns": deque(),
        "idle": {},
    }
    return type("WorkerProtocol", (BoundedProtocol,), shared)


def _invalid(detail: str) -> Problem:
    return Problem("invalid-http", detail)


def _headers_too_large(most: int) -> Problem:
    detail = f"the request line and headers may have at most {most // 1024:,} KiB and {MAX_FIELDS} headers"
    return Problem("headers-too-large", detail)
