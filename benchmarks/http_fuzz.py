"""Valid and invalid HTTP requests from a grammar, sent to the service at its socket.

Run ``python -m benchmarks.http_fuzz``: 10,000 requests; ``--requests`` and ``--seed`` change that. A connection sends
one to four requests that follow the grammar with a few deviations, cut at any place, and closes its sending side. Of
each connection must hold:

- it ends in time, and each answer on it is well-formed, below 500, and a problem document where it is 400 or more;
- the answered requests are the first of those that a strict parser of its own (h11) reads from the same bytes, so that
  nothing within a body or a header is answered as a request.

Meanwhile a good request is answered in time, and the log of the service has no error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h11

from tests.factories import make_project
from tests.serving.service_processes import bodies, crown, register_version, serving

HOST = "127.0.0.1"
ANSWER_SECONDS = 30.0
CONNECTIONS = 8
GOOD_EVERY = 100
"""Streams after which a good request is sent."""

_STATUS = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]*")
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~]*)")

Choices = Sequence[tuple[float, bytes]]


@dataclass(frozen=True)
class Stream:
    """What one connection sends.

    Parameters
    ----------
    blocks
        Its bytes as they are written.
    n_requests
        Requests that were put in, right or wrong.
    """

    blocks: tuple[bytes, ...]
    n_requests: int

    @property
    def content(self) -> bytes:
        """All bytes."""
        return b"".join(self.blocks)


@dataclass
class Found:
    """What came of the streams.

    Parameters
    ----------
    n_requests, n_streams
        Sent.
    statuses
        Of the answers.
    failures
        What should not be, with the stream.
    good_seconds
        Time of each good request in between.
    """

    n_requests: int = 0
    n_streams: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[tuple[str, bytes]] = field(default_factory=list)
    good_seconds: list[float] = field(default_factory=list)


# The grammar: each part is right most of the time

_METHODS: Choices = (
    (50, b"GET"), (40, b"POST"), (2, b"PUT"), (2, b"DELETE"), (2, b"OPTIONS"), (1, b"get"), (1, b"CONNECT"),
    (1, b"PRI"), (1, b"TRACE"), (1, b"BREW"), (1, b""), (1, b"G ET"), (1, b"GET\x00"), (1, b"A" * 5000),
)  # fmt: skip
_TARGETS: Choices = (
    (40, b"/v1/models/credit/predict"), (15, b"/health/live"), (10, b"/v1/models"), (5, b"/v1/models/credit/labels"),
    (5, b"/metrics"), (5, b"/v1/models/%63redit"), (3, b"/v1/hooks/credit/retrain"), (3, b"/?a=1&b=%ff#c"),
    (2, b"http://localhost/health/live"), (2, b"http://other.example/v1/models"), (1, b"http://a@localhost/"),
    (1, b"*"), (1, b"localhost:80"), (1, b""), (1, b"//"), (1, b"/../../etc/passwd"), (1, b"/%00%0d%0a"),
    (1, b"/\xff"),
    (1, b"/a b"), (1, b"/" + b"a" * 9000), (1, b"/\x7f"), (1, b"/a\rb"), (1, b"/a\nb"), (1, b"/%"), (1, b"?"),
)  # fmt: skip
_VERSIONS: Choices = (
    (100, b"HTTP/1.1"), (5, b"HTTP/1.0"), (1, b"HTTP/0.9"), (1, b"HTTP/2.0"), (1, b"HTTP/1.2"), (1, b"HTTP/1."),
    (1, b"http/1.1"), (1, b""), (1, b"HTTP/1.1 x"), (1, b"HTTP/11"), (1, b"HTTP/1.1\x00"),
)  # fmt: skip
_ENDS: Choices = ((300, b"\r\n"), (1, b"\n"), (1, b"\r"), (1, b"\r\r\n"), (1, b"\n\r"), (1, b"\x00\r\n"))
_HOSTS: Choices = (
    (100, b"host: localhost\r\n"), (3, b""), (2, b"host: localhost\r\nhost: localhost\r\n"), (1, b"host:\r\n"),
    (1, b"Host: localhost\r\nhOST: other.example\r\n"), (1, b"host: localhost, other.example\r\n"),
    (1, b"host : localhost\r\n"), (1, b" host: localhost\r\n"), (1, b"host: local\x00host\r\n"),
    (1, b"host: a@b\r\n"),
)  # fmt: skip
_OTHERS: Choices = (
    (20, b"accept: */*\r\n"), (10, b"connection: keep-alive\r\n"), (5, b"connection: close\r\n"),
    (5, b"expect: 100-continue\r\n"), (5, b"authorization: Bearer pk_x\r\n"),
    (3, b"upgrade: h2c\r\nconnection: upgrade\r\n"),
    (2, b"x: a\r\n b\r\n"), (2, b"x-long: " + b"a" * 20_000 + b"\r\n"), (1, b"x-long: " + b"a" * 70_000 + b"\r\n"),
    (2, b"a:\r\n" * 50), (1, b"a:\r\n" * 300), (1, b": empty\r\n"), (1, b"no colon\r\n"), (1, b"x: \xff\xfe\r\n"),
    (1, b"x: a\x00b\r\n"), (1, b"x: a\rb\r\n"), (1, b"x y: a\r\n"), (1, b"x(): a\r\n"), (1, b"x: a\n"),
    (1, b"x:\r\n"),
    (1, b"content-type: text/plain\r\n"), (1, b"connection: x, close, y\r\n"), (1, b"proxy-connection: close\r\n"),
    (1, b"te: trailers\r\n"), (1, b"trailer: host\r\n"), (1, b"range: bytes=0-\r\n"), (1, b"x" * 10_000 + b": a\r\n"),
)  # fmt: skip
_LENGTHS: Choices = (
    (100, b"%d"), (3, b"+%d"), (3, b"-%d"), (3, b"0%d"), (3, b"0x%x"), (3, b"%d, %d"), (3, b" %d "), (3, b"%d.0"),
    (2, b"%d\r\ncontent-length: %d"), (2, b"%d\r\nContent-Length: 0"), (2, b""), (1, b"9" * 30), (1, b"%d\x0b"),
    (2, b"1 %d"),
)  # fmt: skip
_CODINGS: Choices = (
    (60, b"transfer-encoding: chunked\r\n"), (3, b"Transfer-Encoding: CHUNKED\r\n"),
    (3, b"transfer-encoding: xchunked\r\n"),
    (3, b"transfer-encoding : chunked\r\n"), (3, b"transfer-encoding: gzip, chunked\r\n"),
    (3, b"transfer-encoding:\tchunked\r\n"),
    (3, b"transfer-encoding: chunked, chunked\r\n"), (3, b"transfer-encoding: chunked, identity\r\n"),
    (3, b"transfer-encoding: identity\r\n"), (3, b"transfer-encoding:\r\n chunked\r\n"),
    (3, b"transfer-encoding: chunked\r\ntransfer-encoding: x\r\n"),
    (3, b"transfer-encoding: x\r\ntransfer-encoding: chunked\r\n"), (3, b"transfer-encoding: \x0bchunked\r\n"),
    (3, b"transfer_encoding: chunked\r\n"), (3, b"transfer-encoding: chunked\r\ncontent-length: 5\r\n"),
    (3, b"content-length: 5\r\ntransfer-encoding: chunked\r\n"), (3, b'transfer-encoding: "chunked"\r\n'),
)  # fmt: skip
_SIZES: Choices = (
    (200, b"%x\r\n"), (20, b"%X\r\n"), (10, b"0%x\r\n"), (10, b"%x;a=b\r\n"), (5, b'%x;a="\r\nb"\r\n'),
    (3, b"%x \r\n"), (3, b" %x\r\n"),
    (2, b"0x%x\r\n"), (2, b"%x\n"), (2, b"-%x\r\n"), (2, b"\r\n"), (2, b"ffffffffffffffff\r\n"),
    (2, b"fffffffffffffffff\r\n"),
    (1, b"%x;" + b"a" * 20_000 + b"\r\n"), (1, b"%xg\r\n"), (1, b"%x\r"), (1, b"+%x\r\n"), (1, b"1_%x\r\n"),
)  # fmt: skip
_CHUNK_ENDS: Choices = ((200, b"\r\n"), (1, b""), (1, b"\n"), (1, b"x\r\n"), (1, b"\r"))
_LASTS: Choices = (
    (100, b"0\r\n\r\n"), (5, b"000\r\n\r\n"), (5, b"0;a=b\r\n\r\n"), (5, b"0\r\nx: y\r\n\r\n"),
    (3, b"0\r\nhost: other.example\r\n\r\n"),
    (2, b"0\r\ncontent-length: 9\r\n\r\n"), (2, b"0\r\ntransfer-encoding: chunked\r\n\r\n"), (2, b"0\r\n"),
    (2, b""), (1, b"0\n\n"),
    (1, b"0\r\nx: " + b"a" * 30_000 + b"\r\n\r\n"), (1, b"0\r\nno colon\r\n\r\n"),
    (1, b"00000000000000000000\r\n\r\n"),
)  # fmt: skip


def _pick(chance: random.Random, choices: Choices) -> bytes:
    return chance.choices([choice for _, choice in choices], [weight for weight, _ in choices])[0]


def streams(seed: int, contents: Sequence[bytes]) -> Iterator[Stream]:
    """Make streams without end.

    Parameters
    ----------
    seed
        The same seed makes the same streams.
    contents
        Good bodies of predictions.
    """
    chance = random.Random(seed)  # noqa: S311 - reproducible, not secret
    number = 0
    while True:
        n = chance.choice((1, 1, 1, 2, 3, 4))
        content = b"".join(_request(chance, contents, number + place) for place in range(n))
        number += n
        if chance.random() < 0.03:
            content = _mutated(chance, content)
        if chance.random() < 0.03:
            content = content[: chance.randrange(len(content) + 1)]
        if chance.random() < 0.03:
            content = (
                chance.choice((b"\r\n", b"\n", b"\x16\x03\x01\x02", b"\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
                + content
            )
        yield Stream(_cut(chance, content), n)


def _request(chance: random.Random, contents: Sequence[bytes], number: int) -> bytes:
    method, end = _pick(chance, _METHODS), _pick(chance, _ENDS)
    line = b" ".join((method, _pick(chance, _TARGETS), _pick(chance, _VERSIONS))) + end
    headers = [_pick(chance, _HOSTS), b"x-request-id: r%d\r\n" % number]
    headers += [_pick(chance, _OTHERS) for _ in range(chance.choice((0, 0, 1, 1, 2, 4)))]
    body = b""
    if method == b"POST" or chance.random() < 0.05:
        framing, body = _body(chance, contents, number)
        headers += [b"content-type: application/json\r\n", framing]
    chance.shuffle(headers)
    return line + b"".join(headers) + _pick(chance, _ENDS) + body


def _body(chance: random.Random, contents: Sequence[bytes], number: int) -> tuple[bytes, bytes]:
    hidden = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nx-request-id: hidden-%d\r\n\r\n" % number
    content = chance.choice((contents[0], chance.choice(contents), b"", b"{", hidden, hidden * 20, b"[" * 5000))
    if chance.random() < 0.4:
        return _pick(chance, _CODINGS), _chunked(chance, content)
    length = len(content) + chance.choice((0,) * 20 + (-1, 1, -9, 100_000_000))
    if chance.random() < 0.02:
        return b"", content
    text = _pick(chance, _LENGTHS)
    places = text.count(b"%")
    return b"content-length: %b\r\n" % (text % ((max(0, length),) * places) if places else text), content


def _chunked(chance: random.Random, content: bytes) -> bytes:
    made = []
    size = chance.choice((1, 7, 100, 100_000)) if len(content) < 2000 else 1000
    for first in range(0, len(content), size):
        part = content[first : first + size]
        text = _pick(chance, _SIZES)
        made += [text % len(part) if b"%" in text else text, part, _pick(chance, _CHUNK_ENDS)]
    return b"".join(made) + _pick(chance, _LASTS)


def _mutated(chance: random.Random, content: bytes) -> bytes:
    found = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 8))):
        place = chance.randrange(len(found))
        found[place : place + chance.choice((0, 1, 1, 5))] = bytes(
            chance.choices(range(256), k=chance.choice((0, 1, 3)))
        )
    return bytes(found)


def _cut(chance: random.Random, content: bytes) -> tuple[bytes, ...]:
    cuts = sorted(chance.randrange(len(content) + 1) for _ in range(chance.choice((0, 0, 1, 2, 5))))
    return tuple(content[one:two] for one, two in zip([0, *cuts], [*cuts, len(content)], strict=True))


# The judgement


@dataclass(frozen=True)
class Answer:
    """A final answer: status, headers in lower case, content."""

    status: int
    headers: dict[bytes, bytes]
    content: bytes


def read_answers(content: bytes) -> list[Answer]:
    """Read the answers of a connection strictly; interim ones (1xx) are left out.

    Raises
    ------
    ValueError
        They are not well-formed.
    """
    found = []
    while content:
        head, separator, content = content.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        status = _STATUS.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        if not separator or status is None or None in fields:
            raise ValueError(f"not the head of an answer: {head[:200]!r}")
        headers = {one[1].lower(): one[2] for one in fields if one is not None}
        if status[1].startswith(b"1"):
            continue
        length = int(headers[b"content-length"]) if b"content-length" in headers else _chunks_length(content)
        if length > len(content):
            raise ValueError("an answer is cut off")
        found.append(Answer(int(status[1]), headers, content[:length]))
        content = content[length:]
    return found


def _chunks_length(content: bytes) -> int:
    end = content.find(b"0\r\n\r\n")
    if end < 0:
        raise ValueError("an answer has no length and no end")
    return end + 5


def strict_ids(content: bytes) -> list[bytes]:
    """Return the ids of the requests whose heads h11 reads; an answer may come before the end of a body.

    Examples
    --------
    >>> request = bytes([13, 10]).join([b"GET / HTTP/1.1", b"host: a", b"x-request-id: r1", b"", b""])
    >>> strict_ids(request + b"GET")
    [b'r1']
    """
    found: list[bytes] = []
    try:
        while content := content.lstrip(b"\r\n"):  # blank lines between requests are allowed
            connection = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
            connection.receive_data(content)
            connection.receive_data(b"")
            if not _read_request(connection, found):
                break
            connection.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            connection.send(h11.EndOfMessage())
            if connection.our_state is not h11.DONE:
                break
            content = connection.trailing_data[0]
    except h11.ProtocolError:
        pass  # what follows is no request
    return found


def _read_request(connection: h11.Connection, found: list[bytes]) -> bool:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            ids = [value for name, value in event.headers if name == b"x-request-id"]
            found.append(ids[0] if ids and _ID.fullmatch(ids[0]) else b"")
        elif isinstance(event, h11.EndOfMessage):
            return True
        elif isinstance(event, h11.ConnectionClosed) or event in (h11.NEED_DATA, h11.PAUSED):
            return False


def faults(stream: Stream, received: bytes) -> Iterator[str]:
    """Yield what is wrong with the answers to a stream."""
    try:
        answers = read_answers(received)
    except ValueError as error:
        yield str(error)
        return
    for answer in answers:
        yield from _faults_of_answer(answer)
    ids = [one.headers[b"x-request-id"] for one in answers if _is_answered(one)]
    wanted = strict_ids(stream.content)
    if ids != [one for one in wanted if one][: len(ids)]:
        yield f"answered {ids}, and a strict parser reads {wanted}"


def _is_answered(answer: Answer) -> bool:
    """Whether a request with an id was taken as one; requests without one host are none for h11."""
    named = answer.headers.get(b"x-request-id", b"").startswith((b"r", b"hidden"))
    closes = answer.headers.get(b"connection") == b"close"
    return named and not (closes and b"urn:perennial:problem:invalid-host" in answer.content)


def _faults_of_answer(answer: Answer) -> Iterator[str]:
    if answer.status >= 500:
        yield f"status {answer.status}"
    if answer.status >= 400:
        try:
            if json.loads(answer.content)["status"] != answer.status:
                yield "the problem document has another status"
        except (ValueError, KeyError, TypeError):
            yield f"{answer.status} without a problem document"


# The run


async def fuzz(port: int, made: Iterator[Stream], n_requests: int, good: bytes) -> Found:
    """Send streams, several at a time.

    Parameters
    ----------
    port
        Of the service, on this machine.
    made, n_requests
        What is sent, until so many requests were.
    good
        Body of a good prediction, asked for in between.
    """
    found = Found()

    async def one() -> None:
        while found.n_requests < n_requests:
            stream = next(made)
            found.n_requests += stream.n_requests
            found.n_streams += 1
            if found.n_streams % GOOD_EVERY == 0:
                await _ask_good(port, good, found)
            await _judge(port, stream, found)

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return found


async def _judge(port: int, stream: Stream, found: Found) -> None:
    try:
        received = await _exchange(port, stream.blocks)
    except (OSError, TimeoutError) as error:
        found.failures.append((f"no end of the connection: {error!r}", stream.content))
        return
    found.failures += [(fault, stream.content) for fault in faults(stream, received)]
    found.statuses.update(int(status) for status in re.findall(rb"HTTP/1\.1 (\d\d\d) ", received))


async def _ask_good(port: int, good: bytes, found: Found) -> None:
    head = "POST /v1/models/credit/predict HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(good)}\r\n\r\n"
    began = time.perf_counter()
    received = await _exchange(port, (head.encode() + good,))
    found.good_seconds.append(time.perf_counter() - began)
    if not received.startswith(b"HTTP/1.1 200 "):
        found.failures.append(("a good request was not answered", received))


async def _exchange(port: int, blocks: Sequence[bytes]) -> bytes:
    async with asyncio.timeout(ANSWER_SECONDS):
        reader, writer = await asyncio.open_connection(HOST, port)
        try:
            for block in blocks:
                writer.write(block)
                await asyncio.sleep(0)  # so that the blocks arrive as they are
            writer.write_eof()
            return await reader.read()
        finally:
            writer.close()


def main() -> None:
    """Print one Markdown table, and what failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = make_project(Path(folder))
        crown(settings, register_version(settings, "a", 1.0))
        with serving(settings, "--log", "async") as served:
            before, good = served.memory(), bodies()
            began = time.perf_counter()
            found = asyncio.run(fuzz(served.port, streams(given.seed, good), given.requests, good[0]))
            seconds = time.perf_counter() - began
            growth = (served.memory() - before) / 2**20
            restarts = served.metric("perennial_worker_restarts_total")
            lines = served.output.read_text().splitlines()
        errors = [line for line in lines if '"log.level":"error"' in line and "health_ready" not in line]
    _print(found, seconds, growth, restarts, errors)


def _print(found: Found, seconds: float, growth: float, restarts: float, errors: Sequence[str]) -> None:
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(found.statuses.items()))
    print("| requests | connections | seconds | answers by status | good request: longest ms | memory MiB | failures |")
    print("|---:|---:|---:|---|---:|---:|---:|")
    longest = 1000 * max(found.good_seconds, default=0)
    cells = f"{found.n_requests:,} | {found.n_streams:,} | {seconds:.0f} | {statuses} | {longest:.0f} | {growth:+.1f}"
    print(f"| {cells} | {len(found.failures) + len(errors) + int(restarts)} |")
    for reason, content in found.failures[:50]:
        print(f"\n{reason}\n{content[:2000]!r}")
    print("\n".join(errors[:10]))


if __name__ == "__main__":
    main()
