"""What a service shows of a look."""

from __future__ import annotations

import json

import pytest

from serving.release.look import ReleaseLook, release_look


def test_the_known_part_of_a_look_is_shown() -> None:
    """Other fields may be there."""
    check = {"name": "latency", "state": "ok", "champion": 1.5, "challenger": 2.0, "limit": 1.5, "required": True}
    found = release_look(
        json.dumps({"checks": [check], "reasons": ["so"], "outcome": "hold", "deadline": "2026-01-02"})
    )
    assert [(one.name, one.state, one.challenger, one.lower) for one in found.checks] == [("latency", "ok", 2.0, None)]
    assert (found.reasons, found.deadline) == (("so",), "2026-01-02")


@pytest.mark.parametrize("document", ["", "no JSON", "[]", '{"checks": [{"state": 1}]}'])
def test_a_look_that_cannot_be_read_is_empty(document: str) -> None:
    """The page does not fail because another version of the flow wrote it."""
    assert release_look(document) == ReleaseLook()
