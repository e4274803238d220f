"""The text of a key, and what it opens at a moment."""

from __future__ import annotations

import doctest
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

import store.key_text
from store.key_text import key_parts, key_state, new_key, secret_hash

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_examples_hold() -> None:
    """The documented examples run."""
    assert doctest.testmod(store.key_text).failed == 0


def test_a_new_key_and_its_text_belong_together() -> None:
    """The text has the id and a secret of that hash; what is kept has no secret, and names each scope once."""
    key, text = new_key("shop", ["label", "predict", "label"], ["b", "a", "b"], None, AT, None)
    parts = key_parts(text)
    assert parts is not None
    assert (parts[0], secret_hash(parts[1])) == (key.id, key.secret_sha256)
    assert parts[1] not in repr(key)
    assert (key.scopes, key.models) == (("label", "predict"), ("b", "a"))
    assert new_key("shop", ["label"], [], None, AT, None)[1] != text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pk_",
        "pk_0123456789ab_" + 42 * "x",
        "pk_0123456789ab_" + 44 * "x",
        "pk_0123456789AB_" + 43 * "x",
        "pk_0123456789a_" + 43 * "x",
        "sk_0123456789ab_" + 43 * "x",
        " pk_0123456789ab_" + 43 * "x",
        "pk_0123456789ab_" + 43 * "x" + "\n",
        "pk_0123456789ab_" + 42 * "x" + "ä",
    ],
)
def test_other_texts_are_no_keys(text: str) -> None:
    """A text that is longer, shorter or of other characters has no parts."""
    assert key_parts(text) is None


def test_a_key_ends_at_its_moment() -> None:
    """To the microsecond; a revoked one is revoked whatever its time, and one without an end has none."""
    key, _ = new_key("shop", ["predict"], [], None, AT, AT + timedelta(days=1))
    assert key_state(key, AT + timedelta(days=1, microseconds=-1)) == "active"
    assert key_state(key, AT + timedelta(days=1)) == "expired"
    assert key_state(replace(key, revoked_at=AT), AT) == "revoked"
    assert key_state(replace(key, expires_at=None), AT.replace(year=9999)) == "active"
