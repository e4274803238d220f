"""Tokens are believed only as far as the issuer's own keys go."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc.jwk import RSAKey
from joserfc.util import json_b64encode

from serving.access.callers import BadCredentialError, UnknownKeyError
from serving.access.jwks import public_keys
from serving.access.tokens import Token, Tokens
from tests.serving.access.issuer import AUDIENCE, ISSUER, NOW, AnyKey, claims, jwks, signing_key, token

SIGNERS = [
    ("RS256", "RSA"),
    ("RS512", "RSA"),
    ("PS256", "RSA"),
    ("ES256", "P-256"),
    ("ES384", "P-384"),
    ("EdDSA", "Ed25519"),
]


def _tokens(*keys: AnyKey, roles_claim: str = "roles") -> Tokens:
    return Tokens(
        public_keys(jwks(*keys)), issuer=ISSUER, audience=AUDIENCE, roles_claim=roles_claim, clock=lambda: NOW
    )


@pytest.mark.parametrize(("alg", "kind"), SIGNERS)
def test_each_algorithm_verifies(alg: str, kind: str) -> None:
    """A good token is believed until it ends, with half a minute for clocks that differ."""
    key = signing_key(kind)
    assert _tokens(key).verified(token(key=key, alg=alg)) == Token("shop", ("predict",), NOW + 630)


@pytest.mark.parametrize("alg", ["none", "HS256", "RS384", "PS512", "ES512", "RSA-OAEP", ""])
def test_other_algorithms_are_refused_by_their_name(alg: str) -> None:
    """The token does not choose how it is verified."""
    forged = ".".join([json_b64encode({"alg": alg, "kid": "one"}).decode(), *token().split(".")[1:]])
    with pytest.raises(BadCredentialError, match="algorithm"):
        _tokens().verified(forged)


@pytest.mark.parametrize(
    "parameters",
    [{"use": "enc"}, {"key_ops": ("encrypt",)}, {"alg": "RS512"}],
    ids=["use", "key_ops", "alg"],
)
def test_a_key_verifies_only_what_it_was_made_for(parameters: dict[str, Any]) -> None:
    """What the issuer says of a key holds."""
    key = signing_key()
    document = jwks(key)
    document["keys"][0] |= {name: list(v) if isinstance(v, tuple) else v for name, v in parameters.items()}
    tokens = Tokens(document["keys"], issuer=ISSUER, audience=AUDIENCE, roles_claim="roles", clock=lambda: NOW)
    with pytest.raises(BadCredentialError, match="signature"):
        tokens.verified(token(key=key))


def test_a_key_of_another_kind_does_not_verify() -> None:
    """A token may not name an elliptic curve's algorithm and an RSA key."""
    forged = token(key=signing_key("P-256", kid="one"), alg="ES256")
    with pytest.raises(BadCredentialError, match="signature"):
        _tokens(signing_key()).verified(forged)


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_weak_keys_are_passed_over() -> None:
    """An RSA key below 2048 bits can be broken; a token signed with it is signed by an unknown key."""
    weak = RSAKey.generate_key(1024, {"kid": "weak"})
    with pytest.raises(UnknownKeyError):
        _tokens(weak, signing_key()).verified(token(key=weak))


@pytest.mark.parametrize(
    "key",
    [{}, {"kty": "RSA"}, {"kty": "RSA", "n": 5, "e": "AQAB"}, {"kty": "EC", "crv": "P-1", "x": "AA", "y": "AA"},
     {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, {"kty": "oct", "k": "AAAA"}, {"kty": ["RSA"]}],
    ids=str,
)  # fmt: skip
def test_keys_that_cannot_be_read_spoil_no_others(key: dict[str, Any]) -> None:
    """One odd key in a document leaves the good ones in use."""
    keys = [key, *jwks()["keys"]]
    tokens = Tokens(keys, issuer=ISSUER, audience=AUDIENCE, roles_claim="roles", clock=lambda: NOW)
    assert tokens.verified(token()).name == "shop"


def test_an_issuer_with_one_key_need_not_name_it() -> None:
    """With two keys, a token says which."""
    nameless = token(header={"kid": None})
    assert _tokens(signing_key()).verified(nameless).name == "shop"
    with pytest.raises(UnknownKeyError):
        _tokens(signing_key(), signing_key(kid="two")).verified(nameless)


@pytest.mark.parametrize(
    ("claim", "content", "roles"),
    [
        ("roles", {"roles": ["predict", "label"]}, ("predict", "label")),
        ("scope", {"scope": "openid predict"}, ("openid", "predict")),
        ("realm_access.roles", {"realm_access": {"roles": ["operate"]}}, ("operate",)),
        ("https://example.org/roles", {"https://example.org/roles": ["label"]}, ("label",)),
        ("roles", {"roles": ["predict", 3, None]}, ("predict",)),
        ("roles", {"roles": {"predict": True}}, ()),
        ("realm_access.roles", {"realm_access": ["operate"]}, ()),
        ("other", {}, ()),
    ],
    ids=str,
)
def test_roles_stand_where_the_settings_say(claim: str, content: dict[str, Any], roles: tuple[str, ...]) -> None:
    """A list or a text, at the top or in an object; anything else is no role."""
    tokens = _tokens(roles_claim=claim)
    assert tokens.verified(token(claims(**({"roles": None} | content)))).roles == roles


@pytest.mark.parametrize("names", [{"client_id": "batch"}, {"azp": "batch"}], ids=str)
def test_a_token_without_a_subject_bears_its_clients_name(names: dict[str, str]) -> None:
    """Machines' tokens often have no subject."""
    assert _tokens().verified(token(claims(sub=None, **names))).name == "batch"


def test_without_issuer_and_audience_nothing_is_verified() -> None:
    """An empty setting must not turn into 'any'."""
    with pytest.raises(ValueError, match="issuer"):
        Tokens([], issuer="", audience=AUDIENCE, roles_claim="roles", clock=lambda: NOW)
