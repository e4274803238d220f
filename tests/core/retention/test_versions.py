"""Which versions keep their files."""

import pytest

from core.retention.versions import ALIASED, CHALLENGER, CHAMPION, IN_PROGRESS, PREVIOUS, UNKNOWN, VersionsInUse, needed

IN_USE = VersionsInUse(champion=5, challenger=7, previous=[3, 1], open_triggers={"drift:abc"}, aliased={2})


@pytest.mark.parametrize(
    ("version", "trigger", "reason"),
    [
        (5, "manual", CHAMPION),
        (3, "manual", PREVIOUS),
        (1, "manual", PREVIOUS),
        (7, "manual", CHALLENGER),
        (6, "drift:abc", IN_PROGRESS),
        (6, "drift:abd", ""),
        (2, "manual", ALIASED),
        (4, "manual", ""),
    ],
)
def test_a_version_in_use_keeps_its_files(version: int, trigger: str, reason: str) -> None:
    """The champion, what a rollback returns to, what waits for a person, and what a trigger has in work."""
    assert needed(version, trigger, IN_USE) == reason


def test_the_versions_of_others_keep_their_files() -> None:
    """A version that another tool registered is never touched."""
    assert needed(1, "", IN_USE, is_ours=False) == UNKNOWN


def test_without_a_champion_only_the_number_decides() -> None:
    """A model without champion has no version in use."""
    assert needed(1, "manual", VersionsInUse(None, None)) == ""
