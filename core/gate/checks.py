"""The gate's checks on a metric: each passes, fails or cannot be decided, and gives its numbers as a sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from config.schema import Gate
from core.gate.comparison import SliceGain
from core.metrics.bootstrap import Estimate
from core.metrics.calibration import CalibrationChange
from core.metrics.metrics import METRICS
from core.metrics.paired import Difference, rows_needed
from core.text import number, percent_text, readable

SHOWN_SLICES = 3
"""Most slices that a sentence names."""

CheckName = Literal["holdout", "floor", "gain", "slices", "calibration", "self-test", "serving"]

MANY_ROWS = 100_000_000
"""Largest number of rows that is written out; above it the text says "more than"."""


@dataclass(frozen=True)
class Check:
    """One check of the gate.

    Parameters
    ----------
    name
        What was checked.
    passed
        None where it cannot be decided.
    reason
        The numbers behind the result, as a sentence for people.
    counts
        Whether a failure is evidence against the challenger. Too few clean rows are not: they leave the gate undecided.
    """

    name: CheckName
    passed: bool | None
    reason: str
    counts: bool = True

    @property
    def is_against(self) -> bool:
        """Whether the check failed and counts, so that the champion stays."""
        return self.passed is False and self.counts


def floor_check(
    estimate: Estimate, n_rows: int, gate: Gate, confidence: float, compared: Difference | None = None
) -> Check:
    """Check that the challenger reaches the gate's floor on its own holdout.

    The value decides, not the end of its interval, because people choose a floor by looking at values. The reason
    says when the interval contains the floor. A champion that misses the floor too is not kept in place by it: the gain
    decides which of the two is better.

    Parameters
    ----------
    estimate
        The gate's metric on that holdout; NaN if undefined.
    n_rows
        Number of rows of that holdout.
    gate
        Section ``gate`` of the model file.
    confidence
        Confidence of the estimate's interval, above 0 and below 1.
    compared
        The comparison with the champion over all rows; None if there is none.
    """
    metric, floor, rows = METRICS[gate.metric], gate.floor, f"{n_rows:,} holdout rows"
    if not math.isfinite(estimate.value):
        reason = f"{metric.label} is not defined on the {rows}, so the floor {number(floor)} is missed"
        return Check("floor", False, reason)
    reaches = metric.reaches(estimate.value, floor)
    side = "at least" if metric.greater_is_better else "at most"
    verb = "reaches" if reaches else "misses"
    value = f"{metric.label} {_beside(estimate.value, floor)}{_interval(estimate, confidence)}"
    reason = f"{value} on {rows} {verb} the floor: {side} {number(floor)} is needed"
    harmed = not reaches and misses_floor(compared, gate)
    return Check("floor", reaches or harmed, reason + _doubt(estimate, metric.label, floor) + _too(compared, harmed))


def misses_floor(difference: Difference | None, gate: Gate) -> bool:
    """Return whether the champion misses the gate's floor on the rows of a comparison.

    Parameters
    ----------
    difference
        The comparison, over all rows or on a slice; None, or without the champion's value, is no proof.
    gate
        Section ``gate`` of the model file.
    """
    value = difference.champion if difference else None
    return value is not None and not METRICS[gate.metric].reaches(value, gate.floor)


def gain_check(difference: Difference, gate: Gate) -> Check:
    """Check that the challenger is better than the champion, and that the gain is not chance.

    It passes where the gain is above zero, at least ``gate.min_gain``, and the lower end of its interval above
    ``-gate.margin``. A tie keeps the champion.
    """
    gain = difference.gain
    if gain is None:
        return _undefined(difference, METRICS[difference.metric].label)
    if gain == 0:
        label, value = METRICS[difference.metric].label, _plain(difference.champion or 0.0)
        return Check("gain", False, f"a tie keeps the champion: {label} {value} of both on {difference.n_rows:,} rows")
    if not gain > 0:
        return Check("gain", False, f"the challenger is worse: {gain_text(difference)}")
    if gain < gate.min_gain:
        return Check("gain", False, f"the gain is below gate.min_gain {number(gate.min_gain)}: {gain_text(difference)}")
    if difference.low is None:
        return Check("gain", None, f"these rows give no interval for the gain: {gain_text(difference)}")
    if not difference.low > -gate.margin:
        return Check("gain", False, _may_be_chance(difference, gate))
    return Check("gain", True, f"the challenger is better: {gain_text(difference)}")


def slices_check(slices: tuple[SliceGain, ...], gate: Gate, compared: Difference | None = None) -> Check:
    """Check that the challenger is not significantly worse on any slice, corrected for the number of slices.

    Parameters
    ----------
    slices
        The gain on each slice.
    gate
        Section ``gate`` of the model file.
    compared
        The comparison over all rows. If the champion misses the floor there, a slice on which it misses the floor too
        does not keep it in place.
    """
    harmed = misses_floor(compared, gate)
    open_to_all = [part for part in slices if part.worse and harmed and misses_floor(part.difference, gate)]
    worse = [part for part in slices if part.worse and part not in open_to_all]
    judged = sum(part.p_value is not None for part in slices)
    if not judged:
        return Check("slices", True, "no slice has enough rows to be judged")
    family = _family(judged, len(slices), gate)
    if worse:
        return Check("slices", False, f"worse beyond noise on {_slice_texts(worse)} ({family})")
    if open_to_all:
        reason = "where the champion misses the floor, as on all rows, so the slices do not keep it in place"
        return Check("slices", True, f"worse beyond noise on {_slice_texts(open_to_all)}, {reason} ({family})")
    return Check("slices", True, f"no slice is worse beyond noise ({family})")


def calibration_check(change: CalibrationChange, gate: Gate, probabilities: Difference | None = None) -> Check:
    """Check that the challenger's probabilities are acceptable, or not worse than the champion's in a proper score.

    The expected calibration error alone ignores how much the probabilities say: a better model may have a larger error
    and better probabilities. So the check fails only if all of these hold: the error rises by more than
    ``gate.max_calibration_loss`` and beyond chance; it is above ``gate.max_calibration_error``; the Brier score is not
    shown to be no worse; and the champion's own error is acceptable. It is undecided if the champion's own error is not
    acceptable, and the challenger's is larger by more than an acceptable error beyond chance. Both bounds are in
    proportion to the standard deviation of the event.

    The null hypothesis for the Brier score is that the challenger is worse by more than an acceptable calibration error
    costs, which is the square of that error. It is rejected by the lower end of the interval of the gain.

    Parameters
    ----------
    change
        The change of the calibration error.
    gate
        Section ``gate`` of the model file.
    probabilities
        The gain in the Brier score; without one, or without its interval, the calibration error alone decides.

    References
    ----------
    Gneiting & Raftery (2007), Strictly proper scoring rules, prediction, and estimation, JASA 102, 359-378.
    Blackwelder (1982), "Proving the null hypothesis" in clinical trials, Controlled Clinical Trials 3, 345-353 (showing
    that a loss is at most a margin).
    Murphy (1973), A new vector partition of the probability score, Journal of Applied Meteorology 12, 595-600 (the
    Brier score has a part for calibration and a part for resolution).
    """
    tolerated, acceptable = (bound * change.scale for bound in (gate.max_calibration_loss, gate.max_calibration_error))
    reason = f"{_rise(change, gate)}; a rise of {_plain(tolerated, 3)} is tolerated"
    if change.loss <= tolerated:
        return Check("calibration", True, reason)
    if change.low <= 0:
        return Check("calibration", True, f"{reason}, and this one may be chance")
    if change.challenger <= acceptable:
        return Check("calibration", True, f"{reason}, and an error of up to {_plain(acceptable, 3)} is acceptable")
    if probabilities is not None and probabilities.low is not None and probabilities.low > -(acceptable**2):
        reason = f"{reason}, but the probabilities as a whole are not worse: {gain_text(probabilities)}"
        return Check("calibration", True, reason)
    if change.champion_low is not None and change.champion_low > acceptable:
        return _both_ill_calibrated(change, acceptable, reason)
    return Check("calibration", False, reason + _whole(probabilities))


def gain_text(difference: Difference) -> str:
    """Write a defined gain with its interval and the rows it was measured on.

    Examples
    --------
    >>> found = Difference("roc_auc", 0.8, 0.8123, 0.0123, 0.004, 0.0206, 0.0042, "DeLong", 4312, 0.95)
    >>> gain_text(found)
    'gain in ROC AUC +0.0123 (95 % interval +0.004 to +0.0206), from 0.8 to 0.8123, on 4,312 rows'
    """
    ends = ""
    if difference.low is not None and difference.high is not None:
        interval = f"{_signed(difference.low)} to {_signed(difference.high)}"
        ends = f" ({percent_text(difference.confidence)} interval {interval})"
    gain = f"gain in {METRICS[difference.metric].label} {_signed(difference.gain or 0.0)}{ends}"
    return f"{gain}, {_from_to(difference)}, on {difference.n_rows:,} rows"


def _undefined(difference: Difference, label: str) -> Check:
    rows = f"the {difference.n_rows:,} rows"
    if difference.champion is None and difference.challenger is None:
        return Check("gain", None, f"{label} is not defined on {rows}: they may hold one class only")
    whose = "challenger's" if difference.challenger is None else "champion's"
    reason = f"the {whose} {label} is not defined on {rows}: its predictions hold NaN or infinity"
    return Check("gain", False if difference.challenger is None else None, reason)


def _may_be_chance(difference: Difference, gate: Gate) -> str:
    needed = rows_needed(difference, gate.margin)
    bound = f"below the margin of {number(gate.margin)}" if gate.margin else "below zero"
    reason = f"the gain may be chance, its interval reaches {bound}: {gain_text(difference)}"
    if needed is None or needed <= difference.n_rows:
        return reason
    rows = f"about {_rounded(needed):,}" if needed <= MANY_ROWS else f"more than {MANY_ROWS:,}"
    return f"{reason}; {rows} clean rows would be needed to detect a gain of this size"


def _family(judged: int, n_slices: int, gate: Gate) -> str:
    rest = f", {n_slices - judged:,} more with too few rows to be judged" if judged < n_slices else ""
    noun = "slice" if judged == 1 else "slices"
    return f"{judged:,} {noun}, Holm's correction at {percent_text(gate.confidence)} confidence{rest}"


def _slice_texts(parts: Sequence[SliceGain]) -> str:
    shown = "; ".join(_slice_text(part) for part in parts[:SHOWN_SLICES])
    return f"{shown}; and {len(parts) - SHOWN_SLICES} more" if len(parts) > SHOWN_SLICES else shown


def _slice_text(part: SliceGain) -> str:
    name = f"{readable(part.column, 60)} = {readable(part.level, 60)}"
    if part.difference is None or part.difference.gain is None:
        return name
    values = f"{METRICS[part.difference.metric].label} {_from_to(part.difference)}"
    return f"{name} ({values} on {part.n_rows:,} rows, p = {part.p_value:.2g})"


def _rise(change: CalibrationChange, gate: Gate) -> str:
    verb = "rises" if change.loss > 0 else "falls" if change.loss < 0 else "stays"
    return (
        f"the expected calibration error {verb} from {change.champion:.4f} to {change.challenger:.4f} "
        f"({percent_text(gate.confidence)} interval of the change {_signed(change.low)} to {_signed(change.high)})"
    )


def _both_ill_calibrated(change: CalibrationChange, acceptable: float, reason: str) -> Check:
    own = (
        f"the champion's own error is above the acceptable {_plain(acceptable, 3)} beyond chance "
        f"(its interval begins at {_plain(change.champion_low or 0.0, 3)}), so this check does not keep it in place"
    )
    if change.low > acceptable:
        return Check("calibration", None, f"{reason}, but {own}; the challenger's is far larger")
    return Check("calibration", True, f"{reason}, but {own}")


def _whole(probabilities: Difference | None) -> str:
    if probabilities is None or probabilities.gain is None:
        return ""
    verb = "are" if probabilities.gain < 0 else "may be"
    return f", and the probabilities as a whole {verb} worse: {gain_text(probabilities)}"


def _from_to(difference: Difference) -> str:
    """Both values, with enough digits to show that they differ."""
    champion, challenger = difference.champion, difference.challenger
    if champion is None or challenger is None:
        return "from an undefined value"
    digits = next((n for n in range(4, 12) if f"{champion:.{n}g}" != f"{challenger:.{n}g}"), 4)
    return f"from {_plain(champion, digits)} to {_plain(challenger, digits)}"


def _interval(estimate: Estimate, confidence: float) -> str:
    if estimate.low is None or estimate.high is None:
        return " (too few rows for an interval)"
    return f" ({percent_text(confidence)} interval {_plain(estimate.low)} to {_plain(estimate.high)})"


def _doubt(estimate: Estimate, label: str, floor: float) -> str:
    if estimate.low is None or estimate.high is None or not estimate.low < floor < estimate.high:
        return ""
    return f"; the interval of {label} contains the floor {number(floor)}: more holdout rows would decide it"


def _too(compared: Difference | None, harmed: bool) -> str:
    if compared is None or not harmed:
        return ""
    value = f"{_plain(compared.champion or 0.0)} on {compared.n_rows:,} rows"
    return f"; the champion misses it too ({value}), so the floor does not keep it in place"


def _beside(value: float, floor: float) -> str:
    """Four digits, or more where four digits would show the floor although the value is below it."""
    text = _plain(value)
    return _plain(value, 6) if text == _plain(floor) else text


def _plain(value: float, digits: int = 4) -> str:
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 1000 else f"{value + 0.0:+.3g}"


def _rounded(n_rows: int) -> int:
    """Two leading digits: the estimate is not more precise than that."""
    unit: int = 10 ** max(0, len(str(n_rows)) - 2)
    return -(-n_rows // unit) * unit
