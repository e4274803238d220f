"""Whether a model may be used at all."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from config.schema import ModelConfig
from core.bootstrap import Estimate
from core.evaluation import Evaluation
from core.metrics import METRICS


@dataclass(frozen=True)
class GateVerdict:
    """The gate's decision and the numbers behind it.

    Parameters
    ----------
    passed
        Whether the metric's value reaches the floor.
    metric
        The metric looked at.
    value, low, high
        Its value on the holdout (NaN where undefined) and its interval (None where there is none).
    floor
        Worst value that is still acceptable.
    reasons
        Sentences for people.
    """

    passed: bool
    metric: str
    value: float
    low: float | None
    high: float | None
    floor: float
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Content that JSON can hold; an undefined value becomes None."""
        value = self.value if math.isfinite(self.value) else None
        return {**asdict(self), "value": value, "reasons": list(self.reasons)}


def floor_verdict(evaluation: Evaluation, config: ModelConfig) -> GateVerdict:
    """Decide whether the gate's metric reaches its floor on the holdout.

    The value decides, not the interval's end: a floor is chosen by people who look at values. An interval that
    reaches past the floor is said in the reasons.
    """
    name, floor = config.gate.metric, config.gate.floor
    estimate = evaluation.metrics.get(name, Estimate(math.nan, None, None))
    passed = math.isfinite(estimate.value) and METRICS[name].reaches(estimate.value, floor)
    reasons = _reasons(estimate, name, floor, passed, evaluation)
    return GateVerdict(passed, name, estimate.value, estimate.low, estimate.high, floor, reasons)


def _reasons(estimate: Estimate, name: str, floor: float, passed: bool, evaluation: Evaluation) -> tuple[str, ...]:
    metric, rows = METRICS[name], f"{evaluation.n_rows:,} holdout rows"
    if not math.isfinite(estimate.value):
        return (f"{metric.label} is not defined on the {rows}, so the floor {floor:g} is not reached",)
    side = "at least" if metric.greater_is_better else "at most"
    verb = "reaches" if passed else "misses"
    first = (
        f"{metric.label} {_number(estimate.value, floor)}{_interval(estimate, evaluation)} on {rows} {verb} the floor"
    )
    return (f"{first}: {side} {floor:g} is needed", *_doubt(estimate, metric.label, floor))


def _interval(estimate: Estimate, evaluation: Evaluation) -> str:
    if estimate.low is None or estimate.high is None:
        return " (too few rows for an interval)"
    return f" ({100 * evaluation.confidence:g} % interval {_number(estimate.low)} to {_number(estimate.high)})"


def _doubt(estimate: Estimate, label: str, floor: float) -> tuple[str, ...]:
    if estimate.low is None or estimate.high is None or not estimate.low < floor < estimate.high:
        return ()
    return (f"the interval of {label} holds the floor {floor:g}: more holdout rows would make the decision surer",)


def _number(value: float, floor: float = math.nan) -> str:
    """Four digits, more where four would read as the floor that the value misses."""
    text = f"{value:.4g}"
    return f"{value:.6g}" if text == f"{floor:.4g}" else text
