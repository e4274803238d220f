"""Performance of a regression estimated without labels, by a model of the champion's losses.

Direct loss estimation (DLE): on rows with labels that the champion was not trained on, a second model learns the size
of the champion's loss from the features and the prediction; its mean over a window without labels estimates the
window's mean loss. Two things are done beyond that. The second model is cross-fitted: its errors on the holdout are
those on rows it has not seen. And its mean is corrected by these errors, weighted by the density ratio of window and
holdout (the doubly robust estimator): if either the loss model or the ratio is right, the estimate is. Each row's
influence on the estimate gives the standard error, which includes the errors of the loss model.

The mean loss of the window is compared with that of the same holdout, so the chance of the holdout's labels is in both
and cancels where the window is like the holdout. As CBPE it cannot detect concept drift.

References
----------
NannyML, Direct loss estimation (documentation, "How it works"): the method; a gradient boosting model of the loss.
Robins, Rotnitzky & Zhao (1994), Estimation of regression coefficients when some regressors are not always observed,
JASA 89, 846-866 (the augmented, doubly robust estimator); Reddi, Poczos & Smola (2015), Doubly robust covariate shift
correction, AAAI; Chernozhukov et al. (2018), Double/debiased machine learning, Econometrics Journal 21, C1-C68
(cross-fitting).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.metrics.bootstrap import Estimate, influence_interval
from core.metrics.metrics import METRICS, Floats
from core.performance.estimated import EXCLUSION, MAX_OUTSIDE_SCORES, answered, not_judged, withheld
from core.performance.loss import NEEDED, Performance, compared_performance
from core.text import percent

FOLDS = 5
"""Number of blocks of the holdout; each one's losses are predicted by a model of the others."""

MIN_HOLDOUT = 200
"""Minimum holdout rows for a loss model."""

CONTRADICTED = 0.99
"""Confidence with which labels contradict an estimate."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LossRows:
    """Holdout rows with their losses, and a window's rows without.

    Parameters
    ----------
    reference, window
        Features as numbers and the prediction last, shape (m, p) and (n, p), NaN for missing values; the holdout in
        time order if it has one.
    residual
        Label minus prediction of the holdout rows, shape (m,), finite.
    weights
        Density ratio of window and holdout at each holdout row, shape (m,), with mean 1.
    """

    reference: Matrix
    window: Matrix
    residual: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class LossEstimate:
    """Mean losses of holdout and window, and what each row contributes.

    Parameters
    ----------
    metric
        ``rmse`` or ``mae``.
    reference, value
        The metric on the holdout, from its labels, and on the window, estimated.
    error
        Standard error of ``value`` once the rows are labelled, in units of the metric.
    loss_error
        Standard error of ``value`` minus ``reference``.
    reference_error
        Standard error of ``reference``.
    predicted
        Predicted loss of each row of the window, shape (n,): squared (RMSE) or absolute (MAE).
    n_reference
        Number of holdout rows.
    correction, correction_error
        Weighted mean error of the loss model on the holdout, and its standard error, in units of the row's loss.
    """

    metric: str
    reference: float
    value: float
    error: float
    loss_error: float
    reference_error: float
    predicted: Floats
    n_reference: int
    correction: float
    correction_error: float


def loss_metric(metric: str) -> str:
    """Return the metric that is estimated for a metric of regression: RMSE in place of R², which needs the labels."""
    return "mae" if metric == "mae" else "rmse"


def other_metric(metric: str) -> str:
    """Return the metric that is shown beside an estimated one: MAE beside RMSE, RMSE beside MAE."""
    return "rmse" if metric == "mae" else "mae"


def loss_estimate(rows: LossRows, metric: str, seed: int) -> LossEstimate:
    """Fit a model of the losses and estimate the metric of the window.

    Parameters
    ----------
    rows
        Holdout rows, at least 200, and at least one row of a window.
    metric
        ``rmse`` or ``mae``.
    seed
        Seed of the loss model.
    """
    losses = _losses(rows.residual, metric)
    fitted, predicted = _cross_fitted(rows, losses, seed)
    weights = rows.weights / rows.weights.mean()
    rest = losses - fitted
    correction = float((weights * rest).mean())
    here, there = max(float(predicted.mean()) + correction, 0.0), float(losses.mean())
    # A correction that leaves less than no loss is an extrapolation of the weights.
    here = here or float(predicted.mean())
    of_rows, of_rest = predicted - predicted.mean(), weights * (rest - correction)
    slope_here, slope_there = _slope(here, metric), _slope(there, metric)
    # The ratio is an estimate too, and its largest values are cut: by how much it moves the correction is in doubt.
    moved = (slope_here * (correction - float(rest.mean()))) ** 2
    n = len(predicted)
    label_variance = float((weights * (rest - correction) ** 2).mean())
    own = slope_here**2 * (_mean_variance(of_rows) + _mean_variance(of_rest) + label_variance / n) + moved
    difference = slope_here * of_rest - slope_there * (losses - there)
    return LossEstimate(
        metric=metric,
        reference=_value(there, metric),
        value=_value(here, metric),
        error=math.sqrt(own),
        loss_error=math.sqrt(slope_here**2 * _mean_variance(of_rows) + _mean_variance(difference) + moved),
        reference_error=math.sqrt(slope_there**2 * _mean_variance(losses - there)),
        predicted=predicted,
        n_reference=len(losses),
        correction=correction,
        correction_error=math.sqrt(_mean_variance(of_rest)),
    )


def estimated_loss(
    found: LossEstimate, *, max_loss: float, confidence: float, doubts: Sequence[str] = ()
) -> Performance:
    """Compare the estimated losses of a window with the holdout's.

    Parameters
    ----------
    found
        From :func:`loss_estimate`.
    max_loss
        Tolerated loss as a share of the reference's value, at least 0.
    confidence
        Confidence of the intervals, above 0 and below 1.
    doubts
        Reasons to withhold the estimate.
    """
    bound = _difference(found, 2 * EXCLUSION - 1)
    return answered(_compared(found, max_loss, confidence), bound.high, confidence, doubts)


def shown_loss(found: LossEstimate, metric: str, *, max_loss: float, confidence: float) -> Performance:
    """Compare the estimate of a further metric with the holdout's, without a judgement.

    Parameters
    ----------
    found
        From :func:`loss_estimate`.
    metric
        Name of the metric that is judged.
    max_loss, confidence
        As in :func:`estimated_loss`.
    """
    return not_judged(_compared(found, max_loss, confidence), metric, confidence)


def unknown_loss(
    metric: str, reference: Estimate, n_rows: int, n_holdout: int | None, *, max_loss: float, confidence: float
) -> Performance:
    """Return that the losses of a window are not estimated, and why.

    Parameters
    ----------
    metric
        ``rmse`` or ``mae``.
    reference
        The metric on the holdout; NaN if it is not known.
    n_rows
        Number of rows of the window: fewer than 200, unless predictions are not finite or ``n_holdout`` is the reason.
    n_holdout
        Number of labelled holdout rows in the bundle; None if it was made before bundles had them.
    max_loss, confidence
        As in :func:`estimated_loss`.
    """
    unknown = Estimate(math.nan, None, None)
    found = compared_performance("estimated", metric, unknown, reference, unknown, max_loss, n_rows)
    if n_holdout is None:
        return withheld(
            found,
            (
                "the champion was registered before bundles had labelled holdout rows, from which losses are learnt: "
                "a version that is trained now has them",
            ),
        )
    if n_holdout < MIN_HOLDOUT:
        few = f"the champion's bundle has {n_holdout:,} labelled holdout rows, and {MIN_HOLDOUT} are needed"
        return withheld(found, (few,))
    return answered(found, None, confidence, ())


def prediction_doubts(output: Floats, reference: Floats) -> tuple[str, ...]:
    """Return why the predictions of a window say too little about its losses; empty if they say enough.

    Parameters
    ----------
    output, reference
        The champion's predictions for the window, shape (n,), and for the holdout, shape (m,); both finite.
    """
    share = float(np.mean((output < reference.min()) | (output > reference.max())))
    if share <= MAX_OUTSIDE_SCORES:
        return ()
    return (f"{percent(share)} of them have a prediction beyond the holdout's lowest or highest",)


def loss_contradiction(residual: Floats, found: LossEstimate, rows: str) -> tuple[str, ...]:
    """Return how labelled rows contradict the estimate that was made for them; empty if they agree or are too few.

    Parameters
    ----------
    residual
        Label minus prediction, shape (n,): NaN for rows of the estimate that have no label.
    found
        The estimate for the same rows.
    rows
        Which rows these are, for the sentence.
    """
    known = np.isfinite(residual)
    losses, predicted = _losses(residual[known], found.metric), found.predicted[known]
    if len(losses) < NEEDED["estimated"] // 2:
        return ()
    gap = losses - predicted
    off = float(gap.mean()) - found.correction
    error = math.hypot(math.sqrt(_mean_variance(gap - gap.mean())), found.correction_error)
    if not error > 0 or abs(off) <= float(ndtri((1 + CONTRADICTED) / 2)) * error:
        return ()
    label = METRICS[found.metric].label
    seen, thought = (_value(max(mean, 0.0), found.metric) for mean in (losses.mean(), losses.mean() - off))
    return (f"on {len(losses):,} {rows} {label} is {seen:.4g}, and {thought:.4g} was estimated without labels",)


def _compared(found: LossEstimate, max_loss: float, confidence: float) -> Performance:
    return compared_performance(
        "estimated",
        found.metric,
        _interval(found.value, found.error, confidence),
        _interval(found.reference, found.reference_error, confidence),
        _difference(found, confidence),
        max_loss,
        len(found.predicted),
    )


def _losses(residual: Floats, metric: str) -> Floats:
    losses: Floats = np.abs(residual) if metric == "mae" else residual**2
    return losses


def _cross_fitted(rows: LossRows, losses: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return the predicted losses of the holdout, each by a model of other blocks, and of the window, their mean."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold

    # Neighbours in time are alike: in blocks, a row's neighbours do not help to predict its loss.
    fitted, window = np.empty(len(losses)), np.zeros(len(rows.window))
    scale = float(losses.mean()) or 1.0
    for train, test in KFold(FOLDS).split(rows.reference):
        model = HistGradientBoostingRegressor(
            max_iter=50, max_leaf_nodes=8, l2_regularization=1.0, early_stopping=False, random_state=seed
        )
        model.fit(rows.reference[train], losses[train] / scale)
        fitted[test] = scale * np.clip(model.predict(rows.reference[test]), 0.0, None)
        window += scale * np.clip(model.predict(rows.window), 0.0, None) / FOLDS
    return fitted, window


def _value(mean_loss: float, metric: str) -> float:
    return mean_loss if metric == "mae" else math.sqrt(mean_loss)


def _slope(mean_loss: float, metric: str) -> float:
    return 1.0 if metric == "mae" or not mean_loss else 0.5 / math.sqrt(mean_loss)


def _mean_variance(centred: Floats) -> float:
    return float((centred**2).sum()) / len(centred) ** 2


def _interval(value: float, error: float, confidence: float) -> Estimate:
    if not value > 0 or not error > 0:
        return Estimate(value, None, None)
    return Estimate(value, *influence_interval(value, error, "positive", confidence))


def _difference(found: LossEstimate, confidence: float) -> Estimate:
    """Return the loss with its normal interval."""
    loss = found.value - found.reference
    if not found.value > 0 or not found.reference > 0 or not found.loss_error > 0:
        return Estimate(loss, None, None)
    half = float(ndtri((1 + confidence) / 2)) * found.loss_error
    return Estimate(loss, loss - half, loss + half)
