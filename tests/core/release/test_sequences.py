from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import betaincc
from ville._boundaries import best_rho, normal_mixture  # type: ignore[import-untyped] # ships no types
from ville.proportions import BernoulliTest  # type: ignore[import-untyped] # ships no types

from core.release.sequences import (
    asymptotic_radius,
    greatest_rise,
    least_rise,
    log_evidence_of_rate,
    norm_radius,
    precision,
    quantile_bounds,
    rate_bounds,
    samples_for_upper,
)

ALPHA = 0.05


@pytest.mark.parametrize("alpha", [0.1, 0.01, 0.001])
@pytest.mark.parametrize("v", [20.0, 500.0])
def test_the_precision_is_that_of_ville(v: float, alpha: float) -> None:
    """An independent implementation, which minimises the boundary by search, finds the same one within 1 %."""
    theirs = best_rho(v, alpha, one_sided=True)
    widths = [float(normal_mixture(v, alpha, rho, one_sided=True)) for rho in (theirs, precision(v, alpha))]
    assert widths[1] == pytest.approx(widths[0], rel=0.01)


@pytest.mark.parametrize("n", [50, 500, 5_000])
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_the_asymptotic_radius_is_that_of_ville(n: int, alpha: float) -> None:
    """The closed form of the paper is at most 2 % wider than ville's numeric half-normal mixture, never narrower."""
    rho = precision(500.0, alpha)
    theirs = float(normal_mixture(n, alpha, rho, one_sided=True)) / n
    ours = asymptotic_radius(1 / math.sqrt(n), n, alpha)
    assert theirs <= ours * (1 + 1e-9) <= 1.02 * theirs


@pytest.mark.parametrize("n_events", [0, 3, 40])
def test_the_norm_in_one_dimension_is_the_two_sided_mixture_of_ville(n_events: int) -> None:
    """In one dimension the length of the noise is its absolute value."""
    n = 100 + 37 * n_events
    theirs = float(normal_mixture(n, ALPHA, best_rho(500.0, ALPHA))) / n
    assert norm_radius(n, 1, ALPHA) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize(("n_events", "n"), [(0, 10), (7, 50), (60, 200)])
@pytest.mark.parametrize("probability", [0.01, 0.3, 0.9])
def test_the_evidence_of_a_rate_is_that_of_ville_above_the_probability(
    n_events: int, n: int, probability: float
) -> None:
    """The whole beta mixture of ville is the weighted mean of the parts above and below the probability."""
    size = 30.0
    prior = (size * probability, size * (1 - probability))
    stream = np.repeat([1.0, 0.0], [n_events, n - n_events])
    whole = math.exp(BernoulliTest(probability, prior=prior).fit(stream).log_e_values_[-1])
    above = math.exp(log_evidence_of_rate(n_events, n, probability, size))
    below = math.exp(log_evidence_of_rate(n - n_events, n, 1 - probability, size))
    weight = betaincc(*prior, probability)
    assert weight * above + (1 - weight) * below == pytest.approx(whole, rel=1e-8)


LOOKS = np.unique(np.geomspace(5, 1_500, 25).astype(int))
"""Times of looks of the simulations: close at first, when bounds are wrong most often."""

RUNS = 150

ALLOWED = ALPHA + 2.6 * math.sqrt(ALPHA * (1 - ALPHA) / RUNS)


@pytest.mark.parametrize("moving", [False, True])
def test_a_rate_is_within_its_bounds_at_every_look(moving: bool) -> None:
    """Also where the rate moves between 0 and 10 %: each bound of the mean so far fails in at most 5 % of the runs."""
    n = LOOKS[-1]
    chance = 0.05 * (1 + np.sin(np.arange(n) / 50)) if moving else np.full(n, 0.05)
    means = np.cumsum(chance)[LOOKS - 1] / LOOKS

    def wrong(events: Any) -> tuple[bool, bool]:
        bounds = [rate_bounds(total, t, ALPHA) for total, t in zip(np.cumsum(events)[LOOKS - 1], LOOKS, strict=True)]
        return any(b.lower > mean for b, mean in zip(bounds, means, strict=True)), any(
            b.upper < mean for b, mean in zip(bounds, means, strict=True)
        )

    results = [wrong(np.random.default_rng(seed).random(n) < chance) for seed in range(RUNS)]
    too_high, too_low = np.mean(results, axis=0)
    assert too_high <= ALLOWED
    assert too_low <= ALLOWED


def test_a_rise_is_above_its_bound_at_every_look() -> None:
    """A challenger that fails as often as the champion, seen 25 times: wrong in at most 5 % of the runs."""
    n = LOOKS[-1]

    def wrong(rng: np.random.Generator) -> bool:
        own = np.cumsum(rng.random(n) < 0.05)[LOOKS - 1]
        base = np.cumsum(rng.binomial(9, 0.05, size=n))[LOOKS - 1]
        counts = zip(own, LOOKS, base, 9 * LOOKS, strict=True)
        return any(least_rise(*count, alpha=ALPHA, ratios=(9,)) > 0 for count in counts)

    assert np.mean([wrong(np.random.default_rng(seed)) for seed in range(RUNS)]) <= ALLOWED


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_a_quantile_is_within_its_bounds_at_every_look(share: float) -> None:
    """Of numbers with ties and a heavy tail; each bound is wrong in at most 5 % of the runs."""
    n = LOOKS[-1]
    truth = math.floor((1 - share) ** (-1 / 1.2))

    def wrong(rng: np.random.Generator) -> tuple[bool, bool]:
        values = np.floor((1 - rng.random(n)) ** (-1 / 1.2))
        bounds = [quantile_bounds(np.sort(values[:t]), share, ALPHA) for t in LOOKS]
        return any(b.lower > truth for b in bounds), any(b.upper < truth for b in bounds)

    high, low = np.mean([wrong(np.random.default_rng(seed)) for seed in range(RUNS)], axis=0)
    assert high <= ALLOWED
    assert low <= ALLOWED


@given(n=st.integers(1, 10**6), share=st.floats(0, 1), alpha=st.floats(1e-6, 0.4))
@settings(deadline=None, max_examples=50)
def test_bounds_of_a_rate_contain_the_estimate(n: int, share: float, alpha: float) -> None:
    """Whatever the counts, and a smaller alpha widens them."""
    n_events = round(share * n)
    bounds, wider = rate_bounds(n_events, n, alpha), rate_bounds(n_events, n, alpha / 10)
    assert 0 <= bounds.lower <= n_events / n + 1e-9
    assert n_events / n - 1e-9 <= bounds.upper <= 1
    assert wider.lower <= bounds.lower + 1e-9
    assert wider.upper >= bounds.upper - 1e-9


@given(
    n=st.integers(1, 10**5), base_n=st.integers(1, 10**5), share=st.floats(0, 1), base=st.floats(0, 1),
    ratio=st.floats(0.01, 100),
)  # fmt: skip
@settings(deadline=None, max_examples=50)
def test_bounds_of_a_rise_contain_the_estimate(n: int, base_n: int, share: float, base: float, ratio: float) -> None:
    """Whatever the counts and the planned ratio."""
    counts = (round(share * n), n, round(base * base_n), base_n)
    rise = counts[0] / n - counts[2] / base_n
    assert least_rise(*counts, alpha=0.01, ratios=(ratio,)) <= rise + 1e-6
    assert greatest_rise(*counts, alpha=0.01, ratios=(ratio,)) >= rise - 1e-6


def test_one_alpha_for_the_rise_is_narrower_than_two_bounds() -> None:
    """With as many requests of both, the bound of the difference is nearer than the difference of two bounds."""
    together = least_rise(60, 2_000, 20, 2_000, alpha=0.01, ratios=(1,))
    apart = rate_bounds(60, 2_000, 0.005).lower - rate_bounds(20, 2_000, 0.005).upper
    assert together > apart + 0.001


def test_no_requests_say_nothing() -> None:
    """Bounds are those of any rate, rise or number."""
    assert (rate_bounds(0, 0, ALPHA).lower, rate_bounds(0, 0, ALPHA).upper) == (0, 1)
    assert least_rise(0, 0, 1, 10, alpha=ALPHA, ratios=(1,)) == -1
    assert greatest_rise(1, 10, 0, 0, alpha=ALPHA, ratios=(1,)) == 1
    bounds = quantile_bounds(np.empty(0), 0.5, ALPHA)
    assert (bounds.lower, bounds.upper) == (-math.inf, math.inf)


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_an_upper_bound_of_a_quantile_begins_where_it_is_said(share: float) -> None:
    """There is one from the number on, and none with a tenth less."""
    n = samples_for_upper(share, ALPHA)
    assert math.isfinite(quantile_bounds(np.zeros(n), share, ALPHA).upper)
    assert math.isinf(quantile_bounds(np.zeros(int(0.9 * n)), share, ALPHA).upper)
