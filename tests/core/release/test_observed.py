from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from core.release.observed import Observed


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_requests": 1, "n_failures": 2}, "failures"),
        ({"n_requests": -1}, "failures"),
        ({"latencies_ms": np.array([1, 2])}, "latencies_ms"),
        ({"latencies_ms": [1.0]}, "latencies_ms"),
        ({"latencies_ms": np.array([-1.0])}, "negative"),
        ({"predictions": np.array([0.5])}, "predictions"),
        ({"predictions": np.array([3, -1])}, "negative"),
        ({"labels": np.array([1.0])}, "a score per label"),
        ({"labels": np.array([2]), "scores": np.array([[0.5, 0.5]])}, "class codes"),
        ({"labels": np.array([1.0]), "scores": np.array([[0.5, 0.5]])}, "class codes"),
        ({"n_requests": 10, "n_effective": 11.0}, "effective"),
        ({"n_requests": 10, "n_effective": float("nan")}, "effective"),
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    """Counts that contradict each other, arrays of another type or shape."""
    with pytest.raises(ValueError, match=message):
        Observed(**wrong)


def test_missing_measurements_are_kept_for_the_checks() -> None:
    """A NaN is no error of the caller: the check of the latencies is unknown with it."""
    assert np.isnan(Observed(latencies_ms=np.array([np.nan])).latencies_ms).all()


def test_the_design_effect_is_requests_per_independent_request() -> None:
    """At least 1, and 1 where subjects are not known or nothing was asked."""
    assert Observed(n_requests=100, n_effective=20.0).effect == 5
    assert Observed(n_requests=100).effect == 1
    assert Observed(n_effective=0.0).effect == 1


def test_the_rate_of_failures_needs_requests() -> None:
    """None without."""
    assert Observed().failure_rate is None
    assert Observed(n_requests=8, n_failures=2).failure_rate == 0.25
