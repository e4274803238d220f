"""Performance estimated without labels, from calibrated scores.

Confidence-based performance estimation (CBPE): a map fitted on labelled rows turns scores into probabilities of the
classes; in a new window, these probabilities replace the labels, and every metric has an expected value. The estimate
is right under drift of the features while rows with equal scores have events as often as before. It cannot detect
concept drift, in which the target depends on the features in a new way.

The map overfits the rows it was fitted on: a ROC AUC of 0.75 of a simulated model is estimated as 0.77 with 500 rows,
as 0.754 with 6,000. So a window's estimate is compared with the same estimate on the holdout, made with the same map:
the bias of the map is in both and cancels in the difference. The random error of the map matters if the window's scores
are distributed differently, and is part of the error of the difference: each step of the map is a share of a known
number of holdout rows. In simulations with shifted features, 99 % intervals of the difference without this part cover
the truth in as few as 35 % of windows (ROC AUC, 5,000 rows), with it in 96 to 100 % (F1 with 200 rows: 94 %).

References
----------
NannyML, Confidence-based performance estimation (documentation, "How it works"), the method and the isotonic map per
class, normalised over the classes.
Guillory et al. (2021), Predicting with confidence on unseen distributions, ICCV; Garg et al. (2022), Leveraging
unlabeled data to predict out-of-distribution performance, ICLR (relatives: accuracy from confidence).
Zadrozny & Elkan (2002), Transforming classifier scores into accurate multiclass probability estimates, KDD (isotonic
calibration, one class against the rest).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from core.jsonable import jsonable
from core.metrics.bootstrap import MIN_ROWS, Estimate, influence_interval
from core.metrics.metrics import METRICS, Floats
from core.performance.expected_metrics import ExpectedMetric, expected_metric

VERSION = 1

ROUNDING = 1e-12
"""A standard error below this share of the metric is a rounding error: all rows have equal scores."""


@dataclass(frozen=True)
class ScoreMap:
    """A non-decreasing map from a class's score to the probability of the class: constant steps, linear between them.

    Parameters
    ----------
    low, high
        First and last score of each step, ascending.
    chance
        Probability of the class on each step, 0 to 1, ascending.
    n_rows
        Number of rows that each step was fitted on.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    chance: tuple[float, ...]
    n_rows: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that all fields have the same number of steps."""
        if not len(self.low) == len(self.high) == len(self.chance) == len(self.n_rows) > 0:
            raise ValueError(f"expected steps of equal number, at least one, found {len(self.low)} first scores")

    @classmethod
    def fit(cls, score: Floats, event: npt.NDArray[np.bool_]) -> ScoreMap:
        """Fit an isotonic regression of events (bool) on scores (float64), shape (n,) each, n at least 1."""
        from scipy.optimize import isotonic_regression

        values, place, counts = np.unique(score, return_inverse=True, return_counts=True)
        shares = np.bincount(place, weights=event) / counts
        fitted = isotonic_regression(shares, weights=counts)
        first, after = fitted.blocks[:-1], fitted.blocks[1:]
        return cls(
            low=tuple(values[first].tolist()),
            high=tuple(values[after - 1].tolist()),
            chance=tuple(fitted.x[first].tolist()),
            n_rows=tuple(fitted.weights.astype(int).tolist()),
        )

    def chances(self, score: Floats) -> Floats:
        """Return the probability of the class by score, shape (n,) each; constant beyond the first and last step."""
        step, after, share = self.position(score)
        chance = np.asarray(self.chance)
        found: Floats = (1 - share) * chance[step] + share * chance[after]
        return found

    def position(self, score: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
        """Return the step at or before each score, the step after it, and the share of the way between them, [0, 1).

        Parameters
        ----------
        score
            Scores of the class, shape (n,), float64.

        Returns
        -------
        step, after, share
            Shape (n,) each.
        """
        low, high = np.asarray(self.low), np.asarray(self.high)
        step = np.clip(np.searchsorted(low, score, side="right") - 1, 0, None)
        after = np.minimum(step + 1, len(low) - 1)
        gap = low[after] - high[step]
        share = np.where(gap > 0, (score - high[step]) / np.where(gap > 0, gap, 1.0), 0.0)
        return step, after, np.clip(share, 0.0, 1.0)

    def by_step(self, score: Floats, change: Floats) -> Floats:
        """Sum a change per row, shape (n,), to the steps that give the rows their probability, shape (n_steps,)."""
        step, after, share = self.position(score)
        n_steps = len(self.low)
        sums = np.bincount(step, change * (1 - share), n_steps) + np.bincount(after, change * share, n_steps)
        return sums.astype("float64")

    def variance(self) -> Floats:
        """Return the variance of each step's probability as a share of its rows, shape (n_steps,).

        One row with half an event is added to each step, because a step without events would have no variance.
        """
        n = np.asarray(self.n_rows, dtype="float64")
        chance = (np.asarray(self.chance) * n + 0.5) / (n + 1)
        variance: Floats = chance * (1 - chance) / n
        return variance


@dataclass(frozen=True)
class ScoreCalibration:
    """Maps from a model's scores to the probabilities of the classes.

    Parameters
    ----------
    maps
        Binary: one, of the positive class; multiclass: one per class.
    """

    maps: tuple[ScoreMap, ...]

    @classmethod
    def fit(cls, y: npt.NDArray[Any], output: Floats) -> ScoreCalibration:
        """Fit on labelled rows: class codes, shape (n,), int64, and the model's probabilities, shape (n, k), finite."""
        codes = [1] if output.shape[1] == 2 else range(output.shape[1])
        return cls(tuple(ScoreMap.fit(output[:, code], y == code) for code in codes))

    @property
    def codes(self) -> tuple[int, ...]:
        """Class codes of the maps, in their order."""
        return (1,) if len(self.maps) == 1 else tuple(range(len(self.maps)))

    def apply(self, output: Floats) -> Floats:
        """Return probabilities of the classes, shape (n, k), each row summing to 1; equal if all maps give 0."""
        raw = self.raw_chances(output)
        if len(self.maps) == 1:
            return np.column_stack([1 - raw, raw])
        total = raw.sum(axis=1, keepdims=True)
        chances: Floats = np.where(total > 0, raw / np.where(total > 0, total, 1.0), 1 / len(self.maps))
        return chances

    def raw_chances(self, output: Floats) -> Floats:
        """Return the output of each map for its class's score, shape (n, n_maps), 0 to 1."""
        return np.column_stack(
            [part.chances(score) for part, score in zip(self.maps, self._scores(output), strict=True)]
        )

    def slopes(self, expected: ExpectedMetric, output: Floats) -> list[Floats]:
        """Return the derivative of a metric by the probability of each step, one array of shape (n_steps,) per map."""
        if len(self.maps) == 1:
            by_chance = expected.influence[:, [1]] - expected.influence[:, [0]]
        else:
            total = self.raw_chances(output).sum(axis=1, keepdims=True)
            shift = expected.influence - expected.by_row[:, None]
            by_chance = np.where(total > 0, shift / np.where(total > 0, total, 1.0), 0.0)
        by_chance = by_chance / len(output)
        scores = self._scores(output)
        return [part.by_step(scores[j], by_chance[:, j]) for j, part in enumerate(self.maps)]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold."""
        content: dict[str, Any] = jsonable({"version": VERSION, **asdict(self)})
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ScoreCalibration:
        """Build a calibration from :meth:`to_dict`.

        Raises
        ------
        ValueError
            The content has another version, or is not a calibration.
        """
        calibration: ScoreCalibration = _read(cls, content)
        return calibration

    def _scores(self, output: Floats) -> list[Floats]:
        return [output[:, code] for code in self.codes]


@dataclass(frozen=True)
class CbpeReference:
    """The estimate on the holdout, with which a window's estimate is compared.

    Parameters
    ----------
    metric
        Name of the metric, as in model files.
    n_rows
        Number of holdout rows.
    value
        Estimate of the metric on them; NaN if undefined.
    error
        Standard error over rows and labels, in units of the metric.
    row_error
        Standard error over rows only: the probabilities are taken as exact.
    calibration
        The maps, fitted on the holdout rows.
    slopes
        Derivative of the value by the probability of each step of each map.
    """

    metric: str
    n_rows: int
    value: float
    error: float
    row_error: float
    calibration: ScoreCalibration
    slopes: tuple[tuple[float, ...], ...]

    def estimate(self, confidence: float) -> Estimate:
        """Return the value with its interval over rows and labels, of a confidence between 0 and 1."""
        return interval_of(self.metric, self.value, self.error, self.n_rows, confidence)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, NaN as None."""
        content: dict[str, Any] = jsonable({"version": VERSION, **asdict(self)})
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CbpeReference:
        """Build a reference from :meth:`to_dict`.

        Raises
        ------
        ValueError
            The content has another version, or is not a reference.
        """
        value = content.get("value")
        reference: CbpeReference = _read(cls, {**content, "value": float("nan") if value is None else value})
        return reference


@dataclass(frozen=True)
class CbpeWindow:
    """The estimate on a window, and the errors of its difference from the estimate on the holdout.

    Parameters
    ----------
    value, row_error
        As in :class:`CbpeReference`.
    error
        Standard error over rows, labels and the maps, in units of the metric.
    n_rows
        Number of rows of the window.
    map_error
        Part of the standard error of the difference that comes from the maps: near zero if the scores are distributed
        as on the holdout.
    """

    value: float
    error: float
    row_error: float
    n_rows: int
    map_error: float


def reference_cbpe(y: npt.NDArray[Any], output: Floats, metric: str) -> CbpeReference:
    """Fit the maps on a holdout and estimate the metric on it.

    Parameters
    ----------
    y
        Class codes, shape (n,), int64, n at least 1.
    output
        Probabilities predicted by the model, shape (n, k), float64, finite.
    metric
        Name of a classification metric.
    """
    calibration = ScoreCalibration.fit(y, output)
    expected = expected_metric(calibration.apply(output), output, metric)
    return CbpeReference(
        metric=metric,
        n_rows=len(y),
        value=expected.value,
        error=expected.error,
        row_error=expected.row_error,
        calibration=calibration,
        slopes=tuple(tuple(part.tolist()) for part in calibration.slopes(expected, output)),
    )


def window_cbpe(output: Floats, reference: CbpeReference) -> CbpeWindow:
    """Estimate the reference's metric on rows without labels.

    Parameters
    ----------
    output
        Probabilities predicted by the same model, shape (n, k), float64; if one is not finite, the value is NaN.
    reference
        The estimate on the holdout, with the maps.
    """
    expected, slopes = _expected_and_slopes(output, reference.calibration, reference.metric)
    error = float(np.hypot(expected.error, map_error(reference.calibration, slopes)))
    change = [here - np.asarray(there) for here, there in zip(slopes, reference.slopes, strict=True)]
    of_difference = map_error(reference.calibration, change)
    return CbpeWindow(expected.value, error, expected.row_error, len(output), of_difference)


def estimated(output: Floats, calibration: ScoreCalibration, metric: str, *, confidence: float) -> Estimate:
    """Estimate a metric on rows without labels, with an interval in closed form over rows, labels and the maps.

    Parameters
    ----------
    output
        Probabilities predicted by the model, shape (n, k), float64.
    calibration
        The maps, fitted on other rows of the same model.
    metric
        Name of a classification metric.
    confidence
        Share of windows, above 0 and below 1, whose metric should be in the interval once their labels are known.
    """
    expected, slopes = _expected_and_slopes(output, calibration, metric)
    error = float(np.hypot(expected.error, map_error(calibration, slopes)))
    return interval_of(metric, expected.value, error, len(output), confidence)


def interval_of(metric: str, value: float, error: float, n_rows: int, confidence: float) -> Estimate:
    """Build an estimate from a value and its standard error, without an interval if rows are few or have equal scores.

    Parameters
    ----------
    metric
        Name of the metric; its scale decides the form of the interval.
    value
        Value of the metric; NaN gives no interval.
    error
        Standard error, in units of the metric, at least 0.
    n_rows
        Number of rows.
    confidence
        Confidence of the interval, above 0 and below 1.
    """
    if not np.isfinite(value) or n_rows < MIN_ROWS or not error > ROUNDING * max(1.0, abs(value)):
        return Estimate(value, None, None)
    scale = METRICS[metric].scale
    if scale == "unit" and not 0 < value < 1:
        half = float(ndtri((1 + confidence) / 2)) * error
        return Estimate(value, max(0.0, value - half), min(1.0, value + half))
    return Estimate(value, *influence_interval(value, error, scale, confidence))


def _expected_and_slopes(
    output: Floats, calibration: ScoreCalibration, metric: str
) -> tuple[ExpectedMetric, list[Floats]]:
    expected = expected_metric(calibration.apply(output), output, metric)
    return expected, calibration.slopes(expected, output)


def map_error(calibration: ScoreCalibration, slopes: list[Floats]) -> float:
    """Return the standard error of a value with these slopes that comes from the steps, taken as independent."""
    parts = zip(calibration.maps, slopes, strict=True)
    return float(np.sqrt(sum(float((slope**2 * part.variance()).sum()) for part, slope in parts)))


def _read(kind: Any, content: Mapping[str, Any]) -> Any:
    from pydantic import TypeAdapter

    if content.get("version") != VERSION:
        found = content.get("version")
        raise ValueError(f"expected a document of estimated performance of version {VERSION}, found {found!r}")
    fields = {name: value for name, value in content.items() if name != "version"}
    return TypeAdapter(kind).validate_python(fields)
