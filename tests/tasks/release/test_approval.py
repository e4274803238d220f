"""A person's approval starts a release where there is something to observe."""

from __future__ import annotations

import pytest

from config.settings import Settings
from core.errors import ReleaseError
from store.champions import reviews
from tasks.champions.approvals import Move
from tasks.release.approval import approve_version
from tests.tasks.registration import judged
from tests.tasks.release.traffic import database, two_versions

pytestmark = pytest.mark.usefixtures("warm_steps")


def test_an_approval_starts_a_release(served: Settings) -> None:
    """The approval is on record; a repeat is the same release, and --direct promotes."""
    found = approve_version("credit", "2", "agreed", served, override=True)
    assert not isinstance(found, Move)
    assert found.release.kind == "approval"
    assert found.release.reason.startswith("agreed")
    assert [review.action for review in reviews(database(served), "credit")] == ["approved"]
    assert approve_version("credit", "2", "agreed", served, override=True) == found
    moved = approve_version("credit", "2", "at once", served, override=True, direct=True)
    assert isinstance(moved, Move)
    assert moved.moved


def test_another_version_waits(served: Settings) -> None:
    """One release at a time; the message says how to end the running one."""
    approve_version("credit", "2", "agreed", served, override=True)
    judged(served, "c")
    with pytest.raises(ReleaseError, match="it waits for the end of release 1; abort that one first"):
        approve_version("credit", "3", "agreed", served, override=True)


def test_an_approval_without_traffic_promotes(registry: Settings) -> None:
    """In the mode auto there is nothing to observe."""
    two_versions(registry, mode="auto")
    moved = approve_version("credit", "2", "agreed", registry, override=True)
    assert isinstance(moved, Move)
    assert moved.entry.version == 2
