"""Budgets for the work that is not a prediction, so that it never takes a prediction's place."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from serving.problems import Problem

WAIT_SECONDS = 1.0
"""Longest time that a request waits for a place; then it is refused."""

GRACE_SECONDS = 0.1
"""Time that a request may wait before another one displaces it: bodies of a burst arrive just after their headers."""

HOLD_SECONDS = 1.0
"""Delay of the answer to a displaced request, so that clients that send it again at once do not add to the load."""

MIN_BYTES = 32 * 2**20
"""Bytes that the bodies of one kind of request may hold together, or twice the largest body if that is more."""


class Place:
    """A place in a budget, held by one request.

    Parameters
    ----------
    budget
        Budget that the place belongs to.
    sender
        Caller of the request, or its network.
    """

    __slots__ = ("_began", "_budget", "_deadline", "is_displaced", "is_refused", "n_bytes", "sender")

    def __init__(self, budget: Budget, sender: str) -> None:
        self._budget = budget
        self._deadline: asyncio.Timeout | None = None
        self._began = 0.0
        self.is_displaced = False
        self.is_refused = False
        self.sender = sender
        self.n_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """Whether the request waits for others; only then may another request displace it."""
        return self._deadline is not None and not self.is_displaced

    @property
    def is_slow(self) -> bool:
        """Whether it waits for longer than :data:`GRACE_SECONDS`."""
        return self.is_waiting and asyncio.get_running_loop().time() >= self._began + GRACE_SECONDS

    @asynccontextmanager
    async def waiting(self, seconds: float) -> AsyncIterator[None]:
        """Run a block that waits for others, such as for the client's body.

        Raises
        ------
        TimeoutError
            The block took longer than ``seconds``.
        Problem
            Another request displaced this one.
        """
        try:
            async with asyncio.timeout(seconds) as self._deadline:
                self._began = asyncio.get_running_loop().time()
                self._budget.relieve_soon()
                yield
        except TimeoutError:
            if self.is_displaced:
                self.is_refused = True
                raise _displaced() from None
            raise
        finally:
            self._deadline, self.is_displaced = None, False

    def grow(self, n_bytes: int) -> None:
        """Count bytes that the request holds; if the budget is exceeded, a request is displaced."""
        self._budget.count_bytes(self, n_bytes)

    def displace(self) -> None:
        """End the wait of the request."""
        if self._deadline is not None:
            self.is_displaced = True
            self._deadline.reschedule(asyncio.get_running_loop().time())

    def release(self) -> None:
        """Give the place back; a repeat changes nothing."""
        self._budget.release(self)


class Budget:
    """Places and bytes for one kind of request, shared fairly by the senders.

    When all places are taken, a new request displaces a slow one, which waits for others: the oldest one of the sender
    who holds the most places. So a sender of many slow bodies displaces its own requests, and a request whose body is
    there is never displaced. If none can be displaced, the new request waits up to :data:`WAIT_SECONDS`. A free place
    goes to the sender who holds the fewest, and of equal ones to the newest request.

    Not thread-safe: call all methods on the event loop's thread.

    Parameters
    ----------
    places
        Most requests at once.
    max_bytes
        Most bytes that their bodies may hold together.
    """

    def __init__(self, places: int, max_bytes: int = MIN_BYTES) -> None:
        self._places = places
        self._max_bytes = max_bytes
        # Dicts, because they keep the order of arrival and requests leave in any order.
        self._held: dict[Place, None] = {}
        self._queue: dict[Place, asyncio.Future[None]] = {}
        self.n_bytes = 0

    @property
    def n_held(self) -> int:
        """Number of places that are taken."""
        return len(self._held)

    @asynccontextmanager
    async def place(self, sender: str) -> AsyncIterator[Place]:
        """Hold a place inside the block.

        Raises
        ------
        Problem
            There was no place in time.
        """
        place = Place(self, sender)
        try:
            if self.n_held < self._places:
                self._held[place] = None
            else:
                await self._queued(place)
            yield place
        finally:
            place.release()
            if place.is_refused:
                await asyncio.sleep(HOLD_SECONDS)

    async def _queued(self, place: Place) -> None:
        turn = self._queue[place] = asyncio.get_running_loop().create_future()
        self.relieve()
        self.relieve_soon()
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn
        except TimeoutError:
            detail = "too many requests of this kind are in progress; try again later"
            raise Problem("overloaded", detail, retry_after=1) from None
        finally:
            self._queue.pop(place, None)

    def relieve_soon(self) -> None:
        """Displace a request if others still wait for a place when the requests that wait now have become slow."""
        if self._queue:
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self.relieve)

    def relieve(self) -> None:
        """Displace a request if another one waits for a place whose sender holds no more than the displaced one's."""
        if not self._queue:
            return
        held = Counter(place.sender for place in (*self._held, *self._queue))
        waiting = [place for place in self._held if place.is_slow]
        # The places of displaced requests are as good as free, and go to the senders who hold the fewest.
        n_free = sum(place.is_displaced for place in self._held)
        beginners = sorted(held[place.sender] for place in self._queue)[n_free:]
        if waiting and beginners:
            # max() returns the first of equal ones, which is the oldest.
            chosen = max(waiting, key=lambda place: held[place.sender])
            if held[chosen.sender] >= beginners[0]:
                chosen.displace()

    def release(self, place: Place) -> None:
        """Take a place back, and give it to a request that waits for one."""
        if place not in self._held:
            return
        del self._held[place]
        self.n_bytes -= place.n_bytes
        # A request whose wait has just ended is in the queue until its task runs.
        queue = [queued for queued, turn in reversed(self._queue.items()) if not turn.done()]
        if queue:
            senders = Counter(held.sender for held in self._held)
            # min() returns the first of equal ones, here the newest.
            chosen = min(queue, key=lambda queued: senders[queued.sender])
            self._held[chosen] = None
            self._queue.pop(chosen).set_result(None)

    def count_bytes(self, place: Place, n_bytes: int) -> None:
        """Count bytes of a request; if all are too many, displace one of the sender who holds the most bytes."""
        place.n_bytes += n_bytes
        self.n_bytes += n_bytes
        if self.n_bytes > self._max_bytes:
            held: Counter[str] = Counter()
            for one in self._held:
                held[one.sender] += one.n_bytes
            waiting = [one for one in self._held if one.is_waiting]
            if waiting:
                max(waiting, key=lambda one: held[one.sender]).displace()


def _displaced() -> Problem:
    detail = "the request was slow, and another one needed its place; send it again"
    # The client may still be sending its body.
    return Problem("overloaded", detail, retry_after=1, headers=((b"connection", b"close"),))
