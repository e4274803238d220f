"""Whether labels that exist contradict the estimate without labels.

On labelled rows that the calibration was not fitted on, an estimate can be compared with what the labels show. The null
hypothesis is that of the estimate: given its score, a row has events as often as on the holdout. Two statistics are
compared with it, each with its standard error under this hypothesis: the metric that is estimated, and the share of
each class (calibration in the large). The bias of the maps, which overfit the holdout, is the same in both estimates,
so the gap on the holdout is subtracted.

References
----------
Spiegelhalter (1986), Probabilistic prediction in patient management and clinical trials, Statistics in Medicine 5,
421-433 (the z test of a mean over rows against its variance under the predicted probabilities).
Van Calster et al. (2019), Calibration: the Achilles heel of predictive analytics, BMC Medicine 17, 230 (calibration in
the large is the first level of calibration).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.metrics.metrics import METRICS, Floats, metric_values
from core.performance.cbpe import CbpeReference, map_error, reference_cbpe
from core.performance.expected_metrics import expected_metric
from core.text import percent

CONFIDENCE = 0.99
"""Confidence with which labels contradict an estimate: of windows in which it holds, at most 1 % are called off."""

NEEDED_LABELS = 100
"""Minimum labelled rows for the two statistics to be nearly normal."""


def contradiction(
    y: npt.NDArray[Any], output: Floats, reference: CbpeReference, realised: float, rows: str
) -> tuple[str, ...]:
    """Return how labelled rows contradict the estimate; empty if they agree or are too few.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    output
        Probabilities predicted by the champion, shape (n, k).
    reference
        The estimate on the holdout, with the maps.
    realised
        The same metric on the holdout, from its labels; NaN if undefined.
    rows
        Which rows these are, for the sentence, such as ``labelled rows of the window``.
    """
    if len(y) < NEEDED_LABELS or not np.isfinite(output).all():
        return ()
    n_tests = 1 + len(reference.calibration.maps)
    limit = float(ndtri(1 - (1 - CONFIDENCE) / (2 * n_tests)))
    return (*_metric_off(y, output, reference, realised, limit, rows), *_shares_off(y, output, reference, limit, rows))


def earlier_half_contradicted(y: npt.NDArray[Any], output: Floats, metric: str) -> tuple[str, ...]:
    """Return how the later half of a holdout in time order contradicts an estimate made with its earlier half.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64, in time order.
    output
        Probabilities predicted by the model, shape (n, k).
    metric
        Name of a classification metric.
    """
    half = len(y) // 2
    if half < NEEDED_LABELS or not np.isfinite(output).all():
        return ()
    earlier = reference_cbpe(y[:half], output[:half], metric)
    realised = metric_values(y[:half], output[:half], (metric,))[metric]
    return contradiction(y[half:], output[half:], earlier, realised, "rows of the holdout's later half")


def _metric_off(
    y: npt.NDArray[Any], output: Floats, reference: CbpeReference, realised: float, limit: float, rows: str
) -> list[str]:
    metric, calibration = reference.metric, reference.calibration
    expected = expected_metric(calibration.apply(output), output, metric)
    found = metric_values(y, output, (metric,))[metric]
    gap = (found - expected.value) - (realised - reference.value)
    slopes = [
        here - np.asarray(there)
        for here, there in zip(calibration.slopes(expected, output), reference.slopes, strict=True)
    ]
    labels = _label_variance(expected.error, expected.row_error)
    error = math.sqrt(
        labels + _label_variance(reference.error, reference.row_error) + map_error(calibration, slopes) ** 2
    )
    if not math.isfinite(gap) or not error > 0 or abs(gap) <= limit * error:
        return []
    label = METRICS[metric].label
    return [f"on {len(y):,} {rows} {label} is {found:.4g}, and {found - gap:.4g} would be estimated from their scores"]


def _label_variance(error: float, row_error: float) -> float:
    return max(0.0, error**2 - row_error**2)


def _shares_off(y: npt.NDArray[Any], output: Floats, reference: CbpeReference, limit: float, rows: str) -> list[str]:
    calibration = reference.calibration
    chances, codes = calibration.raw_chances(output), calibration.codes
    for place, (part, code) in enumerate(zip(calibration.maps, codes, strict=True)):
        chance, observed = chances[:, place], float((y == code).mean())
        slope = part.by_step(output[:, code], np.full(len(y), 1 / len(y)))
        variance = float((chance * (1 - chance)).sum()) / len(y) ** 2 + float((slope**2 * part.variance()).sum())
        expected = float(chance.mean())
        if abs(observed - expected) > limit * math.sqrt(variance):
            which = "the positive class" if len(codes) == 1 else f"class {code}"
            return [f"{percent(observed)} of {len(y):,} {rows} are of {which}, and {percent(expected)} were expected"]
    return []
