from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.release.checks import (
    error_rate_check,
    latency_check,
    performance_check,
    predictions_check,
)
from core.release.observed import Observed
from core.release.plan import Guardrails, Plan, Stage
from tests.core.release.samples import labelled, observed

PLAN = Plan(metric="roc_auc")
STEP = Stage("step", 5)
HALF = Stage("step", 50)
SHADOW = Stage("shadow", 0)
BLIND = Plan(guardrails=Guardrails(error_rate=None, latency_ratio=None, prediction_psi=None, performance_loss=None))


def test_what_is_not_watched_gives_no_check() -> None:
    """A guardrail of None."""
    both = (observed(1_000), observed(1_000, seed=1))
    assert error_rate_check(BLIND, STEP, *both) is None
    assert latency_check(BLIND, *both) is None
    assert predictions_check(BLIND, *both) is None
    assert performance_check(BLIND, STEP, *both) is None


@pytest.mark.parametrize(
    ("errors", "n", "state"), [(0.01, 4_000, "ok"), (0.01, 200, "doubtful"), (0.06, 2_000, "breached")]
)
def test_the_state_of_the_error_rate(errors: float, n: int, state: str) -> None:
    """In bounds with evidence, doubtful with little, breached with proof; the numbers are shares."""
    check = error_rate_check(PLAN, STEP, observed(19 * n), observed(n, errors=errors))
    assert check is not None
    assert check.state == state
    assert check.estimate is not None
    assert check.estimate == pytest.approx(errors - 0.01, abs=1e-3)
    assert check.lower is not None
    assert check.upper is not None
    assert check.lower < check.estimate < check.upper
    assert (check.needs is None) == (state != "doubtful")


def test_as_many_more_requests_as_are_said_are_about_enough() -> None:
    """With the same rates, twice what was said to be missing shows that the limit is kept."""
    few = error_rate_check(PLAN, STEP, observed(19_000), observed(1_000))
    assert few is not None
    assert few.needs is not None
    n = 1_000 + 2 * few.needs
    enough = error_rate_check(PLAN, STEP, observed(19 * n), observed(n))
    assert enough is not None
    assert enough.state == "ok"


def test_repeated_subjects_count_once() -> None:
    """Two hundred failures of four subjects are no proof, the same of two hundred subjects are."""
    champion = observed(38_000)
    alike = replace(observed(2_000, errors=0.1), n_effective=40.0)
    states = [error_rate_check(PLAN, STEP, champion, one) for one in (alike, observed(2_000, errors=0.1))]
    assert [check.state for check in states if check] == ["doubtful", "breached"]


@pytest.mark.parametrize(("slower", "state"), [(1.0, "ok"), (1.45, "doubtful"), (3.0, "breached")])
def test_the_state_of_the_latency(slower: float, state: str) -> None:
    """The check shows the quantile that decides."""
    check = latency_check(PLAN, observed(38_000), observed(2_000, seed=1, slower=slower))
    assert check is not None
    assert check.state == state
    assert "ms" in check.sentence


def test_a_slow_tail_breaches() -> None:
    """Only the slowest percent takes three times as long, which p99.5 shows."""
    challenger = observed(12_000, seed=1)
    tail = np.quantile(challenger.latencies_ms, 0.99)
    slow = replace(
        challenger, latencies_ms=np.where(challenger.latencies_ms > tail, 3.0, 1.0) * challenger.latencies_ms
    )
    check = latency_check(PLAN, observed(36_000), slow)
    assert check is not None
    assert check.state == "breached"
    assert "p99.5" in check.sentence


def test_missing_latencies_are_unknown() -> None:
    """NaN, infinity, none at all, or fewer than requests that did not fail."""
    good = observed(1_000)
    for wrong in (
        np.append(good.latencies_ms[:-1], math.nan),
        np.append(good.latencies_ms[:-1], math.inf),
        np.empty(0),
        good.latencies_ms[:500],
    ):
        check = latency_check(PLAN, good, replace(good, latencies_ms=wrong))
        assert check is not None
        assert check.state == "unknown"


@pytest.mark.parametrize(("shift", "state"), [(0.0, "ok"), (0.3, "doubtful"), (0.8, "breached")])
def test_the_state_of_the_predictions(shift: float, state: str) -> None:
    """Answers that move by 0.3 sd have a PSI of 0.09, by 0.8 sd of 0.6."""
    check = predictions_check(PLAN, observed(38_000), observed(2_000, seed=1, shift=shift))
    assert check is not None
    assert check.state == state


def test_predictions_that_cannot_be_compared_are_unknown() -> None:
    """None of one side, other bins, or too few for the bins."""
    good = observed(1_000)
    for wrong in (Observed(n_requests=10), replace(good, predictions=np.ones(7, dtype=np.int64)), observed(8)):
        check = predictions_check(PLAN, good, wrong)
        assert check is not None
        assert check.state == "unknown"


def test_rare_bins_do_not_breach() -> None:
    """A level that one of 2,000 predictions has is no proof of another distribution."""
    common = np.array([1_000, 995, 0, 0, 0, 0, 0], dtype=np.int64)
    rare = np.array([1_000, 990, 1, 1, 1, 1, 1], dtype=np.int64)
    check = predictions_check(
        PLAN, replace(observed(1_995), predictions=common), replace(observed(1_995), predictions=rare)
    )
    assert check is not None
    assert check.state == "ok"


def test_predictions_in_one_bin_are_equal() -> None:
    """A model of one answer, replaced by one of the same answer."""
    same = replace(observed(500), predictions=np.array([0, 500, 0], dtype=np.int64))
    check = predictions_check(PLAN, same, same)
    assert check is not None
    assert (check.state, check.estimate) == ("ok", 0.0)


def _sides(n: int, noise: float, *, paired: bool) -> tuple[Observed, Observed]:
    first, second = labelled(n, seed=1), labelled(n, seed=1 if paired else 2, noise=noise)
    return tuple(observed(n, labels=labels, scores=scores) for labels, scores in (first, second))  # type: ignore[return-value] # two of two


def test_a_model_that_ranks_worse_breaches() -> None:
    """An AUC of 0.76 after 0.92 on 3,000 rows each."""
    check = performance_check(PLAN, HALF, *_sides(3_000, 2.0, paired=False))
    assert check is not None
    assert check.state == "breached"
    assert check.required is False


def test_pairing_narrows_the_bounds() -> None:
    """The same rows and nearly the same scores in the shadow: the loss is known better than from other rows."""
    paired = performance_check(PLAN, SHADOW, *_sides(2_000, 1.01, paired=True))
    apart = performance_check(PLAN, HALF, *_sides(2_000, 1.01, paired=True))
    assert paired is not None
    assert apart is not None
    assert paired.upper is not None
    assert apart.upper is not None
    assert paired.estimate == apart.estimate
    assert paired.upper < apart.upper


def test_equal_outputs_lose_nothing() -> None:
    """In the shadow the same answers have a loss of exactly 0, which is ok."""
    check = performance_check(PLAN, SHADOW, *_sides(500, 1.0, paired=True))
    assert check is not None
    assert (check.state, check.estimate, check.upper) == ("ok", 0.0, 0.0)


def test_few_labels_are_left_out_unless_they_are_asked_for() -> None:
    """Without ``min_labels`` there is no check; with it, the release waits and says for how many."""
    sides = _sides(60, 1.0, paired=False)
    assert performance_check(PLAN, STEP, *sides) is None
    check = performance_check(replace(PLAN, min_labels=300), STEP, *sides)
    assert check is not None
    assert (check.state, check.needs, check.required) == ("unknown", 240, True)


def test_labels_that_say_nothing_are_unknown() -> None:
    """One class only, and scores that are NaN."""
    labels, scores = labelled(500)
    champion = observed(500, labels=labels, scores=scores)
    one_class = observed(500, labels=np.zeros(500, dtype=np.int64), scores=scores)
    blank = observed(500, labels=labels, scores=np.full((500, 2), np.nan))
    for wrong in (one_class, blank):
        check = performance_check(replace(PLAN, min_labels=100), STEP, champion, wrong)
        assert check is not None
        assert check.state == "unknown"


def test_numbers_are_compared_by_their_errors() -> None:
    """A regression with twice the error, in units of the target."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=2_000)
    sides = [observed(2_000, labels=y, scores=y + size * rng.normal(size=2_000)) for size in (0.5, 1.0)]
    check = performance_check(Plan(metric="mae"), HALF, sides[0], sides[1])
    assert check is not None
    assert check.state == "breached"
    assert check.estimate == pytest.approx(0.4, abs=0.05)
    with pytest.raises(ValueError, match="fit roc_auc"):
        performance_check(PLAN, HALF, sides[0], sides[1])


def test_a_single_point_is_singular() -> None:
    """As in the limit of the default plan."""
    found = error_rate_check(PLAN, SHADOW, observed(100, errors=0.0), observed(100, errors=0.01))
    assert found is not None
    assert "rise 1 point, " in found.sentence
    assert "(limit 1 point)" in found.sentence
