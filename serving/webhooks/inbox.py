"""Where webhooks come in: a delivery is answered with 202 once the trigger that it becomes is kept."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel, Field
from sqlalchemy import Engine

from config.settings import HookKey, HookSettings
from core.errors import StorageError
from core.operate.trigger import Trigger
from serving import routes
from serving.access.access import origin
from serving.access.callers import Caller
from serving.access.rates import SharedRates
from serving.problems import Problem
from serving.webhooks import signatures as hooks
from store.inbox import open_inbox
from store.triggers import receive

if TYPE_CHECKING:
    from serving.http.service import Service

_logger = logging.getLogger("perennial.inbox")

ANSWER_SECONDS = 8.0
"""Longest time until a delivery is kept or refused; GitHub waits ten seconds."""

INLINE_BYTES = 65_536
"""Bodies up to this size are verified and read on the event loop: a thread would cost more."""

_Found = TypeVar("_Found")
_MODEL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")


class HookAnswer(BaseModel):
    """What became of a delivery."""

    status: Literal["accepted", "known", "ignored"] = Field(
        description="known: it was delivered before; ignored: it asks for nothing"
    )
    id: str = Field(description="of the trigger that it became, or would have")
    reason: str = Field(description="why the model is to be retrained, or why not")


class Inbox:
    """Verifies deliveries and keeps what they ask for.

    Parameters
    ----------
    settings
        Keys and limits.
    database_url
        Of the operational database.
    root
        Folder of the project, whose model files name models; None where there is none.
    rates
        Where deliveries and bad signatures are counted, together with the other workers.
    bad_per_minute
        Bad signatures of an address, before it is made to wait.
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
        # Their own threads: whoever waits for a lock must not take those that models answer on, or verify.
        self._writers = ThreadPoolExecutor(2, thread_name_prefix="inbox")
        self._verifiers = ThreadPoolExecutor(1, thread_name_prefix="hooks")
        self._per_minute = settings.per_minute
        self._database_url = database_url
        self._engine: Engine | None = None
        self._root = root
        self._rates = rates
        self._bad_per_minute = bad_per_minute
        self._clock = clock

    async def signed(self, headers: hooks.Headers, body: bytes, model: str, address: str) -> hooks.Signed:
        """Return who signed a delivery.

        Raises
        ------
        Problem
            Nobody whom we know, or not for this model.
        """
        try:
            return await self._read(body, partial(hooks.signed_by, headers, body, self.keys, model, self._clock()))
        except hooks.UnsignedError as error:
            raise self._refused(error, address) from error

    async def requested(self, signed: hooks.Signed, body: bytes, model: str) -> hooks.Request:
        """Return what a delivery asks for; see :func:`serving.webhooks.signatures.requested`."""
        return await self._read(body, partial(hooks.requested, signed, body, model))

    async def _read(self, body: bytes, work: Callable[[], _Found]) -> _Found:
        if len(body) <= INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._verifiers, work)

    def _refused(self, error: hooks.UnsignedError, address: str) -> Problem:
        # Counted apart from bad keys to the rest of the service, and looked at only now: nobody's bad signatures
        # keep out a good one, or a good key.
        wait = 0.0
        if error.is_guess:
            wait = self._rates.allow(f"signatures {origin(address)}", self._bad_per_minute / 60, self._bad_per_minute)
        if wait:
            return _too_many("too many bad signatures came from this address", wait)
        return Problem("unauthenticated", f"the delivery is not signed as it should be: {error}")

    def check_rate(self, signed: hooks.Signed) -> None:
        """Count a trigger of a sender.

        Raises
        ------
        Problem
            It is one more than may come.
        """
        who = f"hooks {signed.convention}:{signed.sender}"
        wait = self._rates.allow(who, self._per_minute / 60, self._per_minute)
        if wait:
            raise _too_many(f"{self._per_minute} triggers per minute are taken from {signed.sender!r}", wait)

    def check_model(self, model: str, service: Service) -> None:
        """Refuse a model that nobody described and that is not served.

        Raises
        ------
        Problem
            It is such a one.
        """
        state = service.state
        is_served = state is not None and (model in state.trouble or any(one.name == model for one in state.models))
        if not is_served and not self._is_described(model):
            raise Problem("not-found", f"there is no model {model[:63]!r} here")

    def _is_described(self, model: str) -> bool:
        if self._root is None or not _MODEL_NAME.fullmatch(model):
            return False
        return (self._root / "config" / "models" / f"{model}.yaml").is_file()

    async def keep(self, signed: hooks.Signed, asked: hooks.Request, model: str) -> bool:
        """Keep a trigger, and return once it is; False where it was kept before.

        Raises
        ------
        Problem
            It may not be kept: the database is away, or busy for too long.
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
                return await asyncio.get_running_loop().run_in_executor(self._writers, self._receive, trigger)
        except TimeoutError:
            raise _unavailable("the operational database did not answer in time") from None
        except StorageError as error:
            _logger.warning("%s", error)
            raise _unavailable("the operational database cannot be written") from error

    def _receive(self, trigger: Trigger) -> bool:
        self._engine = self._engine or open_inbox(self._database_url)
        return receive(self._engine, trigger)


def _too_many(detail: str, wait: float) -> Problem:
    seconds = math.ceil(wait)
    return Problem("too-many-requests", f"{detail}; try again in {seconds} s", retry_after=seconds)


def _unavailable(detail: str) -> Problem:
    # It may be kept after all, by a transaction whose end nobody saw: sent again, it is found and not kept twice.
    return Problem("inbox-unavailable", f"{detail}; send the delivery again", retry_after=5)


def add_hooks(app: FastAPI, service: Service, inbox: Inbox | None) -> None:
    """Add the route of webhooks to an application; without an inbox it refuses all deliveries."""

    @app.post(
        routes.HOOK.path,
        status_code=202,
        response_model=HookAnswer,
        responses={200: {"model": HookAnswer, "description": "It asks for nothing"}},
        openapi_extra=_described(),
        # What nobody can use is not described.
        include_in_schema=inbox is not None and bool(inbox.keys),
    )
    async def retrain(model: str, request: Request, response: Response) -> Any:
        """Ask for a retraining by a signed delivery: Standard Webhooks, GitHub, or MLflow's registry.

        The signature is the credential; no key is asked for. The same delivery again is answered 202 and starts
        nothing.
        """
        headers = request.scope["headers"]
        convention, result = hooks.convention_of(headers), "internal-error"
        try:
            answer = await _answered(inbox, service, model, request)
            result, response.status_code = answer.status, 200 if answer.status == "ignored" else 202
        except Problem as problem:
            result = problem.kind
            raise
        finally:
            service.metrics.hooks.labels(convention, result).inc()
        return answer


async def _answered(inbox: Inbox | None, service: Service, model: str, request: Request) -> HookAnswer:
    if inbox is None:
        raise Problem("unauthenticated", "deliveries are not accepted here")
    exchange, body = request.scope["perennial.exchange"], await request.body()
    signed = await inbox.signed(request.scope["headers"], body, model, exchange.client)
    exchange.caller = Caller(f"hook:{signed.convention}:{signed.sender}", signed.sender, frozenset())
    inbox.check_model(model, service)
    asked = await inbox.requested(signed, body, model)
    if asked.ignored:
        return HookAnswer(status="ignored", id=signed.trigger_id, reason=asked.reason)
    inbox.check_rate(signed)
    is_new = await inbox.keep(signed, asked, model)
    return HookAnswer(status="accepted" if is_new else "known", id=signed.trigger_id, reason=asked.reason)


def _described() -> dict[str, Any]:
    text = {"type": "string", "maxLength": 200}
    headers = [
        {"name": name, "in": "header", "required": False, "schema": text, "description": about}
        for name, about in (
            ("webhook-id", "Standard Webhooks: unique, without a dot"),
            ("webhook-timestamp", "Standard Webhooks: seconds since 1970"),
            ("webhook-signature", "Standard Webhooks: v1, and base64; several are parted by spaces"),
            ("x-hub-signature-256", "GitHub: sha256= and 64 digits of base 16"),
            ("x-github-event", "GitHub: what happened"),
            ("x-mlflow-delivery-id", "MLflow: unique"),
            ("x-mlflow-timestamp", "MLflow: seconds since 1970"),
            ("x-mlflow-signature", "MLflow: v1, and base64"),
        )
    ]
    body = {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"parameters": headers, "requestBody": body}
