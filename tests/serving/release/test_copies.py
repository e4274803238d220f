"""Copies of requests: sent without waiting, dropped where there is no room, counted either way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from socket import socket

import pytest

from serving.release import copies
from serving.release.copies import MOST_BODY, Copy, Inflow, Sender, copies_pair
from tests.serving.running import await_that

COPY = Copy("credit", 1, "id", "json", b'{"rows": []}')


@pytest.fixture
def pair() -> Iterator[tuple[Sender, socket]]:
    """Return a sender, and the end that its copies come to."""
    with ExitStack() as stack:
        sender, reader = map(stack.enter_context, copies_pair())
        yield stack.enter_context(closing(Sender(sender.fileno()))), reader


def test_copies_arrive_as_they_were_sent(pair: tuple[Sender, socket]) -> None:
    """In their order, up to the largest body."""
    sender, reader = pair
    inflow = Inflow(reader, lambda _: None)
    inflow.start()
    large = Copy("credit", 1, "id", "arrow", b"x" * MOST_BODY)
    assert [sender.send(COPY), sender.send(large)] == ["sent", "sent"]
    found: list[Copy] = []

    def take() -> bool:
        copy = inflow.take()
        found.extend([copy] if copy else [])
        return len(found) == 2

    await_that(take)
    assert found == [COPY, large]


def test_a_body_that_is_too_large_is_not_copied(pair: tuple[Sender, socket]) -> None:
    """It is told from a full queue."""
    assert pair[0].send(Copy("credit", 1, "id", "json", b"x" * (MOST_BODY + 1))) == "too_large"
    assert Sender(-1).send(COPY) == "dropped"


def test_nothing_waits_for_a_reader_that_hangs(pair: tuple[Sender, socket]) -> None:
    """A burst fits, and beyond the room of the system copies are dropped at once."""
    sender, _ = pair
    assert [sender.send(COPY) for _ in range(50)] == ["sent"] * 50
    large, began = Copy("credit", 1, "id", "json", b"x" * 10_000), time.perf_counter()
    results = [sender.send(large) for _ in range(5_000)]
    assert results[-1] == "dropped"
    assert time.perf_counter() - began < 60, "a wait for each copy would take longer"


def test_the_queue_of_the_process_is_bounded(pair: tuple[Sender, socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit is counted."""
    monkeypatch.setattr(copies, "MOST_WAITING", 3)
    sender, reader = pair
    dropped: list[Copy] = []
    inflow = Inflow(reader, dropped.append)
    for _ in range(5):
        sender.send(COPY)
    inflow.start()
    await_that(lambda: len(dropped) == 2)
    assert [inflow.take() for _ in range(4)] == [COPY, COPY, COPY, None]
