"""A budget bounds places and bytes, and is shared by the senders."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from serving.access import budget as module
from serving.access.budget import Budget, Place
from serving.problems import Problem


@pytest.fixture(autouse=True)
def _without_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0)
    monkeypatch.setattr(module, "GRACE_SECONDS", 0)


class Client:
    """A request that holds a place until it may end, and waits for its body at first if it is slow."""

    def __init__(self, budget: Budget, sender: str, *, slow: bool = False, n_bytes: int = 0) -> None:
        self.may_end = asyncio.Event()
        self.place: Place | None = None
        self.problem: Problem | None = None
        self.task = asyncio.create_task(self._run(budget, sender, slow, n_bytes))

    async def _run(self, budget: Budget, sender: str, slow: bool, n_bytes: int) -> None:
        try:
            await self._work(budget, sender, slow, n_bytes)
        except Problem as problem:
            self.problem = problem

    async def _work(self, budget: Budget, sender: str, slow: bool, n_bytes: int) -> None:
        async with budget.place(sender) as self.place:
            if slow:
                async with self.place.waiting(60):
                    self.place.grow(n_bytes)
                    await self.may_end.wait()
            else:
                await self.may_end.wait()

    @property
    def holds(self) -> bool:
        """Whether it has a place."""
        return self.place is not None and not self.task.done()


def _run(story: Callable[[], Awaitable[Any]]) -> Any:
    async def told() -> Any:
        try:
            return await story()
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

    return asyncio.run(told())


async def _settle(turns: int = 2000) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


def test_a_sender_of_slow_requests_displaces_its_own() -> None:
    """A hundred of them leave the place of another sender's slow request, and the places of quick ones."""

    async def story() -> None:
        budget = Budget(4)
        victim, quick = Client(budget, "b", slow=True), Client(budget, "c")
        await _settle()
        flood = []
        for _ in range(100):
            flood.append(Client(budget, "a", slow=True))
            await asyncio.sleep(0)
        await _settle()
        assert victim.holds
        assert quick.holds
        assert sum(one.holds for one in flood) == 2
        late = Client(budget, "d")
        await _settle()
        assert late.holds
        assert budget.n_held == 4

    _run(story)


def test_a_flood_at_once_leaves_a_place_to_others() -> None:
    """Also where all requests come before any of them is displaced."""

    async def story() -> None:
        budget = Budget(4)
        flood = [Client(budget, "a", slow=True) for _ in range(200)]
        late = Client(budget, "b", slow=True)
        await _settle()
        assert late.holds
        assert sum(one.holds for one in flood) == 3
        assert budget.n_held == 4

    _run(story)


def test_many_senders_of_slow_requests_keep_no_quick_one_out() -> None:
    """Each of them has a network of its own; the oldest gives way."""

    async def story() -> None:
        budget = Budget(4)
        flood = [Client(budget, f"a{i}", slow=True) for i in range(50)]
        await _settle()
        quick = [Client(budget, f"b{i}") for i in range(4)]
        await _settle()
        assert all(one.holds for one in quick)
        assert all(one.problem is not None for one in flood)

    _run(story)


def test_a_request_whose_body_is_there_is_not_displaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others wait for its end, and are refused with a time to come back if it takes long."""
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.5)

    async def story() -> None:
        budget = Budget(2)
        working = [Client(budget, "a") for _ in range(2)]
        late = [Client(budget, "b"), Client(budget, "c")]
        await _settle(20)
        assert not any(one.holds for one in late)
        working[0].may_end.set()
        await _settle(20)
        assert [one.holds for one in late] == [False, True]
        await asyncio.wait({late[0].task}, timeout=120)
        problem = late[0].problem
        assert problem is not None
        assert (problem.status, problem.headers) == (503, ((b"retry-after", b"1"),))
        assert [one.holds for one in (working[1], late[1])] == [True, True]
        assert budget.n_held == 2

    _run(story)


def test_bytes_are_bounded_too() -> None:
    """The sender who holds the most of them gives way, in the order of its requests."""

    async def story() -> None:
        budget = Budget(10, max_bytes=1000)
        small = Client(budget, "b", slow=True, n_bytes=100)
        large = [Client(budget, "a", slow=True, n_bytes=300) for _ in range(5)]
        await _settle()
        assert [one.problem is not None for one in large] == [True, True, False, False, False]
        assert small.holds
        assert budget.n_bytes == 1000
        await asyncio.gather(*(_end(one) for one in (small, *large[2:])))
        assert (budget.n_bytes, budget.n_held) == (0, 0)

    _run(story)


async def _end(client: Client) -> None:
    client.may_end.set()
    await client.task


def test_a_burst_whose_bodies_follow_their_headers_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty requests of one sender at once share four places, and none is displaced."""
    monkeypatch.setattr(module, "GRACE_SECONDS", 60)

    async def story() -> None:
        budget = Budget(4)
        burst = [Client(budget, "a", slow=True) for _ in range(50)]
        for one in burst:
            asyncio.get_running_loop().call_soon(one.may_end.set)
        await asyncio.gather(*(one.task for one in burst))
        assert [one.problem for one in burst] == 50 * [None]

    _run(story)


def test_a_displaced_request_is_answered_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its place is free at once; a client that sends again at once waits with it."""
    monkeypatch.setattr(module, "HOLD_SECONDS", 60)

    async def story() -> None:
        budget = Budget(1)
        first, second = Client(budget, "a", slow=True), Client(budget, "a", slow=True)
        await _settle()
        assert sorted([first.task.done(), second.task.done()]) == [False, False]
        assert budget.n_held == 1
        assert [one.place is not None and one.place.is_refused for one in (first, second)] == [True, False]

    _run(story)


def test_a_wait_has_an_end_of_its_own() -> None:
    """Which is no displacement."""

    async def story() -> None:
        budget = Budget(1)
        with pytest.raises(TimeoutError):
            async with budget.place("a") as place, place.waiting(0.01):
                await asyncio.sleep(60)
        assert budget.n_held == 0

    _run(story)


def test_a_client_that_leaves_while_it_waits_takes_no_place() -> None:
    """Whether it was in the queue or was just given a place."""

    async def story() -> None:
        budget = Budget(1)
        first, second, third = (Client(budget, name) for name in "abc")
        await _settle()
        third.task.cancel()
        first.may_end.set()
        await _settle()
        assert second.holds
        fourth = Client(budget, "d")
        await _settle()
        assert second.place is not None
        second.place.release()
        second.place.release()
        fourth.task.cancel()
        await _settle()
        assert budget.n_held == 0

    _run(story)
