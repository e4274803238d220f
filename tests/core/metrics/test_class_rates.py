"""Rates of classes, compared as ratios."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep  # type: ignore[import-untyped] # ships no types

from core.metrics.class_rates import ClassRate, class_rate, ratio_interval


def _counts(rows: int, events: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([rows - events, events, 0])


def _rate(reference: tuple[int, int], current: tuple[int, int]) -> ClassRate:
    sides = (_counts(*side) for side in (reference, current))
    return class_rate(("no", "yes"), *sides, bound=1.25, confidence=0.995)


@pytest.mark.parametrize("counts", [(30, 1_000, 15, 1_000), (5, 2_000, 60, 20_000), (445, 50_000, 118, 20_000)])
def test_interval_is_koopmans(counts: tuple[int, int, int, int]) -> None:
    """The ends equal those of statsmodels."""
    expected = confint_proportions_2indep(*counts, method="score", compare="ratio", alpha=0.01, correction=False)
    assert ratio_interval(*counts, 0.99) == pytest.approx(expected, rel=1e-6)


def test_intervals_without_events_are_open() -> None:
    """Without an event in the window the lower end is 0; without one in the reference there is no upper end."""
    low, high = ratio_interval(0, 500, 10, 5_000, 0.99)
    assert low == 0.0
    assert high == pytest.approx(6.582363, rel=1e-6)
    low, high = ratio_interval(10, 500, 0, 5_000, 0.99)
    assert low > 1
    assert high is None
    assert ratio_interval(0, 500, 0, 5_000, 0.99) == (0.0, None)
    assert ratio_interval(1_000, 1_000, 9_800, 10_000, 0.99) == pytest.approx((1.01367, 1.024524), rel=1e-5)


@pytest.mark.parametrize("rate", [0.001, 0.0059, 0.05])
def test_intervals_of_rare_events_cover_the_true_ratio(rate: float) -> None:
    """Of 3,000 intervals of equal rates at 99 %, at most 1.6 % miss 1: three standard errors above 1 %."""
    generator = np.random.default_rng(5)
    pairs = zip(generator.binomial(60_000, rate, 3_000), generator.binomial(20_000, rate, 3_000), strict=True)
    ends = [ratio_interval(int(now), 60_000, int(before), 20_000, 0.99) for now, before in pairs]
    assert np.mean([not low <= 1 <= (np.inf if high is None else high) for low, high in ends]) < 0.016


def test_interval_agrees_with_the_test_of_equal_rates() -> None:
    """The interval at 1 - p of the chi-square test ends at 1."""
    p_value = stats.chi2_contingency([[60, 9_940], [40, 9_960]], correction=False).pvalue
    assert ratio_interval(60, 10_000, 40, 10_000, 1 - p_value)[0] == pytest.approx(1, abs=1e-6)


def test_sentence_gives_both_rates_and_the_ratio() -> None:
    """The example of a fraud rate that rose by half."""
    found = _rate((150_000, 885), (297_115, 2_644))
    assert found.is_large
    assert found.sentence == (
        "rate of yes 0.59 % -> 0.89 %, ratio 1.51 (99.5 % interval 1.35 to 1.68; 0.8 to 1.25 is small)"
    )
    assert replace(found, bound=1.0001).sentence.endswith("; 0.9999 to 1.0001 is small)")
    assert not _rate((150_000, 885), (297_115, 2_000)).is_large
    assert _rate((150_000, 885), (297_115, 800)).is_large


def test_class_that_the_reference_lacks_has_no_ratio() -> None:
    """It is a large change, and the sentence says why."""
    found = _rate((1_000, 0), (1_000, 12))
    assert (found.ratio, found.high, found.is_large) == (None, None, True)
    assert found.sentence == "rate of yes 0 % -> 1.2 %, a class that the reference does not have"


def test_class_with_the_clearest_change_is_chosen() -> None:
    """A class of three rows that tripled is not clearer than a class of hundreds that doubled."""
    reference, current = np.array([50_000, 500, 1, 0]), np.array([49_000, 1_000, 3, 0])
    found = class_rate(("a", "b", "c"), reference, current, bound=1.25, confidence=0.99)
    assert found.name == "b"
    assert found.ratio == pytest.approx(2, abs=0.05)
