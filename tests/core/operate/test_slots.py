from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from core.operate.slots import newer_slot

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
SLOTS = st.lists(st.integers(-5, 5), min_size=1, max_size=8, unique=True)


def _at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


@given(SLOTS)
def test_of_all_due_slots_exactly_the_newest_is_left(minutes: list[int]) -> None:
    """Whatever was missed, one run works and each of the others finds a newer one; slots to come do not count."""
    slots = [_at(minute) for minute in minutes]
    due = [slot for slot in slots if slot <= NOON]
    working = [slot for slot in due if newer_slot(slot, slots, NOON) is None]
    assert working == ([max(due)] if due else [])
    assert {newer_slot(slot, slots, NOON) for slot in due if slot not in working} <= {max(due, default=None)}


def test_a_slot_is_due_at_its_moment() -> None:
    """The next slot takes over as soon as it is there."""
    assert newer_slot(_at(-1), [_at(0)], NOON) == NOON
    assert newer_slot(_at(-1), [_at(1)], NOON) is None
