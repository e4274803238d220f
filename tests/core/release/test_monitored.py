"""Counters and buckets as what a variant did: approximate where it may be, missing where it is not known."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from core.release.decision import decide
from core.release.monitored import latencies_ms, observed, prediction_counts, requests_and_failures
from core.release.observed import Observed
from core.release.plan import Guardrails, Plan

EDGES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
NAN = float("nan")
PLAN = Plan(steps=(10, 100), min_requests=500, shadow_requests=0, guardrails=Guardrails(error_rate=0.05))


def histogram(seconds: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return cumulative counts of latencies, as the service's metric has them."""
    counts = {str(edge): float((seconds <= edge).sum()) for edge in EDGES}
    return {**counts, "+Inf": float(len(seconds))}


def variant(seed: int, times: float = 1.0, n: int = 20_000, **changes: Any) -> Observed:
    """Return what a variant did, by metrics of simulated requests."""
    rng = np.random.default_rng(seed)
    given: dict[str, Any] = {
        "by_code": {"200": n * 0.999, "500": n * 0.001},
        "buckets": histogram(rng.lognormal(-4, 0.5, n) * times),
        "by_bin": {"0.5": n / 2, "+Inf": n / 2},
        "bins": ["0.5", "+Inf"],
        "to_ms": 1000.0,
        "beyond": 1.0,
    }
    return observed(**{**given, **changes})


def decided(champion: Observed, challenger: Observed) -> tuple[str, str]:
    """Return outcome and reasons in the first step."""
    found = decide(PLAN, PLAN.stages[0], champion, challenger, 1.0)
    return found.outcome, " ".join(found.reasons)


def test_equal_variants_advance_and_slower_ones_return() -> None:
    """By the same decision as by the log."""
    assert decided(variant(1), variant(2))[0] == "advance"
    assert decided(variant(1), variant(2, times=3.0))[0] == "roll_back"
    outcome, reasons = decided(variant(1), variant(2, by_code={"200": 15_000, "503": 5_000}))
    assert (outcome, "25 %" in reasons or "failed" in reasons) == ("roll_back", True)


@pytest.mark.parametrize(
    "missing",
    [
        {"by_code": {}},
        {"by_code": {"200": NAN}},
        {"by_code": {"200": 20_000.0, "500": NAN}},
        {"buckets": {}},
        {"buckets": {"0.1": NAN, "+Inf": NAN}},
        {"buckets": {"+Inf": 20_000.0}},
        {"buckets": {"0.1": 20_000.0}},
        {"buckets": {"0.1": 19_000.0, "+Inf": 20_000.0}},
        {"buckets": {"soon": 20_000.0, "+Inf": 20_000.0}},
        {"by_bin": {}},
        {"by_bin": {"0.5": NAN, "+Inf": 1.0}},
        {"by_bin": {"0.4": 10_000.0, "+Inf": 10_000.0}},
    ],
)
@pytest.mark.parametrize("side", ["champion", "challenger"])
def test_what_is_missing_never_advances(missing: dict[str, Any], side: str) -> None:
    """None, NaN, no histogram, too slow for its edges, other bins: of either variant."""
    champion = variant(1, **(missing if side == "champion" else {}))
    challenger = variant(2, **(missing if side == "challenger" else {}))
    assert decided(champion, challenger)[0] == "hold"


@pytest.mark.parametrize("share", [50, 95, 99])
def test_a_quantile_lies_in_the_bucket_of_the_true_one(share: int) -> None:
    """And is interpolated as Prometheus does, so that a small difference stays small."""
    seconds = np.random.default_rng(3).lognormal(-4, 0.5, 20_000)
    found = float(np.percentile(latencies_ms(histogram(seconds), 20_000, 1000, 1), share)) / 1000
    true = float(np.percentile(seconds, share))
    upper = next(edge for edge in EDGES if edge >= true)
    lower = max((edge for edge in EDGES if edge < true), default=0.0)
    assert lower <= found <= upper
    slower = float(np.percentile(latencies_ms(histogram(seconds * 1.02), 20_000, 1000, 1), share)) / 1000
    assert 1.0 <= slower / found < 1.1


def test_few_beyond_the_last_edge_are_the_slowest() -> None:
    """The challenger's count as slower than the champion's."""
    buckets = {"0.1": 997.0, "+Inf": 1000.0}
    assert latencies_ms(buckets, 1000, 1000, 1)[-3:].tolist() == [100.0] * 3
    assert latencies_ms(buckets, 1000, 1000, 10)[-3:].tolist() == [1000.0] * 3
    assert latencies_ms(buckets, 1000, 1, 10)[-4] < 0.1


def test_codes_that_are_no_success_are_failures() -> None:
    """Meshes write 0 where the connection broke; a label that is missing is an empty text."""
    assert requests_and_failures({"200": 10, "302": 1, "404": 1, "500": 1, "0": 1, "": 1}) == (15, 3)
    assert requests_and_failures({}) == (0, 0)


def test_more_requests_than_fit_are_scaled_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate stays; failures are rounded up."""
    monkeypatch.setattr("core.release.monitored.MOST_REQUESTS", 1000)
    found = variant(1)
    assert (found.n_requests, found.n_failures, len(found.latencies_ms)) == (1000, 1, 1000)


def test_classes_are_bins_by_their_names() -> None:
    """With more than two classes."""
    assert prediction_counts({"b": 2.0, "a": 1.0}, ["a", "b", "c"]).tolist() == [1, 2, 0]
