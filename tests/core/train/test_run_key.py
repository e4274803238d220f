"""The key of a training run."""

import pytest

from core.train.run_key import run_key

PARTS = ("credit", "d" * 32 + ".dir", "c" * 64, "s" * 64)


def test_same_parts_give_the_same_key() -> None:
    """The key depends on nothing but its four parts."""
    assert run_key(*PARTS) == run_key(*PARTS)
    assert len(run_key(*PARTS)) == 64


@pytest.mark.parametrize("place", range(4))
def test_any_other_part_gives_another_key(place: int) -> None:
    """Each part counts."""
    changed = [*PARTS]
    changed[place] += "0"
    assert run_key(*changed) != run_key(*PARTS)


def test_parts_do_not_run_together() -> None:
    """Moving a character from one part to the next makes another key."""
    assert run_key("a", "bc", "", "") != run_key("ab", "c", "", "")
