from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.schema import Gate
from core.gate.checks import calibration_check, floor_check, gain_check, gain_text, slices_check
from core.gate.comparison import SliceGain
from core.metrics.bootstrap import Estimate
from core.metrics.calibration import CalibrationChange
from core.metrics.paired import Difference
from core.text import percent_text

BETTER = Difference("roc_auc", 0.8, 0.8123, 0.0123, 0.004, 0.0206, 0.0042, "DeLong", 4312, 0.95)
GAINS = st.integers(-2_000, 2_000).map(lambda thousandths: thousandths / 1_000)


def gate(**changes: Any) -> Gate:
    """Build a gate for the ROC AUC."""
    return Gate(**{"metric": "roc_auc", "floor": 0.7, **changes})


def slice_gain(level: str, p_value: float | None, worse: bool = False) -> SliceGain:
    """Build the gain on a region."""
    difference = replace(BETTER, gain=-0.04, champion=0.75, challenger=0.71, n_rows=812)
    return SliceGain("region", level, 812, difference, p_value, worse, "" if p_value is not None else "not judged")


def test_a_value_at_the_floor_passes() -> None:
    """The floor itself is good enough, and the reason carries the numbers."""
    check = floor_check(Estimate(0.7, 0.65, 0.74), 1_000, gate(), 0.95)
    assert check.passed
    assert check.reason == (
        "ROC AUC 0.7 (95 % interval 0.65 to 0.74) on 1,000 holdout rows reaches the floor: at least 0.7 is needed; "
        "the interval of ROC AUC contains the floor 0.7: more holdout rows would decide it"
    )


def test_a_value_just_below_the_floor_fails_and_reads_so() -> None:
    """What misses by a hair is not rounded up to the floor in the reason."""
    check = floor_check(Estimate(0.69996, 0.69, 0.6999), 1_000, gate(), 0.95)
    assert check.passed is False
    assert check.reason == (
        "ROC AUC 0.69996 (95 % interval 0.69 to 0.6999) on 1,000 holdout rows misses the floor: at least 0.7 is needed"
    )


@pytest.mark.parametrize(("value", "passed"), [(0.9, True), (1.0, True), (1.1, False)])
def test_of_an_error_less_is_better(value: float, passed: bool) -> None:
    """The floor of an error is the largest that is acceptable."""
    check = floor_check(Estimate(value, None, None), 20, gate(metric="rmse", floor=1.0), 0.95)
    assert check.passed == passed
    assert "at most 1 is needed" in check.reason
    assert "(too few rows for an interval)" in check.reason


@pytest.mark.parametrize(
    ("champion", "passed"),
    [(0.64, True), (0.7, False), (0.8, False), (None, False)],
    ids=["misses", "at", "above", "unknown"],
)
def test_the_floor_does_not_keep_a_champion_that_misses_it(champion: float | None, passed: bool) -> None:
    """Refusing a challenger below the floor leaves a champion in place that may be further below."""
    compared = replace(BETTER, champion=champion, challenger=0.684)
    check = floor_check(Estimate(0.684, 0.67, 0.69), 4_800, gate(), 0.95, compared)
    assert check.passed is passed
    said = "; the champion misses it too (0.64 on 4,312 rows), so the floor does not keep it in place"
    assert check.reason.endswith(said) == passed


def test_a_challenger_without_a_value_is_not_better_than_a_harmed_champion() -> None:
    """An undefined metric stays a no."""
    compared = replace(BETTER, champion=0.5)
    assert floor_check(Estimate(math.nan, None, None), 4_800, gate(), 0.95, compared).passed is False


def test_an_undefined_metric_does_not_pass() -> None:
    """It is a no with a reason."""
    check = floor_check(Estimate(math.nan, None, None), 1_000, gate(), 0.95)
    assert check.passed is False
    assert "ROC AUC is not defined on the 1,000 holdout rows" in check.reason


def test_a_sure_gain_passes() -> None:
    """The reason says the gain, its interval, both values and the rows."""
    check = gain_check(BETTER, gate())
    assert (check.passed, check.reason) == (
        True,
        "the challenger is better: gain in ROC AUC +0.0123 (95 % interval +0.004 to +0.0206), "
        "from 0.8 to 0.8123, on 4,312 rows",
    )


@pytest.mark.parametrize(
    ("changes", "setting", "passed", "reason"),
    [
        ({"gain": 0.0, "challenger": 0.8}, {}, False, "a tie keeps the champion: ROC AUC 0.8 of both on 4,312 rows"),
        ({"gain": 0.0}, {"margin": 0.5}, False, "a tie keeps the champion"),
        ({"gain": -0.001, "low": -0.002}, {"margin": 0.5}, False, "the challenger is worse: gain in ROC AUC -0.001"),
        ({}, {"min_gain": 0.02}, False, "the gain is below gate.min_gain 0.02"),
        ({}, {"min_gain": 0.0123}, True, "is better"),
        ({"low": 0.0}, {}, False, "the gain may be chance, its interval reaches below zero"),
        ({"low": -0.004}, {"margin": 0.004}, False, "its interval reaches below the margin of 0.004"),
        ({"low": -0.004}, {"margin": 0.005}, True, "is better"),
        ({"low": None, "high": None}, {}, None, "these rows give no interval for the gain"),
        ({"gain": math.nan}, {}, False, "worse"),
        ({"low": math.nan}, {}, False, "may be chance"),
    ],
)
def test_the_gain_must_be_one_beyond_chance(
    changes: dict[str, Any], setting: dict[str, float], passed: bool | None, reason: str
) -> None:
    """A tie, a loss, too small a gain and one that may be chance keep the champion, each with its numbers."""
    check = gain_check(replace(BETTER, **changes), gate(**setting))
    assert check.passed is passed
    assert reason in check.reason


def test_a_gain_that_may_be_chance_says_how_many_rows_would_tell() -> None:
    """Rounded: an estimate with five digits would promise too much."""
    check = gain_check(replace(BETTER, gain=0.002, low=-0.006, high=0.01), gate())
    assert check.reason.endswith("; about 150,000 clean rows would be needed to detect a gain of this size")


def test_a_hopeless_number_of_rows_is_not_spelled_out() -> None:
    """Nobody has them."""
    check = gain_check(replace(BETTER, gain=1e-9, low=-0.006, high=0.01), gate())
    assert check.reason.endswith("; more than 100,000,000 clean rows would be needed to detect a gain of this size")


@pytest.mark.parametrize(
    ("champion", "challenger", "passed", "reason"),
    [
        (None, None, None, "ROC AUC is not defined on the 4,312 rows: they may hold one class only"),
        (0.8, None, False, "the challenger's ROC AUC is not defined on the 4,312 rows: its predictions hold NaN"),
        (None, 0.8, None, "the champion's ROC AUC is not defined"),
    ],
)
def test_an_undefined_gain_never_passes(
    champion: float | None, challenger: float | None, passed: bool | None, reason: str
) -> None:
    """Where the challenger alone is undefined it is a no, else nobody can tell."""
    undefined = Difference("roc_auc", champion, challenger, None, None, None, None, "DeLong", 4312, 0.95)
    check = gain_check(undefined, gate())
    assert check.passed is passed
    assert reason in check.reason


@given(GAINS, GAINS, st.floats(0, 1), st.floats(0, 1))
def test_no_gain_passes_that_is_not_above_zero(gain: float, low: float, margin: float, min_gain: float) -> None:
    """Whatever the interval and the settings."""
    check = gain_check(replace(BETTER, gain=gain, low=low, high=low + 1), gate(margin=margin, min_gain=min_gain))
    assert check.passed == (gain > 0 and gain >= min_gain and low > -margin)


def test_a_worse_slice_is_named_with_its_numbers() -> None:
    """Three at most, and how many more; control characters of a level are not passed on."""
    slices = [slice_gain(level, 0.0001, worse=True) for level in ("no\x1brth", "b", "c", "d")]
    check = slices_check((*slices, slice_gain("e", 0.4)), gate())
    assert check.passed is False
    assert check.reason.startswith(
        "worse beyond noise on region = no\\x1brth (ROC AUC from 0.75 to 0.71 on 812 rows, p = 0.0001); region = b"
    )
    assert check.reason.endswith("; and 1 more (5 slices, Holm's correction at 95 % confidence)")


def test_slices_that_are_not_judged_are_counted() -> None:
    """They hold nobody back, and it is said."""
    some = slices_check((slice_gain("a", 0.4), slice_gain("b", None)), gate())
    assert some.passed
    assert "(1 slice, Holm's correction at 95 % confidence, 1 more with too few rows to be judged)" in some.reason
    none = slices_check((slice_gain("b", None),), gate())
    assert (none.passed, none.reason) == (True, "no slice has enough rows to be judged")


@pytest.mark.parametrize(
    ("overall", "on_slice", "passed"),
    [(0.64, 0.55, True), (0.64, 0.75, False), (0.8, 0.55, False)],
    ids=["misses on both", "good on the slice", "good on all rows"],
)
def test_a_slice_does_not_keep_a_champion_that_misses_the_floor_there(
    overall: float, on_slice: float, passed: bool
) -> None:
    """A slice may be harder than all rows, so the champion must miss the floor on both."""
    found = slice_gain("a", 0.0001, worse=True)
    assert found.difference is not None
    part = replace(found, difference=replace(found.difference, champion=on_slice, challenger=on_slice - 0.04))
    check = slices_check((part, slice_gain("b", 0.4)), gate(), replace(BETTER, champion=overall))
    assert check.passed is passed
    assert ("where the champion misses the floor, as on all rows" in check.reason) == passed


@pytest.mark.parametrize(
    ("loss", "low", "passed", "reason"),
    [
        (0.03, 0.01, False, "rises from 0.0500 to 0.0800 (95 % interval of the change +0.01 to +0.05)"),
        (0.03, -0.01, True, "a rise of 0.02 is tolerated, and this one may be chance"),
        (0.01, 0.005, True, "rises from 0.0500 to 0.0600"),
        (-0.03, -0.05, True, "falls from 0.0500 to 0.0200"),
        (0.0, 0.0, True, "stays"),
    ],
)
def test_calibration_fails_beyond_its_bound_and_beyond_noise(
    loss: float, low: float, passed: bool, reason: str
) -> None:
    """Both together: a large rise may be chance, a sure one may be small."""
    check = calibration_check(CalibrationChange(0.05, 0.05 + loss, loss, low, 0.05), gate())
    assert check.passed is passed
    assert reason in check.reason


HARMED = CalibrationChange(0.27, 0.30, 0.03, 0.025, 0.035, champion_low=0.25, event_rate=0.5)
ILL = replace(HARMED, champion=0.01, challenger=0.15, loss=0.14, low=0.12, champion_low=0.0)
SCORE = Difference("brier", 0.2, 0.21, -0.01, -0.015, -0.005, 0.0025, "influence", 4312, 0.95)


@pytest.mark.parametrize(
    ("change", "score", "passed", "reason"),
    [
        (ILL, SCORE, False, "and the probabilities as a whole are worse: gain in Brier score -0.01"),
        (ILL, None, False, "a rise of 0.02 is tolerated"),
        (ILL, replace(SCORE, low=None, high=None), False, "a rise of 0.02 is tolerated"),
        (ILL, replace(SCORE, high=0.001), False, "and the probabilities as a whole are worse"),
        (ILL, replace(SCORE, gain=0.001, high=0.005), False, "and the probabilities as a whole may be worse"),
        (ILL, replace(SCORE, gain=-0.001, low=-0.0024), True, "but the probabilities as a whole are not worse"),
        (ILL, replace(SCORE, gain=-0.001, low=-0.0026), False, "and the probabilities as a whole are worse"),
        (ILL, replace(SCORE, gain=0.01, low=0.005, high=0.015), True, "but the probabilities as a whole are not worse"),
        (HARMED, SCORE, True, "the champion's own error is above the acceptable 0.05 beyond chance"),
        (replace(HARMED, challenger=0.4, loss=0.13, low=0.1), SCORE, None, "; the challenger's is far larger"),
        (replace(HARMED, champion_low=0.04), SCORE, False, "as a whole are worse"),
        (replace(HARMED, champion_low=None), SCORE, False, "as a whole are worse"),
        (replace(ILL, challenger=0.05), SCORE, True, "and an error of up to 0.05 is acceptable"),
    ],
)
def test_calibration_asks_for_acceptable_probabilities_or_for_no_worse_ones(
    change: CalibrationChange, score: Difference | None, passed: bool | None, reason: str
) -> None:
    """A rise beyond its bound passes with a Brier score that is no worse, and over a champion that fails itself."""
    check = calibration_check(change, gate(), score)
    assert check.passed is passed
    assert reason in check.reason


def test_calibration_bounds_follow_the_base_rate() -> None:
    """Three times the probability of an event of 1 % is an error of 0.02, and not a small one."""
    tripled = CalibrationChange(0.001, 0.02, 0.019, 0.015, 0.023, champion_low=0.0, event_rate=0.01)
    check = calibration_check(tripled, gate(), SCORE)
    assert check.passed is False
    assert "a rise of 0.00398 is tolerated" in check.reason
    assert calibration_check(replace(tripled, event_rate=0.5), gate(), SCORE).passed


def test_numbers_read_like_numbers() -> None:
    """Values that differ late keep the digits that tell them apart, large ones have no exponent."""
    close = gain_text(replace(BETTER, champion=0.812345, challenger=0.812346, gain=1e-6))
    assert "from 0.81234 to 0.81235" in close
    large = gain_text(replace(BETTER, metric="rmse", champion=49_123.4, challenger=47_000.1, gain=2_123.3, low=1_000.0))
    assert "gain in RMSE +2,123 (95 % interval +1,000 to" in large
    assert "from 49,123 to 47,000" in large
    assert percent_text(0.99) == "99 %"
