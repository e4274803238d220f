"""What a look's result says of the next steps."""

from __future__ import annotations

import pytest

from core.release.outcome import ReleaseOutcome, ReleaseStatus


@pytest.mark.parametrize(
    ("status", "refused", "moved", "over"),
    [
        ("none", False, False, True),
        ("held", False, False, False),
        ("paused", False, False, False),
        ("advanced", False, False, False),
        ("promoted", False, True, False),
        ("completed", False, True, True),
        ("rolled_back", True, True, True),
        ("superseded", False, True, True),
    ],
)
def test_what_follows(status: ReleaseStatus, refused: bool, moved: bool, over: bool) -> None:
    """Aliases follow the champion, and a version that waits may start once nothing runs."""
    outcome = ReleaseOutcome("credit", status, ("why",))
    assert (outcome.refused, outcome.moved_champion, outcome.is_over) == (refused, moved, over)
    assert outcome.to_dict()["status"] == status
