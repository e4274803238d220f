"""Whether a text names a key."""

from __future__ import annotations

import pytest

from core.erasure.mentions import mentions


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("id must be unique: 2 of 9 rows fail, e.g. 4711; 12", "4711", True),
        ("4711", "4711", True),
        ("request 4711.", "4711", True),
        ("14711 or 47110", "4711", False),
        ("0.4711 and 4711-2", "4711", False),
        ("customer a+b (new)", "a+b", True),
        ("customer aab", "a+b", False),
    ],
)
def test_a_key_is_named_as_a_whole(text: str, key: str, found: bool) -> None:
    """A part of another number or name is no mention."""
    assert mentions(text, key) is found
