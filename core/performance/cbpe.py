"""Performance estimated without labels, from what calibrated scores promise.

Confidence-based performance estimation: a map fitted on labelled rows turns scores into chances of the classes; of a
new window, those chances stand for the labels, and every metric has an expected value. It follows changes of the
features as long as rows with equal scores still come true as often as they did, and is blind where that breaks: to a
target that depends on the features in a new way.

The map knows the rows it was learnt from too well: the ROC AUC of 0.75 of a simulated model is promised as 0.77 by 500
rows, as 0.754 by 6,000. So a window's estimate is compared with the same estimate on the holdout, made with the same
map: what the map gets wrong is in both and falls out of the difference. What the map may get wrong by chance matters
where the window's scores are elsewhere, and is part of the change's error: each step of the map is a share of a known
number of holdout rows. Simulated with shifted features, 99 % intervals of the change without that part hold the truth
in as few as 35 % of windows (ROC AUC, 5,000 rows), with it in 96 to 100 % (F1 of 200 rows: 94 %).

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
"""An error below this share of the metric is rounding: all rows score alike."""


@dataclass(frozen=True)
class ScoreMap:
    """A rising map from one class's score to the chance of that class: level steps, joined by straight lines.

    Parameters
    ----------
    low, high
        First and last score of each step, rising.
    chance
        Of the class on each step, rising.
    n_rows
        Rows that each step was learnt from.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    chance: tuple[float, ...]
    n_rows: tuple[int, ...]

    def __post_init__(self) -> None:
        """Refuse steps that cannot be read together."""
        if not len(self.low) == len(self.high) == len(self.chance) == len(self.n_rows) > 0:
            raise ValueError(f"expected steps of equal number, at least one, found {len(self.low)} first scores")

    @classmethod
    def fit(cls, score: Floats, event: npt.NDArray[np.bool_]) -> ScoreMap:
        """Fit by isotonic regression of the events on their scores, shape (n,) each, n at least 1."""
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
        """Chance of the class by score; beyond the first and last step as on them."""
        step, after, share = self.position(score)
        chance = np.asarray(self.chance)
        found: Floats = (1 - share) * chance[step] + share * chance[after]
        return found

    def position(self, score: Floats) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], Floats]:
        """Step at or before each score, the step after it, and the share of the way between them, [0, 1)."""
        low, high = np.asarray(self.low), np.asarray(self.high)
        step = np.clip(np.searchsorted(low, score, side="right") - 1, 0, None)
        after = np.minimum(step + 1, len(low) - 1)
        gap = low[after] - high[step]
        share = np.where(gap > 0, (score - high[step]) / np.where(gap > 0, gap, 1.0), 0.0)
        return step, after, np.clip(share, 0.0, 1.0)

    def variance(self) -> Floats:
        """Variance of each step's chance, as a share of its rows; one row is added that came true by half.

        Without it a step that never came true would be known for certain.
        """
        n = np.asarray(self.n_rows, dtype="float64")
        chance = (np.asarray(self.chance) * n + 0.5) / (n + 1)
        variance: Floats = chance * (1 - chance) / n
        return variance


@dataclass(frozen=True)
class ScoreCalibration:
    """Maps from a model's scores to the chances of the classes.

    Parameters
    ----------
    maps
        Binary: of the positive class alone; multiclass: one per class.
    """

    maps: tuple[ScoreMap, ...]

    @classmethod
    def fit(cls, y: npt.NDArray[Any], output: Floats) -> ScoreCalibration:
        """Fit on labelled rows: class codes, shape (n,), and what the model says, all finite, shape (n, k)."""
        codes = [1] if output.shape[1] == 2 else range(output.shape[1])
        return cls(tuple(ScoreMap.fit(output[:, code], y == code) for code in codes))

    def apply(self, output: Floats) -> Floats:
        """Chances of the classes, shape (n, k), each row summing to 1; of equal size where no map gives any."""
        raw = self.raw_chances(output)
        if len(self.maps) == 1:
            return np.column_stack([1 - raw, raw])
        total = raw.sum(axis=1, keepdims=True)
        chances: Floats = np.where(total > 0, raw / np.where(total > 0, total, 1.0), 1 / len(self.maps))
        return chances

    def raw_chances(self, output: Floats) -> Floats:
        """Return what each map says, shape (n, maps)."""
        return np.column_stack(
            [part.chances(score) for part, score in zip(self.maps, self._scores(output), strict=True)]
        )

    def slopes(self, expected: ExpectedMetric, output: Floats) -> list[Floats]:
        """Change of a metric with the chance of each step, per map, shape (steps,)."""
        if len(self.maps) == 1:
            by_chance = expected.influence[:, [1]] - expected.influence[:, [0]]
        else:
            total = self.raw_chances(output).sum(axis=1, keepdims=True)
            shift = expected.influence - expected.by_row[:, None]
            by_chance = np.where(total > 0, shift / np.where(total > 0, total, 1.0), 0.0)
        by_chance = by_chance / len(output)
        scores = self._scores(output)
        return [_by_step(part, scores[j], by_chance[:, j]) for j, part in enumerate(self.maps)]

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold."""
        content: dict[str, Any] = jsonable({"version": VERSION, **asdict(self)})
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ScoreCalibration:
        """Build a calibration from :meth:`to_dict`.

        Raises
        ------
        ValueError
            The content is of another version, or no calibration.
        """
        calibration: ScoreCalibration = _read(cls, content)
        return calibration

    def _scores(self, output: Floats) -> list[Floats]:
        return [output[:, 1]] if len(self.maps) == 1 else list(output.T)


@dataclass(frozen=True)
class CbpeReference:
    """The estimate on the holdout, which a window's estimate is compared with.

    Parameters
    ----------
    metric
        Name, as in model files.
    n_rows
        Rows of the holdout.
    value
        The metric's estimate on them; NaN where undefined.
    error
        Standard error over rows and labels.
    row_error
        Standard error over rows alone: the chances are taken for certain.
    calibration
        The maps, fitted on those rows.
    slopes
        Change of the value with the chance of each step of each map.
    """

    metric: str
    n_rows: int
    value: float
    error: float
    row_error: float
    calibration: ScoreCalibration
    slopes: tuple[tuple[float, ...], ...]

    def estimate(self, confidence: float) -> Estimate:
        """Value with its interval over rows and labels."""
        return interval_of(self.metric, self.value, self.error, self.n_rows, confidence)

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold; NaN becomes None."""
        content: dict[str, Any] = jsonable({"version": VERSION, **asdict(self)})
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> CbpeReference:
        """Build a reference from :meth:`to_dict`.

        Raises
        ------
        ValueError
            The content is of another version, or no reference.
        """
        value = content.get("value")
        reference: CbpeReference = _read(cls, {**content, "value": float("nan") if value is None else value})
        return reference


@dataclass(frozen=True)
class CbpeWindow:
    """The estimate on a window, and what is uncertain in its distance from the holdout's.

    Parameters
    ----------
    value, row_error
        As in :class:`CbpeReference`.
    error
        Standard error over rows, labels and the maps.
    n_rows
        Rows of the window.
    map_error
        Standard error of the difference to the holdout's value that comes from the maps: near zero where the scores
        are distributed as they were.
    """

    value: float
    error: float
    row_error: float
    n_rows: int
    map_error: float


def reference_cbpe(y: npt.NDArray[Any], output: Floats, metric: str) -> CbpeReference:
    """Learn the maps from a holdout and estimate the metric on it.

    Parameters
    ----------
    y
        Class codes, shape (n,), n at least 1.
    output
        What the model says of the rows, all finite, shape (n, k).
    metric
        One of classification.
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
        What the same model says of the rows, shape (n, k); the value is NaN where it is not finite.
    """
    expected, slopes = _promise(output, reference.calibration, reference.metric)
    error = float(np.hypot(expected.error, _map_error(reference.calibration, slopes)))
    change = [ours - np.asarray(theirs) for ours, theirs in zip(slopes, reference.slopes, strict=True)]
    map_error = _map_error(reference.calibration, change)
    return CbpeWindow(expected.value, error, expected.row_error, len(output), map_error)


def estimated(output: Floats, calibration: ScoreCalibration, metric: str, *, confidence: float) -> Estimate:
    """Estimate a metric on rows without labels; with an interval in closed form over rows, labels and the maps.

    Parameters
    ----------
    output
        What the model says of the rows, shape (n, k).
    metric
        One of classification.
    confidence
        Share of windows whose metric, once their labels are known, the interval is to hold.
    """
    expected, slopes = _promise(output, calibration, metric)
    error = float(np.hypot(expected.error, _map_error(calibration, slopes)))
    return interval_of(metric, expected.value, error, len(output), confidence)


def interval_of(metric: str, value: float, error: float, n_rows: int, confidence: float) -> Estimate:
    """Estimate from a value and its standard error; without an interval where rows are few or score alike."""
    if not np.isfinite(value) or n_rows < MIN_ROWS or not error > ROUNDING * max(1.0, abs(value)):
        return Estimate(value, None, None)
    scale = METRICS[metric].scale
    if scale == "unit" and not 0 < value < 1:
        half = float(ndtri((1 + confidence) / 2)) * error
        return Estimate(value, max(0.0, value - half), min(1.0, value + half))
    return Estimate(value, *influence_interval(value, error, scale, confidence))


def _promise(output: Floats, calibration: ScoreCalibration, metric: str) -> tuple[ExpectedMetric, list[Floats]]:
    expected = expected_metric(calibration.apply(output), output, metric)
    return expected, calibration.slopes(expected, output)


def _map_error(calibration: ScoreCalibration, slopes: list[Floats]) -> float:
    """Return the standard error that the steps' own make of a value with these slopes, taken as independent."""
    parts = zip(calibration.maps, slopes, strict=True)
    return float(np.sqrt(sum(float((slope**2 * part.variance()).sum()) for part, slope in parts)))


def _by_step(part: ScoreMap, score: Floats, change: Floats) -> Floats:
    step, after, share = part.position(score)
    n_steps = len(part.low)
    sums = np.bincount(step, change * (1 - share), n_steps) + np.bincount(after, change * share, n_steps)
    return sums.astype("float64")


def _read(kind: Any, content: Mapping[str, Any]) -> Any:
    from pydantic import TypeAdapter

    if content.get("version") != VERSION:
        found = content.get("version")
        raise ValueError(f"expected a document of estimated performance of version {VERSION}, found {found!r}")
    fields = {name: value for name, value in content.items() if name != "version"}
    return TypeAdapter(kind).validate_python(fields)
