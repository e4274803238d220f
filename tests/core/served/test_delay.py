"""The delay of labels, with predictions that still wait for theirs."""

from __future__ import annotations

from collections import Counter

import numpy as np

from core.served.delay import COMPLETE, MIN_LABELS, label_delay


def test_few_labels_give_no_estimate() -> None:
    """From the number on that is enough, they do."""
    assert label_delay({3: MIN_LABELS - 1}, {0: 1_000}) is None
    assert label_delay({3: MIN_LABELS}, {}) is not None


def test_without_waiting_predictions_it_is_the_quantile() -> None:
    """Of the observed delays."""
    delays = np.random.default_rng(1).integers(0, 60, 5_000)
    found = label_delay(Counter(delays.tolist()), {})
    assert found is not None
    assert found.median_days == np.quantile(delays, 0.5, method="inverted_cdf")
    assert found.complete_days == np.quantile(delays, COMPLETE, method="inverted_cdf")
    assert found.coverage == 1.0


def test_young_predictions_do_not_make_the_delay_short() -> None:
    """Predictions of the last 45 days, whose labels take up to 40: the naive quantile is far too short."""
    rng = np.random.default_rng(2)
    ages, delays = rng.integers(0, 45, 60_000), rng.integers(10, 41, 60_000)
    never = rng.random(60_000) < 0.3
    has_label = (delays <= ages) & ~never
    found = label_delay(Counter(delays[has_label].tolist()), Counter(ages[~has_label].tolist()))
    assert found is not None
    assert np.quantile(delays[has_label], COMPLETE, method="inverted_cdf") < 38
    assert abs(found.complete_days - np.quantile(delays, COMPLETE)) <= 1
    assert abs(found.median_days - 25) <= 1
    assert abs(found.coverage - 0.7) < 0.02
