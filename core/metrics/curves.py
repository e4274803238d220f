"""Data of an evaluation's charts, as plain lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from core.feature_contract import FeatureContract
from core.metrics.calibration import Calibration, event_chance
from core.metrics.metrics import Floats

CURVE_POINTS = 200
MAX_CURVES = 10
SCORE_BINS = 20
MAX_POINTS = 2_000
RESIDUAL_BINS = 40
RESIDUAL_LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


def classification_curves(
    y: npt.NDArray[Any], output: Floats, contract: FeatureContract, reliability: Calibration
) -> dict[str, Any]:
    """Return the curves of a classifier, for at most the ten largest classes.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64.
    output
        Predicted probabilities, shape (n, k), 0 to 1.
    contract
        Labels of the classes.
    reliability
        Calibration of the same rows.

    Returns
    -------
    dict
        In the layout of :class:`core.metrics.evaluation.Evaluation`.
    """
    codes = _drawn_classes(y, output.shape[1])
    steps = {code: _running_counts(output[:, code], y == code) for code in codes}
    return {
        "roc": [{"label": contract.classes[code], **roc_curve(*steps[code])} for code in codes],
        "pr": [{"label": contract.classes[code], **precision_recall_curve(*steps[code])} for code in codes],
        "reliability": _reliability(reliability),
        "scores": _score_histogram(y, output, contract),
    }


def regression_curves(y: Floats, output: Floats, seed: int) -> dict[str, Any]:
    """Return the curves of a regressor.

    Parameters
    ----------
    y, output
        True and predicted values, shape (n,) each, float64.
    seed
        Seed of the sample of points.

    Returns
    -------
    dict
        In the layout of :class:`core.metrics.evaluation.Evaluation`.
    """
    rows = np.arange(len(y))
    if len(y) > MAX_POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(len(y), MAX_POINTS, replace=False))
    return {
        "points": {"actual": y[rows].tolist(), "predicted": output[rows].tolist()},
        "residuals": _residuals(y - output),
    }


def roc_curve(hits: Floats, alarms: Floats) -> dict[str, list[float]]:
    """Return the true and false positive rates at up to 200 thresholds, evenly spread along the curve.

    Parameters
    ----------
    hits, alarms
        Number of events and of other rows at or above each descending threshold, shape (t,) each, float64, starting
        with 0 and 0.
    """
    tpr, fpr = hits / hits[-1], alarms / max(alarms[-1], 1.0)
    steps = _spread(tpr + fpr)
    return {"fpr": fpr[steps].tolist(), "tpr": tpr[steps].tolist()}


def precision_recall_curve(hits: Floats, alarms: Floats) -> dict[str, Any]:
    """Return the precision at up to 200 evenly spread recalls, and the class's share of the rows.

    Parameters
    ----------
    hits, alarms
        As in :func:`roc_curve`.
    """
    hits, alarms = hits[1:], alarms[1:]
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    steps = _spread(recall)
    share = float(hits[-1] / (hits[-1] + alarms[-1]))
    return {"recall": recall[steps].tolist(), "precision": precision[steps].tolist(), "share": share}


def _drawn_classes(y: npt.NDArray[Any], n_classes: int) -> list[int]:
    counts = np.bincount(y, minlength=n_classes)
    if n_classes == 2:
        return [1] if counts[1] else []
    return [int(code) for code in np.argsort(-counts, kind="stable")[:MAX_CURVES] if counts[code]]


def _running_counts(score: Floats, event: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    order = np.argsort(-score, kind="stable")
    last_of_step = np.append(np.diff(score[order]) != 0, True)
    hits = np.cumsum(event[order])[last_of_step]
    rows = np.flatnonzero(last_of_step) + 1
    return np.append(0.0, hits), np.append(0.0, rows - hits)


def _spread(rising: Floats) -> npt.NDArray[np.intp]:
    wanted = np.linspace(rising[0], rising[-1], CURVE_POINTS - 1)
    return np.unique(np.append(np.searchsorted(rising, wanted, side="left"), len(rising) - 1))


def _reliability(reliability: Calibration) -> dict[str, list[Any]]:
    bins = reliability.bins
    return {
        "predicted": [part.mean_predicted for part in bins],
        "observed": [part.observed for part in bins],
        "low": [part.observed_low for part in bins],
        "high": [part.observed_high for part in bins],
        "n_rows": [part.n_rows for part in bins],
    }


def _score_histogram(y: npt.NDArray[Any], output: Floats, contract: FeatureContract) -> dict[str, Any]:
    chance, _ = event_chance(y, output)
    edges = np.linspace(0, 1, SCORE_BINS + 1)
    codes = range(2) if output.shape[1] == 2 else sorted(_drawn_classes(y, output.shape[1]))
    counts = {
        contract.classes[code]: np.histogram(np.clip(chance[y == code], 0, 1), edges)[0].tolist() for code in codes
    }
    return {"edges": edges.tolist(), "counts": counts}


def _residuals(residual: Floats) -> dict[str, list[float]]:
    low, high = np.quantile(residual, [0.005, 0.995])
    counts, edges = np.histogram(np.clip(residual, low, high), RESIDUAL_BINS)
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "levels": list(RESIDUAL_LEVELS),
        "quantiles": np.quantile(residual, RESIDUAL_LEVELS).tolist(),
    }
