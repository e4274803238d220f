"""Authentication of requests: API keys, access tokens, rate limits, and limits on bad credentials."""

from __future__ import annotations

import binascii
import hmac
import math
import time
from base64 import b64decode
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

from config.settings import ServingSettings
from core.errors import ConfigError
from core.text import number
from serving.access.budget import Budget, Place
from serving.access.callers import (
    ANYONE,
    BadCredentialError,
    Caller,
    UnknownKeyError,
    caller_of_key,
    caller_of_token,
)
from serving.access.jwks import PATIENCE_SECONDS, check_jwks_url, public_keys
from serving.access.rates import SharedRates
from serving.problems import Problem, too_many
from store.key_text import PREFIX, ApiKey, key_parts, secret_hash

if TYPE_CHECKING:
    from serving.access.tokens import Tokens

MAX_REMEMBERED = 4096
"""Most verified credentials that are cached."""

NO_KEYS = "no API key can be verified yet: the keys have not been read from the database"
NO_PUBLIC_KEYS = "no access token can be verified yet: the issuer's public keys could not be fetched"
"""Reasons of "not ready", and of the answer to a credential that may be valid."""

_MAX_HEADER_BYTES = 8192 + len("Bearer ")
_CHALLENGE = ((b"www-authenticate", b'Bearer, Basic realm="perennial"'),)
_NO_HASH = 64 * "0"
_NETWORK_BITS = 64

Refresh = Callable[[], Awaitable[dict[str, Any] | None]]


class _Remembered(NamedTuple):
    caller: Caller
    until: float
    key: ApiKey | None


class Access:
    """Identifies the caller by the header ``Authorization``.

    Not thread-safe: call all methods on the event loop's thread.

    Parameters
    ----------
    settings
        Settings of the service.
    rates
        Counters of requests and of bad credentials, shared by all workers.
    clock
        Seconds since 1970.
    refresh
        Returns newer public keys (a JWKS) when a token names an unknown key; see
        :meth:`serving.access.jwks.JwksFollower.refresh`.
    """

    def __init__(
        self,
        settings: ServingSettings,
        rates: SharedRates,
        *,
        clock: Callable[[], float] = time.time,
        refresh: Refresh | None = None,
    ) -> None:
        self._settings = settings
        self._is_open = settings.is_open
        self._rates = rates
        self._clock = clock
        self._refresh = refresh
        self._waiting = Budget(settings.max_concurrent_other)
        self._keys: dict[str, ApiKey] = {}
        self._knows_keys = False
        self._public_keys: list[dict[str, Any]] = []
        self._tokens: Tokens | None = None
        # By hash, so that neither a memory dump nor the time of a lookup reveals a credential.
        self._remembered: OrderedDict[bytes, _Remembered] = OrderedDict()

    @property
    def trouble(self) -> str | None:
        """Why no credential can be verified at present; None if some can, or none is needed."""
        if self._is_open or self._keys or self._tokens is not None:
            return None
        if not self._knows_keys:
            return NO_KEYS
        return NO_PUBLIC_KEYS if self._settings.jwks_url else None

    def replace_keys(self, keys: Iterable[ApiKey]) -> None:
        """Accept exactly these keys from now on, without the revoked ones."""
        self._keys, self._knows_keys = {key.id: key for key in keys if key.revoked_at is None}, True
        self._forget(lambda entry: entry.key is not None and self._keys.get(entry.key.id) != entry.key)

    def replace_jwks(self, document: dict[str, Any]) -> None:
        """Accept tokens signed with these public keys from now on; the same keys again change nothing.

        Raises
        ------
        ConfigError
            The settings have no issuer or no audience.
        """
        keys = public_keys(document)
        if keys == self._public_keys:
            return
        from serving.access.tokens import Tokens

        issuer, audience = _issuer_and_audience(self._settings)
        claim = self._settings.jwt_roles_claim
        self._tokens = Tokens(keys, issuer=issuer, audience=audience, roles_claim=claim, clock=self._clock)
        self._public_keys = keys
        self._forget(lambda entry: entry.key is None)

    def known(self, authorization: bytes) -> Caller | None:
        """Return the caller of a header that was verified before and is still valid; None: it must be verified."""
        if len(authorization) > _MAX_HEADER_BYTES:
            return None
        digest = sha256(authorization).digest()
        entry = self._remembered.get(digest)
        if entry is None:
            return None
        if entry.until <= self._clock():
            del self._remembered[digest]
            return None
        self._remembered.move_to_end(digest)
        return entry.caller

    async def caller(self, authorization: str | bytes | None, address: str) -> Caller:
        """Return the caller of a request.

        A credential is verified before bad ones are counted, so bad ones never affect a good one from the same address.
        The cost of a verification is bounded: a hash, or one signature of a token of at most 8 KiB.

        Parameters
        ----------
        authorization
            Value of the header; None if there is none.
        address
            Address of the client; bad credentials are counted per address.

        Raises
        ------
        Problem
            There is no valid key or token; if too many bad ones came from the address, the status is 429. The status is
            503 while none can be verified.
        """
        header = authorization.encode("utf-8", "surrogatepass") if isinstance(authorization, str) else authorization
        if not header or header.isspace():
            return self._without_credentials()
        known = self.known(header)
        if known is not None:
            return known
        try:
            found = await self._verified(header, origin(address))
        except BadCredentialError as error:
            raise self._refused(error, address) from error
        self._remember(header, found)
        return found.caller

    def check_rate(self, caller: Caller) -> None:
        """Count a request of a caller.

        Raises
        ------
        Problem
            The caller's rate limit is exceeded.
        """
        if caller.rate is None:
            return
        wait = self._rates.allow(f"caller {caller.id}", caller.rate)
        if wait:
            raise too_many(f"the key allows {number(caller.rate)} requests per second", wait)

    def _without_credentials(self) -> Caller:
        if self._is_open:
            return ANYONE
        raise _unauthenticated("send a key or an access token: Authorization: Bearer …")

    async def _verified(self, header: bytes, network: str) -> _Remembered:
        credential = _credential(header)
        if credential.startswith(PREFIX):
            return self._of_key(credential)
        return await self._of_token(credential, network)

    def _of_key(self, text: str) -> _Remembered:
        if not self._knows_keys:
            raise _unavailable(NO_KEYS)
        key_id, secret = key_parts(text) or ("", "")
        key = self._keys.get(key_id)
        # Compared even where there is no such key, so that the response time does not reveal which ids exist.
        is_right = hmac.compare_digest(secret_hash(secret), key.secret_sha256 if key else _NO_HASH)
        if key is None or not is_right:
            raise BadCredentialError("the key is not valid")
        until = key.expires_at.timestamp() if key.expires_at else math.inf
        if until <= self._clock():
            raise BadCredentialError("the key has expired")
        return _Remembered(caller_of_key(key), until, key)

    async def _of_token(self, text: str, network: str) -> _Remembered:
        if not (self._settings.jwt_issuer and self._settings.jwt_audience):
            raise BadCredentialError(
                "the credential is not an API key, and this service does not accept access tokens: send a key"
            )
        try:
            return self._of_known_issuer(text)
        except UnknownKeyError:
            # Forged tokens wait too while the issuer is slow, so their number is bounded.
            async with self._waiting.place(network) as place:
                if not await self._has_refreshed(place):
                    raise
        return self._of_known_issuer(text)

    def _of_known_issuer(self, text: str) -> _Remembered:
        if self._tokens is None:
            raise UnknownKeyError
        token = self._tokens.verified(text)
        return _Remembered(caller_of_token(token.name, token.roles), token.until, None)

    async def _has_refreshed(self, place: Place) -> bool:
        before = self._tokens
        async with place.waiting(2 * PATIENCE_SECONDS):
            document = await self._refresh() if self._refresh else None
        if document is not None:
            self.replace_jwks(document)
        if self._tokens is None:
            # Not the caller's fault, so it is not counted as a bad credential.
            raise _unavailable(NO_PUBLIC_KEYS)
        return self._tokens is not before

    def _remember(self, header: bytes, found: _Remembered) -> None:
        self._remembered[sha256(header).digest()] = found
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _forget(self, is_over: Callable[[_Remembered], bool]) -> None:
        for digest in [digest for digest, entry in self._remembered.items() if is_over(entry)]:
            del self._remembered[digest]

    def _refused(self, error: BadCredentialError, address: str) -> Problem:
        allowed = self._settings.bad_credentials_per_minute
        wait = self._rates.allow(f"guesses {origin(address)}", allowed / 60, allowed, verified=False)
        if wait:
            return too_many("too many bad credentials came from this address", wait)
        return _unauthenticated(str(error))


def check_scope(caller: Caller, scope: str, model: str | None = None) -> None:
    """Refuse a caller who lacks a scope for a model; with ``model=None``, for all models.

    Raises
    ------
    Problem
        The caller lacks the scope.
    """
    if not caller.may(scope, model):
        where = "all models" if model is None else f"the model {model!r}"
        raise Problem("forbidden", f"this needs the scope {scope!r} for {where}, which the key or token does not have")


def refuse_unprotected(settings: ServingSettings, has_keys: bool) -> None:
    """Refuse to start a service that everyone on the network could use, or that no one could use.

    Parameters
    ----------
    settings
        Settings of the service.
    has_keys
        Whether there is a key that is neither revoked nor expired.

    Raises
    ------
    ConfigError
        The service is open on an address other than loopback, or to a proxy's clients; it requires credentials and
        there are none; or it accepts access tokens without an expected issuer and audience.
    """
    if settings.is_open and settings.proxy_networks:
        raise ConfigError(
            "every client of the trusted proxies could use the service without credentials: set "
            "PERENNIAL_SERVE_ACCESS=required, or unset PERENNIAL_SERVE_TRUSTED_PROXIES"
        )
    if settings.is_open and not settings.is_loopback:
        raise ConfigError(
            f"every client that reaches {settings.host} could use the service without credentials: set "
            "PERENNIAL_SERVE_ACCESS=required and create a key with 'perennial keys create NAME --scope predict', or "
            "listen on 127.0.0.1"
        )
    if settings.jwks_url:
        check_jwks_url(settings.jwks_url)
        _issuer_and_audience(settings)
    elif not settings.is_open and not has_keys:
        raise ConfigError(
            "the service requires credentials and no key exists: create one with "
            "'perennial keys create NAME --scope predict', or set PERENNIAL_SERVE_JWKS_URL"
        )


def _issuer_and_audience(settings: ServingSettings) -> tuple[str, str]:
    if not (settings.jwt_issuer and settings.jwt_audience):
        raise ConfigError(
            "access tokens need an expected issuer and audience: "
            "set PERENNIAL_SERVE_JWT_ISSUER and PERENNIAL_SERVE_JWT_AUDIENCE together with PERENNIAL_SERVE_JWKS_URL"
        )
    return settings.jwt_issuer, settings.jwt_audience


def _credential(header: bytes) -> str:
    """Return the key or the token of a header."""
    try:
        scheme, _, rest = header.decode("ascii").strip().partition(" ")
    except UnicodeDecodeError as error:
        raise BadCredentialError("the header Authorization contains characters outside ASCII") from error
    kind = scheme.lower()
    if kind == "bearer":
        return rest.strip()
    if kind == "basic":
        return _password(rest.strip())
    raise BadCredentialError("the header Authorization must begin with Bearer or Basic")


def _password(encoded: str) -> str:
    try:
        password = b64decode(encoded, validate=True).decode("ascii").partition(":")[2]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadCredentialError("Basic credentials must be the base64 of a name, a colon and an API key") from error
    if not password.startswith(PREFIX):
        raise BadCredentialError("the password of Basic credentials must be an API key")
    return password


def origin(address: str) -> str:
    """Return the address, or the /64 network of an IPv6 address, by which bad credentials are counted.

    One household has a whole /64 network, so single IPv6 addresses would not limit guessing.
    """
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or parsed
    if isinstance(parsed, IPv6Address):
        return f"{int(parsed) >> _NETWORK_BITS:x}/{_NETWORK_BITS}"
    return str(parsed)


def _unauthenticated(detail: str) -> Problem:
    return Problem("unauthenticated", detail, headers=_CHALLENGE)


def _unavailable(detail: str) -> Problem:
    return Problem("access-unavailable", f"{detail}; try again later", retry_after=1)
