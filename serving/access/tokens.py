"""Verify access tokens (JWT). Imported with the first public keys: the cryptography library is slow to import."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from joserfc.errors import ClaimError, ExpiredTokenError, JoseError, MissingClaimError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry, deserialize_compact
from joserfc.jwt import JWTClaimsRegistry
from joserfc.util import base64_to_int, urlsafe_b64decode

from serving.access.callers import BadCredentialError, UnknownKeyError

ALGORITHMS = frozenset({"RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA"})
"""Only asymmetric algorithms: a key that verifies must not be able to sign."""

LEEWAY_SECONDS = 30
MAX_TOKEN_BYTES = 8192
_RSA_BITS = range(2048, 8193)
_NAMES = ("sub", "client_id", "azp")

PublicKey = RSAKey | ECKey | OKPKey
_KEY_TYPES: dict[str, type[PublicKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}


class _Header(msgspec.Struct):
    """The fields of a token's header that are read before its signature is verified."""

    alg: str
    kid: str | None = None
    crit: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class _Registry(JWSRegistry):
    """The accepted algorithms, without joserfc's warning about the name EdDSA; the token's length bounds all parts."""

    max_header_length = MAX_TOKEN_BYTES
    max_signature_length = MAX_TOKEN_BYTES

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


@dataclass(frozen=True)
class Token:
    """The content of a verified token.

    Parameters
    ----------
    name
        Its subject, or else the client that it was issued to.
    roles
        Its roles, unchanged.
    until
        Seconds since 1970 from which it is no longer accepted.
    """

    name: str
    roles: tuple[str, ...]
    until: float


class Tokens:
    """Verifies tokens of one issuer.

    Parameters
    ----------
    keys
        Public keys (JWK). Keys that cannot be read or are too weak are ignored.
    issuer, audience
        Expected values of the claims ``iss`` and ``aud``.
    roles_claim
        Claim with the roles. A name with dots, as ``realm_access.roles``, is a path into objects unless a claim has
        this whole name.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        keys: Iterable[Mapping[str, Any]],
        *,
        issuer: str,
        audience: str,
        roles_claim: str,
        clock: Callable[[], float],
    ) -> None:
        if not (issuer and audience):
            raise ValueError("expected an issuer and an audience, found an empty one")
        self._keys = [key for document in keys if (key := _imported(document))]
        self._roles_claim = roles_claim
        self._registry = _Registry(strict_check_header=False)
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    def verified(self, text: str) -> Token:
        """Return the content of a token after verifying it.

        Raises
        ------
        UnknownKeyError
            It is signed with a key that is not known here.
        BadCredentialError
            It is not a token, was changed, has expired, or has another issuer or audience.
        """
        if len(text) > MAX_TOKEN_BYTES:
            raise BadCredentialError(f"the token is longer than {MAX_TOKEN_BYTES} bytes")
        claims = self._signed_claims(text, self._key_for(_header(text)))
        try:
            self._claims.validate(claims)
        except ClaimError as error:
            raise BadCredentialError(_claim_problem(error)) from error
        return Token(_name(claims), _roles(claims, self._roles_claim), claims["exp"] + LEEWAY_SECONDS)

    def _key_for(self, header: _Header) -> PublicKey:
        if header.kid is None:
            # An issuer with one key need not name it.
            found = self._keys if len(self._keys) == 1 else []
        else:
            found = [key for key in self._keys if key.kid == header.kid]
        if not found:
            raise UnknownKeyError("the token is signed with an unknown key")
        return found[0]

    def _signed_claims(self, text: str, key: PublicKey) -> dict[str, Any]:
        try:
            signed: CompactSignature = deserialize_compact(text, key, registry=self._registry)
            claims = json.loads(signed.payload or b"")
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise BadCredentialError("the token's signature is not valid") from error
        if not isinstance(claims, dict):
            raise BadCredentialError("the token's claims are not a JSON object")
        return claims


def _header(text: str) -> _Header:
    try:
        header = msgspec.json.decode(urlsafe_b64decode(text.partition(".")[0].encode()), type=_Header)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise BadCredentialError("the credential is neither a key nor a token") from error
    if header.alg not in ALGORITHMS:
        raise BadCredentialError(f"the token's algorithm must be one of {', '.join(sorted(ALGORITHMS))}")
    if header.crit is not msgspec.UNSET:
        raise BadCredentialError("the token requires an extension (header crit) that is not supported")
    return header


def _imported(document: Mapping[str, Any]) -> PublicKey | None:
    try:
        kind = _KEY_TYPES[document["kty"]]
        if kind is RSAKey and base64_to_int(document["n"]).bit_length() not in _RSA_BITS:
            return None
        return kind.import_key(dict(document))
    except (JoseError, ValueError, TypeError, KeyError):
        return None


def _claim_problem(error: ClaimError) -> str:
    if isinstance(error, ExpiredTokenError):
        return "the token has expired"
    if isinstance(error, MissingClaimError):
        return f"the token lacks the claim {error.claim}"
    return f"the token's claim {error.claim} does not have the value that this service expects"


def _name(claims: Mapping[str, Any]) -> str:
    return next((claims[name] for name in _NAMES if isinstance(claims.get(name), str)), "")


def _roles(claims: Mapping[str, Any], claim: str) -> tuple[str, ...]:
    # Some issuers name their claims by URLs, whose dots are not a path.
    found = claims[claim] if claim in claims else _walked(claims, claim.split("."))
    if isinstance(found, str):
        return tuple(found.split())
    return tuple(role for role in found if isinstance(role, str)) if isinstance(found, list) else ()


def _walked(place: Any, path: list[str]) -> Any:
    for name in path:
        place = place.get(name) if isinstance(place, dict) else None
    return place
