"""Intervals of a window's performance where its rows come in clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from core.metrics.bootstrap import Estimate
from core.metrics.clusters import Clusters, DesignEffect, design_effect, stretch, stretched_interval
from core.metrics.metrics import METRICS, Floats, measures


def performance_effect(
    y: npt.NDArray[Any], output: Floats, metric: str, clusters: Clusters | None, weights: Floats | None = None
) -> DesignEffect | None:
    """Return the design effect of a metric from its rows' influences; None if clusters do not matter.

    Parameters
    ----------
    y
        Class codes, int64, or numbers, float64, shape (n,).
    output
        Predicted probabilities, shape (n, k), or values, shape (n,).
    metric
        Name of a metric that fits the shape of ``output``.
    clusters
        Clusters of the rows; None for independent rows.
    weights
        How many rows each row represents, shape (n,), float64; None is one each.
    """
    if clusters is None or not clusters.groupings or not np.isfinite(output).all():
        return None
    (measure,) = measures(y, output, (metric,))
    influence = measure.influences(weights)[metric] * (1.0 if weights is None else weights / weights.mean())
    return design_effect(influence, clusters) if np.isfinite(influence).all() else None


def clustered_estimate(estimate: Estimate, effect: DesignEffect, metric: str, confidence: float | None) -> Estimate:
    """Widen the interval of a metric by a design effect, within the metric's bounds.

    Parameters
    ----------
    estimate
        The metric with an interval for independent rows, or without one.
    effect
        The design effect.
    metric
        Name of the metric.
    confidence
        Confidence of the interval; it gets the quantile of Student's distribution of the effect's degrees of freedom.
        None for other rows than those of the effect, whose interval keeps its quantile.
    """
    if estimate.low is None or estimate.high is None:
        return estimate
    factor = effect.widening if confidence is None else stretch(effect, np.inf, confidence)
    ends = stretched_interval(estimate.value, (estimate.low, estimate.high), factor, METRICS[metric].scale)
    return Estimate(estimate.value, *ends)
