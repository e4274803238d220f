"""The inbox of webhooks: stores the trigger of a delivery, then answers 202."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakValueDictionary

from config.names import is_model_name
from config.settings import HookKey, HookSettings
from core.errors import StorageError
from core.operate.trigger import Trigger
from serving.access.access import origin
from serving.access.rates import SharedRates
from serving.problems import Problem, too_many
from serving.webhooks import signatures as hooks

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from serving.http.service import Service

_logger = logging.getLogger("perennial.inbox")

ANSWER_SECONDS = 8.0
"""Longest time until a delivery is stored or refused; GitHub's own timeout is ten seconds."""

INLINE_BYTES = 16_384
"""Bodies up to this size are verified and parsed on the event loop: a thread would cost more. Larger ones would hold up
predictions, whether their signature is right or not."""

MAX_KNOWN = 4096
"""Most triggers that a worker remembers as stored, so that repeats do not read the database."""

_Found = TypeVar("_Found")


class Inbox:
    """Verifies deliveries and stores their triggers.

    Parameters
    ----------
    settings
        Keys and limits.
    database_url
        URL of the operational database.
    root
        Folder of the project with the model files; None if there is none.
    rates
        Counters of deliveries and of bad signatures, shared by all workers.
    bad_per_minute
        Bad signatures per minute that are allowed from one address.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        settings: HookSettings,
        database_url: str,
        root: Path | None,
        rates: SharedRates,
        *,
        bad_per_minute: int = 20,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keys: tuple[HookKey, ...] = settings.keys
        # Separate threads: waiting for a database lock must not block threads that compute predictions or verify.
        self._writers = ThreadPoolExecutor(2, thread_name_prefix="inbox")
        self._verifiers = ThreadPoolExecutor(1, thread_name_prefix="hooks")
        self._per_minute = settings.per_minute
        self._max_push_seconds = 86_400 * settings.max_push_days
        self._database_url = database_url
        self._engine: Engine | None = None
        self._root = root
        self._rates = rates
        self._bad_per_minute = bad_per_minute
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()
        for key in self.keys:
            if key.convention == "github" and not key.model:
                _logger.warning(
                    "PERENNIAL_HOOKS_GITHUB: deliveries of %r are refused, because GitHub signs no model: "
                    "list %s/MODEL=",
                    key.sender,
                    key.sender,
                )

    def check_head(self, headers: hooks.Headers, address: str) -> None:
        """Refuse a delivery that its headers alone show to be unsigned, so that its body is never read.

        Raises
        ------
        Problem
            The delivery cannot be accepted.
        """
        try:
            hooks.read_head(headers, self.keys, self._clock())
        except hooks.UnsignedError as error:
            raise self._refused(error, address) from error

    async def signed(self, headers: hooks.Headers, body: bytes, model: str, address: str) -> hooks.Signed:
        """Verify a delivery's signature and return its sender.

        Raises
        ------
        Problem
            The signature is not valid, or its key is for another model.
        """
        try:
            return await self._read(body, partial(hooks.signed_by, headers, body, self.keys, model, self._clock()))
        except hooks.UnsignedError as error:
            raise self._refused(error, address) from error

    async def requested(self, signed: hooks.Signed, body: bytes, model: str) -> hooks.Request:
        """Return the request of a delivery; see :func:`serving.webhooks.signatures.requested`."""
        oldest = self._clock() - self._max_push_seconds
        return await self._read(body, partial(hooks.requested, signed, body, model, oldest))

    async def _read(self, body: bytes, work: Callable[[], _Found]) -> _Found:
        if len(body) <= INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._verifiers, work)

    def _refused(self, error: hooks.UnsignedError, address: str) -> Problem:
        # Counted separately from bad API keys, and checked only after a bad signature: bad signatures from an address
        # never block a valid signature or a valid key from it.
        wait = 0.0
        if error.is_guess:
            bad = self._bad_per_minute
            wait = self._rates.allow(f"signatures {origin(address)}", bad / 60, bad, verified=False)
        if wait:
            return too_many("too many bad signatures came from this address", wait)
        return Problem("unauthenticated", f"the delivery's signature is not accepted: {error}")

    def check_model(self, model: str, service: Service) -> None:
        """Refuse a model that has no model file and is not served.

        Raises
        ------
        Problem
            The model is unknown.
        """
        state = service.state
        is_served = state is not None and (model in state.trouble or any(one.name == model for one in state.models))
        if not is_served and not self._is_described(model):
            raise Problem("not-found", f"there is no model {model[:63]!r} here")

    def _is_described(self, model: str) -> bool:
        if self._root is None or not is_model_name(model):
            return False
        return (self._root / "config" / "models" / f"{model}.yaml").is_file()

    async def keep(self, signed: hooks.Signed, asked: hooks.Request, model: str) -> bool:
        """Store a trigger and return once it is committed; False if it was stored before.

        Only new triggers count for the sender's rate, so repeats of a delivery never use it up.

        Raises
        ------
        Problem
            The sender's rate limit is exceeded; or the trigger could not be stored in time, because the database is
            unavailable or busy.
        """
        trigger = Trigger(
            model=model,
            id=signed.trigger_id,
            kind="webhook",
            sender=signed.sender,
            document=json.dumps(asked.document, ensure_ascii=False),
            received_at=datetime.fromtimestamp(self._clock(), UTC),
        )
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._kept(signed, trigger)
        except TimeoutError:
            raise _unavailable("the operational database did not answer in time") from None
        except StorageError as error:
            _logger.warning("%s", error)
            raise _unavailable("the operational database cannot be written") from error

    async def _kept(self, signed: hooks.Signed, trigger: Trigger) -> bool:
        key = (trigger.model, trigger.id)
        # Repeats that arrive together wait for the first one: otherwise each would be counted as new.
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            if key in self._known:
                self._known.move_to_end(key)
                return False
            is_new = await asyncio.get_running_loop().run_in_executor(self._writers, self._receive, signed, trigger)
            self._known[key] = None
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
            return is_new

    def _receive(self, signed: hooks.Signed, trigger: Trigger) -> bool:
        # SQLAlchemy is not needed for a worker to serve.
        from store.inbox import open_inbox
        from store.triggers import is_received, receive

        self._engine = self._engine or open_inbox(self._database_url)
        if is_received(self._engine, trigger.model, trigger.id):
            return False
        self._check_rate(signed)
        return receive(self._engine, trigger)

    def _check_rate(self, signed: hooks.Signed) -> None:
        who = f"hooks {signed.convention}:{signed.sender}"
        wait = self._rates.allow(who, self._per_minute / 60, self._per_minute)
        if wait:
            raise too_many(f"at most {self._per_minute} triggers per minute are accepted from {signed.sender!r}", wait)


def _unavailable(detail: str) -> Problem:
    # The transaction may have been committed all the same. A second delivery then finds the trigger: no duplicate.
    return Problem("inbox-unavailable", f"{detail}; send the delivery again", retry_after=5)


def head_check(service: Service, inbox: Inbox) -> Callable[[Sequence[tuple[bytes, bytes]], str], None]:
    """Return the check of a delivery's headers and client, which counts what it refuses."""

    def check(headers: Sequence[tuple[bytes, bytes]], address: str) -> None:
        try:
            inbox.check_head(headers, address)
        except Problem as problem:
            service.metrics.hooks.labels(hooks.convention_of(headers), problem.kind).inc()
            raise

    return check
