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
"""How long a request waits for newer keys: with a slow issuer, forged tokens must not fill the service with waiting
requests."""

_PUBLIC = ("kty", "kid", "use", "alg", "key_ops", "n", "e", "crv", "x", "y")
_KEY_TYPES = ("RSA", "EC", "OKP")

Document = dict[str, Any]

_log = logging.getLogger(__name__)


def public_keys(document: object) -> list[Document]:
    """Return the public keys of a JWKS.

    Symmetric keys are ignored, and private ones too: a signature by a key whose private half is published proves
    nothing.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        return []
    return [
        _public_part(key) for key in keys if isinstance(key, dict) and key.get("kty") in _KEY_TYPES and "d" not in key
    ]


def check_jwks_url(url: str) -> None:
    """Refuse a JWKS address whose answer could be forged in transit.

    Raises
    ------
    ConfigError
        It is not https (http is allowed for loopback addresses only), or it contains a user or a password.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ConfigError(f"PERENNIAL_SERVE_JWKS_URL is not a valid URL: {error}") from error
    is_private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback_host(host))
    if not (host and is_private) or parts.username or parts.password:
        raise ConfigError(
            "PERENNIAL_SERVE_JWKS_URL must begin with https:// (http:// is allowed for this machine only) "
            "and contain no user or password"
        )


class JwksFollower:
    """Fetches the public keys of an issuer again and again. When a fetch fails, the last keys stay valid.

    Parameters
    ----------
    url
        Where the keys are published; https, or http on this machine.
    cache
        File with the last fetched keys, for a start while the issuer does not answer.
    clock
        Monotonic clock, in seconds.

    Raises
    ------
    ConfigError
        The address is not trustworthy, see :func:`check_jwks_url`.
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
        """Call ``replace`` with the cached keys at once, then with the newest every five minutes, until cancelled."""
        if self._document is None and (cached := self._read_cache()):
            self._document = cached
            replace(cached)
        while True:
            document = await self._newest(patience=None)
            if document is not None:
                replace(document)
            await asyncio.sleep(EVERY_SECONDS if self._is_fresh else AGAIN_SECONDS)

    async def refresh(self) -> Document | None:
        """Return the newest keys; they are fetched at most once in ten seconds, however many callers want them.

        A caller waits at most :data:`PATIENCE_SECONDS`; keys that arrive later are used from the next call on.
        """
        return await self._newest(PATIENCE_SECONDS)

    async def _newest(self, patience: float | None) -> Document | None:
        fetching = self._fetching
        if (fetching is None or fetching.done()) and self._clock() >= self._next:
            self._next = self._clock() + AGAIN_SECONDS
            # A separate task: when one client disconnects, the fetch goes on for the others.
            fetching = self._fetching = asyncio.create_task(self._fetch())
        if fetching is not None and not fetching.done():
            await asyncio.wait({fetching}, timeout=patience)
        return self._document

    async def _fetch(self) -> None:
        try:
            document = await asyncio.to_thread(_downloaded, self._url)
        except (OSError, ValueError, RecursionError) as error:
            self._is_fresh = False
            # Only the host is logged: the query may contain a secret.
            _log.warning(
                "the public keys of %s could not be fetched (%s); the last fetched keys stay in use",
                _host(self._url),
                error,
            )
            return
        self._is_fresh = True
        if document != self._document:
            self._document = document
            await asyncio.to_thread(self._write_cache, document)

    def _write_cache(self, document: Document) -> None:
        if self._cache is None:
            return
        temporary = self._cache.with_name(f".{self._cache.name}.{secrets.token_hex(8)}")
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as new:
                json.dump({"url": self._url, **document}, new)
            temporary.replace(self._cache)
        except OSError as error:
            _log.warning("the fetched public keys could not be written to %s: %s", self._cache, error)
        finally:
            with suppress(OSError):
                temporary.unlink()

    def _read_cache(self) -> Document | None:
        """Return the keys of the cache file, if they came from this address and only its owner may write it."""
        if self._cache is None:
            return None
        try:
            content = json.loads(_private_bytes(self._cache))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("the public keys in %s are ignored: %s", self._cache, error)
            return None
        is_ours = isinstance(content, dict) and content.get("url") == self._url
        return {"keys": public_keys(content)} if is_ours else None


def _private_bytes(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW), "rb") as file:
        found = os.fstat(file.fileno())
        others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or others_write:
            raise ValueError("it must be a regular file that only its owner may write")
        return file.read(MAX_BYTES + 1)


def _downloaded(url: str) -> Document:
    """Return the public keys of an address.

    Raises
    ------
    OSError, ValueError, RecursionError
        It did not answer in time, or the answer contains no keys.
    """
    from http.client import HTTPException

    try:
        with _opener(url).open(url, timeout=TIMEOUT_SECONDS) as response:
            content = _bounded_bytes(response)
    except HTTPException as error:
        raise ValueError(f"the answer is not valid HTTP: {error!r}") from error
    keys = public_keys(json.loads(content))
    if not keys:
        raise ValueError("the answer contains no public keys")
    return {"keys": keys}


def _opener(url: str) -> OpenerDirector:
    """Return a URL opener that follows no redirect, and uses no proxy for loopback addresses."""
    from urllib.request import HTTPRedirectHandler, ProxyHandler, build_opener

    class NoRedirect(HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    return build_opener(NoRedirect, *([ProxyHandler({})] if is_loopback_host(_host(url)) else []))


def _bounded_bytes(response: HTTPResponse) -> bytes:
    """Read a body; refuse one that is too long, or that as a whole takes longer than the timeout."""
    content, deadline = bytearray(), time.monotonic() + TIMEOUT_SECONDS
    while part := response.read1(MAX_BYTES):
        content += part
        if len(content) > MAX_BYTES:
            raise ValueError(f"the answer is longer than {MAX_BYTES} bytes")
        if time.monotonic() > deadline:
            raise TimeoutError(f"the answer took longer than {TIMEOUT_SECONDS:g} s")
    return bytes(content)


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


def _public_part(key: Document) -> Document:
    return {name: key[name] for name in _PUBLIC if name in key}
