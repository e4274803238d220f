from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.release.routing import goes_to_challenger

SUBJECTS = [f"customer-{number}" for number in range(20_000)]


@pytest.mark.parametrize("share", [1, 5, 25, 50, 99])
def test_the_share_of_the_subjects_is_the_share(share: int) -> None:
    """Of 20,000 subjects the challenger answers its share, within four standard errors."""
    found = 100 * np.mean([goes_to_challenger("release-1", subject, share) for subject in SUBJECTS])
    assert found == pytest.approx(share, abs=400 * np.sqrt(share / 100 * (1 - share / 100) / len(SUBJECTS)))


@given(salt=st.text(max_size=16), subject=st.text(), low=st.integers(0, 100), high=st.integers(0, 100))
def test_a_larger_share_keeps_its_subjects(salt: str, subject: str, low: int, high: int) -> None:
    """Who is answered by the challenger at a share is answered by it at every larger one, whatever the texts."""
    small, large = sorted((low, high))
    assert goes_to_challenger(salt, subject, small) <= goes_to_challenger(salt, subject, large)
    assert not goes_to_challenger(salt, subject, 0)
    assert goes_to_challenger(salt, subject, 100)


def test_another_release_takes_other_subjects() -> None:
    """Of the subjects in the 5 % of one release, 5 % are in those of the next."""
    first = [subject for subject in SUBJECTS if goes_to_challenger("release-1", subject, 5)]
    again = sum(goes_to_challenger("release-2", subject, 5) for subject in first)
    assert again / len(first) == pytest.approx(0.05, abs=0.03)


def test_the_hash_never_changes() -> None:
    """A release that runs goes on with the same subjects in a later version of the code."""
    chosen = [number for number in range(200) if goes_to_challenger("release-1", f"customer-{number}", 5)]
    assert chosen == [1, 3, 11, 20, 35, 88, 100, 104, 128, 144, 195, 197]


def test_half_a_surrogate_is_a_subject() -> None:
    """A key that JSON may hold and UTF-8 may not is routed too."""
    assert goes_to_challenger("release-1", "\ud800", 100)


def test_a_long_salt_is_refused() -> None:
    """The key of the hash has 64 bytes."""
    with pytest.raises(ValueError, match="key"):
        goes_to_challenger("x" * 65, "customer-1", 5)
