"""What keys and roles allow."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime

import pytest

import serving.access.callers
from serving.access.callers import ANYONE, caller_of_key, caller_of_token, grants_of_roles
from store.key_text import SCOPES, ApiKey

KEY = ApiKey("0" * 12, "shop", "f" * 64, ("predict", "label"), ("credit",), 2.0, datetime(2026, 1, 1, tzinfo=UTC))


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(serving.access.callers).failed == 0


def test_a_key_of_a_model_opens_that_model_alone() -> None:
    """And no question about all models."""
    caller = caller_of_key(KEY)
    assert caller.may("predict", "credit")
    assert not caller.may("predict", "grade")
    assert not caller.may("predict")
    assert not caller.may("operate", "credit")
    assert (caller.may_somewhere("label"), caller.may_somewhere("operate")) == (True, False)
    assert (caller.id, caller.name, caller.rate) == ("key:" + "0" * 12, "shop", 2.0)


def test_anyone_may_everything() -> None:
    """Where the service is open."""
    assert all(ANYONE.may(scope) and ANYONE.may(scope, "credit") for scope in SCOPES)


@pytest.mark.parametrize(
    ("role", "grants"),
    [
        ("predict", {("predict", "")}),
        ("perennial:predict:credit", {("predict", "credit")}),
        ("predict:", set()),
        ("perennial:predict:", set()),
        (":credit", set()),
        ("", set()),
        ("perennial:", set()),
        ("Predict", set()),
        ("admin", set()),
        ("predict:a:b", {("predict", "a:b")}),
        ("perennial:perennial:predict", set()),
    ],
)
def test_a_role_that_is_not_ours_grants_nothing(role: str, grants: set[tuple[str, str]]) -> None:
    """A role without its model is a mistake, and does not stand for all models."""
    assert grants_of_roles([role]) == grants


def test_a_tokens_name_cannot_steer_a_log() -> None:
    """It is cut and printable; two long names that begin alike remain two callers."""
    caller = caller_of_token("a\x1b[2J\nb" + "x" * 300, ["label"])
    assert caller.name.startswith("a[2Jbx")
    assert (len(caller.name), caller.name.isprintable()) == (255, True)
    assert caller.id != caller_of_token("a[2Jb" + "x" * 299, ["label"]).id
    assert caller_of_token(KEY.id, []).id != caller_of_key(KEY).id
