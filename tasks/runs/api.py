"""Prefect's API through its own client, with its failures as our errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from config.settings import Settings
from core.errors import StorageError
from core.text import readable
from tasks.runs.local_server import running_server

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

TIMEOUT_SECONDS = 15.0


def known_api(settings: Settings) -> str | None:
    """Return the address of the configured Prefect API, or of the running local server; None if there is neither."""
    if settings.prefect_api_url:
        return settings.prefect_api_url
    server = running_server(settings)
    return server.api_url if server else None


def api_address(settings: Settings) -> str:
    """Return the address of the Prefect API, see :func:`known_api`.

    Raises
    ------
    StorageError
        No address is configured and no local server runs.
    """
    address = known_api(settings)
    if address is None:
        raise StorageError(
            "no Prefect API is configured or running: set PREFECT_API_URL, or start the platform with 'perennial up'"
        )
    return address


def check_answers(address: str, seconds: float = 5.0) -> None:
    """Check that something answers at the address of a Prefect API, without importing Prefect.

    Parameters
    ----------
    address
        Of the API; credentials in it are not shown.
    seconds
        Longest wait.

    Raises
    ------
    StorageError
        Nothing answers there.
    """
    import httpx

    try:
        httpx.get(f"{address.rstrip('/')}/ready", timeout=seconds)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise StorageError(
            f"expected a Prefect server at {shown_address(address)} (PREFECT_API_URL, or the platform's), found no "
            f"answer: {readable(str(error) or type(error).__name__)}. Start the server, or unset PREFECT_API_URL to "
            "use a local one"
        ) from error


@contextmanager
def prefect_client(
    settings: Settings, seconds: float = TIMEOUT_SECONDS, retries: int = 0
) -> Iterator[SyncPrefectClient]:
    """Yield a client of Prefect's API.

    Parameters
    ----------
    seconds
        Timeout of one call.
    retries
        How often a call is repeated to which Prefect answers 429 or 503, as it does while its SQLite database is
        busy; after 2, 4, 8 s and so on. With 0, the caller repeats.

    Raises
    ------
    StorageError
        There is no API, it does not answer, or it answers with an error.
    """
    from httpx import HTTPError, HTTPStatusError, InvalidURL
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    address = api_address(settings)
    try:
        with (
            temporary_settings({PREFECT_API_URL: address, PREFECT_CLIENT_MAX_RETRIES: retries}),
            get_client(sync_client=True, httpx_settings={"timeout": seconds}) as client,
        ):
            yield client
    except HTTPStatusError as error:
        raise _failed(address, f"it answers {error.response.status_code}: {error.response.text[:300]}") from error
    except (HTTPError, InvalidURL, OSError, RuntimeError) as error:
        # The client raises RuntimeError if the address is not that of a Prefect API.
        raise _failed(address, str(error) or type(error).__name__) from error


def shown_address(address: str) -> str:
    """Return an address without user and password."""
    return re.sub(r"//[^/@\s]*@", "//***@", address)


def _failed(address: str, why: str) -> StorageError:
    where = shown_address(address)
    return StorageError(
        f"Prefect at {where} failed: {why}. Check that it runs and that PREFECT_API_URL is correct, then try again"
    )
