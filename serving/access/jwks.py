"""Follow the public keys that an identity provider signs its access tokens with (JWKS)."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from config.settings import is_loopback_host
from core.errors import ConfigError

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from urllib.request import OpenerDirector

MAX_BYTES = 256 * 1024
TIMEOUT_SECONDS = 5.0
EVERY_SECONDS = 300.0
AGAIN_SECONDS = 10.0
PATIENCE_SECONDS = 1.0
"""How long a request waits for newer keys: an issuer that is slow must not fill the service with made-up tokens."""

_PUBLIC = ("kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y")
_KEY_TYPES = ("RSA", "EC", "OKP")

Document = dict[str, Any]

_log = logging.getLogger(__name__)


def public_keys(document: object) -> list[Document]:
    """Return the keys of a JWKS that only verify.

    Symmetric keys are passed over, and private ones too: a key whose private half was published proves nothing.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        return []
    return [
        _public_part(key) for key in keys if isinstance(key, dict) and key.get("kty") in _KEY_TYPES and "d" not in key
    ]


def check_jwks_url(url: str) -> None:
    """Refuse an address at which somebody in between could put keys of their own.

    Raises
    ------
    ConfigError
        It is not https (http is for loopback addresses alone), or carries a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"PERENNIAL_SERVE_JWKS_URL is no address: {error}") from error
    is_private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(host))
    if not (host and is_private) or parts.username or parts.password:
        raise ConfigError(
            "PERENNIAL_SERVE_JWKS_URL must begin with https:// (http:// is for this machine alone) "
            "and hold no user or password"
        )


class JwksFollower:
    """Keeps the newest keys of an address. When it does not answer, the last good ones stay.

    Parameters
    ----------
    url
        Where the keys are published; https, or http on this machine.
    cache
        File that keeps the keys for a start at which the address does not answer.
    clock
        Seconds that never go back.

    Raises
    ------
    ConfigError
        The address is not one to trust.
    """

    def __init__(self, url: str, *, cache: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        check_jwks_url(url)
        self._url = url
        self._cache = cache
        self._clock = clock
        self._fetching: asyncio.Task[None] | None = None
        self._next = clock()
        self._is_fresh = False
        self._document: Document | None = None

    async def follow(self, replace: Callable[[Document], None]) -> None:
        """Hand over the kept keys at once, then the newest every five minutes, until cancelled."""
        if self._document is None and (kept := self._kept()):
            self._document = kept
            replace(kept)
        while True:
            document = await self._newest(patience=None)
            if document is not None:
                replace(document)
            await asyncio.sleep(EVERY_SECONDS if self._is_fresh else AGAIN_SECONDS)

    async def refresh(self) -> Document | None:
        """Return the newest keys; they are asked for at most once in ten seconds, however many callers want them.

        An answer that takes longer than :data:`PATIENCE_SECONDS` is for the next caller.
        """
        return await self._newest(PATIENCE_SECONDS)

    async def _newest(self, patience: float | None) -> Document | None:
        fetching = self._fetching
        if (fetching is None or fetching.done()) and self._clock() >= self._next:
            self._next = self._clock() + AGAIN_SECONDS
            # A task of its own: a client that goes away takes nobody's answer with it.
            fetching = self._fetching = asyncio.create_task(self._fetch())
        if fetching is not None and not fetching.done():
            await asyncio.wait({fetching}, timeout=patience)
        return self._document

    async def _fetch(self) -> None:
        try:
            document = await asyncio.to_thread(_downloaded, self._url)
        except (OSError, ValueError, RecursionError) as error:
            self._is_fresh = False
            # The host alone: a query may hold what is nobody's business.
            _log.warning("the keys of %s could not be fetched (%s); the last ones stay", _host(self._url), error)
            return
        self._is_fresh = True
        if document != self._document:
            self._document = document
            await asyncio.to_thread(self._keep, document)

    def _keep(self, document: Document) -> None:
        if self._cache is None:
            return
        beside = self._cache.with_name(f".{self._cache.name}.{secrets.token_hex(8)}")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as new:
                json.dump({"url": self._url, **document}, new)
            beside.replace(self._cache)
        except OSError as error:
            _log.warning("the fetched keys could not be kept in %s: %s", self._cache, error)
        finally:
            with suppress(OSError):
                beside.unlink()

    def _kept(self) -> Document | None:
        """Return the keys of the file, if they came from our address and nobody else could have written them."""
        if self._cache is None:
            return None
        try:
            content = json.loads(_private_bytes(self._cache))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("the keys kept in %s are not used: %s", self._cache, error)
            return None
        is_ours = isinstance(content, dict) and content.get("url") == self._url
        return {"keys": public_keys(content)} if is_ours else None


def _private_bytes(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or others_write:
            raise ValueError("it is not a file that only its owner may write")
        return file.read(MAX_BYTES + 1)


def _downloaded(url: str) -> Document:
    """Return the public keys of an address.

    Raises
    ------
    OSError, ValueError, RecursionError
        It did not answer in time, or not with keys.
    """
    from http.client import HTTPException

    try:
        with _opener(url).open(url, timeout=TIMEOUT_SECONDS) as response:
            content = _bounded_bytes(response)
    except HTTPException as error:
        raise ValueError(f"it does not answer in HTTP: {error!r}") from error
    keys = public_keys(json.loads(content))
    if not keys:
        raise ValueError("it holds no public keys")
    return {"keys": keys}


def _opener(url: str) -> OpenerDirector:
    """Return what opens an address: follows no redirect, and asks no proxy for this machine."""
    from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    return build_opener(NoRedirect, *([ProxyHandler({})] if is_loopback_host(_host(url)) else []))


def _bounded_bytes(response: HTTPResponse) -> bytes:
    """Read a body that is neither too long nor sent in drops that each come just in time."""
    content, deadline = bytearray(), time.monotonic() + TIMEOUT_SECONDS
    while part := response.read1(MAX_BYTES):
        content += part
        if len(content) > MAX_BYTES:
            raise ValueError(f"it is longer than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError(f"it took longer than {TIMEOUT_SECONDS:g} s")
    return bytes(content)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _public_part(key: Document) -> Document:
    return {name: key[name] for name in _PUBLIC if name in key}
