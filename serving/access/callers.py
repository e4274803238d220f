"""Who asks, and what they may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from store.api_keys import ApiKey
from store.key_text import SCOPES

Grant = tuple[str, str]
"""A scope, and the model it is for; the empty name stands for all models."""

_ROLE_PREFIX = "perennial:"
_MAX_NAME = 255


class BadCredentialError(Exception):
    """A key or a token is not accepted; the message may be told to the caller."""


class UnknownKeyError(BadCredentialError):
    """A token is signed with a key that is not among those we have; newer ones may hold it."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Parameters
    ----------
    id
        Unique, unlike the name: what the rate is counted by.
    name
        Written beside what the caller sends.
    grants
        What the caller may do.
    rate
        Requests per second; None for no bound.
    """

    id: str
    name: str
    grants: frozenset[Grant]
    rate: float | None = None

    def may(self, scope: str, model: str | None = None) -> bool:
        """Say whether the caller has a scope for a model; for all models where None is named."""
        return (scope, "") in self.grants or (model is not None and (scope, model) in self.grants)

    def may_somewhere(self, scope: str) -> bool:
        """Say whether the caller has a scope for at least one model: for lists, which then name those models only."""
        return any(granted == scope for granted, _ in self.grants)


ANYONE = Caller("", "anyone", frozenset((scope, "") for scope in SCOPES))
"""Who needs no credentials, where the service is open."""


def caller_of_key(key: ApiKey) -> Caller:
    """Return whom a key stands for: each of its scopes, for each of its models."""
    models = key.models or ("",)
    return Caller(f"key:{key.id}", key.name, frozenset((s, m) for s in key.scopes for m in models), key.rate)


def caller_of_token(name: str, roles: Iterable[str]) -> Caller:
    """Return whom a verified token stands for."""
    name = "".join(character for character in name if character.isprintable())
    return Caller(f"token:{name}", name[:_MAX_NAME], grants_of_roles(roles))


def grants_of_roles(roles: Iterable[str]) -> frozenset[Grant]:
    """Return what roles allow; those that are not ours are passed over.

    Examples
    --------
    >>> sorted(grants_of_roles(["predict:credit", "perennial:label", "offline_access", "operate:"]))
    [('label', ''), ('predict', 'credit')]
    """
    return frozenset(grant for role in roles if (grant := _grant(role)))


def _grant(role: str) -> Grant | None:
    scope, colon, model = role.removeprefix(_ROLE_PREFIX).partition(":")
    # A colon with nothing after it is a mistake and must not grow into all models.
    return (scope, model) if scope in SCOPES and bool(colon) == bool(model) else None
