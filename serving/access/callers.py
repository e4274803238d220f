"""Callers and their permissions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from store.key_text import SCOPES, ApiKey

Grant = tuple[str, str]
"""A scope and its model; an empty name means all models."""

_ROLE_PREFIX = "perennial:"
_MAX_NAME = 255


class BadCredentialError(Exception):
    """A key or a token is not accepted; the message may be sent to the caller."""


class UnknownKeyError(BadCredentialError):
    """A token is signed with a key that is not known here; a newer key set may contain it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller.

    Parameters
    ----------
    id
        Unique, unlike the name; the rate is counted per id.
    name
        Stored with what the caller sends.
    grants
        What the caller may do.
    rate
        Most requests per second; None: no limit.
    """

    id: str
    name: str
    grants: frozenset[Grant]
    rate: float | None = None

    def may(self, scope: str, model: str | None = None) -> bool:
        """Whether the caller has a scope for a model; with ``model=None``, for all models."""
        return (scope, "") in self.grants or (model is not None and (scope, model) in self.grants)

    def may_somewhere(self, scope: str) -> bool:
        """Whether the caller has a scope for at least one model; lists then contain only those models."""
        return any(granted == scope for granted, _ in self.grants)


ANYONE = Caller("", "anyone", frozenset((scope, "") for scope in SCOPES))
"""The caller of a request without credentials, where the service is open."""


def caller_of_key(key: ApiKey) -> Caller:
    """Return the caller of a key, with each of its scopes for each of its models."""
    models = key.models or ("",)
    return Caller(f"key:{key.id}", key.name, frozenset((s, m) for s in key.scopes for m in models), key.rate)


def caller_of_token(name: str, roles: Iterable[str]) -> Caller:
    """Return the caller of a verified token."""
    name = "".join(character for character in name if character.isprintable())
    return Caller(f"token:{name}", name[:_MAX_NAME], grants_of_roles(roles))


def grants_of_roles(roles: Iterable[str]) -> frozenset[Grant]:
    """Return the grants of roles; roles that are not Perennial's are ignored.

    Examples
    --------
    >>> sorted(grants_of_roles(["predict:credit", "perennial:label", "offline_access", "operate:"]))
    [('label', ''), ('predict', 'credit')]
    """
    return frozenset(grant for role in roles if (grant := _grant(role)))


def _grant(role: str) -> Grant | None:
    scope, colon, model = role.removeprefix(_ROLE_PREFIX).partition(":")
    # A colon with nothing after it is a mistake and must not mean all models.
    return (scope, model) if scope in SCOPES and bool(colon) == bool(model) else None
