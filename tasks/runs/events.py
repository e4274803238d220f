"""Send events from the outbox to Prefect, where automations react to them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from config.settings import Settings
from core.errors import StorageError
from core.text import readable
from store.database import open_database
from store.events import mark_sent, unsent_events
from tasks.runs.api import api_address, shown_address

if TYPE_CHECKING:
    from httpx import Response

logger = logging.getLogger("perennial.events")

BATCH = 50
"""Maximum events per request: some hundred kB if each has the maximum size."""


def send_events(settings: Settings, limit: int = 200, seconds: float = 10.0) -> int:
    """Send the oldest events of the outbox to Prefect, and return how many it accepted.

    An event is marked as sent only after the answer. A repeat is harmless: Prefect identifies an event by its id.
    Prefect is not imported if there is nothing to send.

    Parameters
    ----------
    limit
        Maximum number of events.
    seconds
        Maximum time; events not sent by then stay in the outbox.

    Raises
    ------
    StorageError
        There is no Prefect API, it did not accept the events in time, or the database failed. No event is lost.
    """
    engine, deadline, sent = open_database(settings.database_url), time.monotonic() + seconds, 0
    while sent < limit and (events := unsent_events(engine, min(BATCH, limit - sent))):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        _give(events, settings, left)
        mark_sent(engine, [event["id"] for event in events], datetime.now(UTC))
        sent += len(events)
    return sent


def _give(events: Sequence[dict[str, Any]], settings: Settings, seconds: float) -> None:
    """Send events together; if Prefect refuses the request permanently, send them one by one."""
    address = api_address(settings)
    refusal = _refusal(events, address, seconds)
    if refusal is None:
        return
    if len(events) > 1:
        for event in events:
            _give([event], settings, seconds)
        return
    logger.error(
        "Prefect at %s permanently refuses the event %s (%s): %s. It stays in the table 'events' and is not sent again",
        shown_address(address),
        events[0]["id"],
        events[0]["event"],
        refusal,
    )


def _refusal(events: Sequence[dict[str, Any]], address: str, seconds: float) -> str | None:
    """Post events; return None if they were accepted, else the reason of a permanent refusal."""
    from httpx import HTTPError, HTTPStatusError, InvalidURL

    try:
        asyncio.run(_post(events, address, seconds))
    except HTTPStatusError as error:
        if _is_about_events(error.response):
            return readable(error.response.text, 500)
        raise _away(address, f"it answers {error.response.status_code}") from error
    except TimeoutError as error:
        raise _away(address, f"no answer within {seconds:.0f} s") from error
    except (HTTPError, InvalidURL, OSError, ValueError) as error:  # a ValueError: the server is no Prefect server
        raise _away(address, str(error) or type(error).__name__) from error
    return None


async def _post(events: Sequence[dict[str, Any]], address: str, seconds: float) -> None:
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    # Prefect's client would retry for a minute, and without end during maintenance; the outbox is our retry.
    with temporary_settings({PREFECT_API_URL: address, PREFECT_CLIENT_MAX_RETRIES: 0}):
        async with asyncio.timeout(seconds), get_client(httpx_settings={"timeout": seconds}) as client:
            answer = await client.request("POST", "/events", json=list(events))
    if answer.request.method != "POST":
        raise ValueError(f"it redirects to {answer.url.host}, which is not a Prefect API")


def _is_about_events(answer: Response) -> bool:
    """Return whether the answer comes from Prefect's validation, so that a repeat would fail too."""
    return answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY and "exception_detail" in answer.text


def _away(address: str, why: str) -> StorageError:
    return StorageError(
        f"Prefect at {shown_address(address)} does not accept events: {why}. They stay in the outbox and are sent later"
    )
