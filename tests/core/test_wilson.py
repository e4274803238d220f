"""The score interval of a share."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from core.wilson import wilson_interval


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (3, 17), (17, 17), (500, 1000)])
def test_wilson_interval_equals_scipys(hits: int, n: int) -> None:
    """The interval of a share is SciPy's, also at 0 and 1."""
    expected = binomtest(hits, n).proportion_ci(0.9, method="wilson")
    assert wilson_interval(hits / n, n, 0.9) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_interval_of_a_share_holds_it_to_the_last_bit(share: float) -> None:
    """Where every trial ended alike, rounding must not put the end of the interval beyond the share."""
    intervals = [wilson_interval(share, n, 0.95) for n in range(1, 3000)]
    assert all(low <= share <= high for low, high in intervals)
