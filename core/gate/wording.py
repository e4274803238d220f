"""Text of a verdict's numbers: for the model card, the run's page and a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.metrics.metrics import METRICS
from core.text import percent_text, significant

if TYPE_CHECKING:
    from core.gate.comparison import Comparison, SliceGain
    from core.gate.decision import Check, GateVerdict, HoldoutFacts, ServingVerdict
    from core.metrics.paired import Difference

NONE = "–"


@dataclass(frozen=True)
class Badge:
    """A short label for a result.

    Parameters
    ----------
    text
        Starts with a sign, so that it can be read without colour.
    tone
        Its colour: green, red, amber or grey.
    """

    text: str
    tone: Literal["good", "bad", "warn", "none"]


def decision_badge(verdict: GateVerdict) -> Badge:
    """Return the gate's decision and what happens next in the model's mode."""
    if verdict.decision == "undecided":
        return Badge("? undecided", "warn")
    if verdict.decision == "keep":
        return Badge("✗ refused", "bad")
    promote = {"enabled": "✓ promote", "manual": "✓ promote, once approved", "dry_run": "✓ would be promoted (dry run)"}
    return Badge(promote[verdict.mode], "good")


def check_badge(check: Check) -> Badge:
    """Return whether a check passed."""
    if check.passed is None:
        return Badge("– no answer", "none")
    if check.passed:
        return Badge("✓ passed", "good")
    return Badge("✗ failed", "bad") if check.counts else Badge("? not enough", "warn")


def check_reasons(checks: Sequence[Check]) -> list[tuple[Check, str]]:
    """Pair checks with their reasons; a repeated reason is given once."""
    first: dict[str, str] = {}
    told = [first.setdefault(check.reason, check.name) == check.name for check in checks]
    return [
        (check, check.reason if new else f"see {first[check.reason]}") for check, new in zip(checks, told, strict=True)
    ]


def standing(verdict: GateVerdict) -> str:
    """Return which version was judged against which champion."""
    rival = "there is no champion yet" if verdict.champion is None else f"against champion {verdict.champion}"
    return f"{verdict.model} version {verdict.version}, {rival}; mode {verdict.mode}"


def remarks(verdict: GateVerdict) -> list[str]:
    """Sentences of a verdict that are in neither its headline nor its checks."""
    said = {check.reason for check in verdict.checks}
    return [reason for reason in verdict.reasons[1:] if reason not in said]


def holdout_facts(holdout: HoldoutFacts) -> dict[str, str]:
    """Return names and values of the facts about the clean holdout."""
    return {
        "clean rows": f"{holdout.n_rows:,}",
        "needed": f"{holdout.n_needed:,}",
        "holdout": f"{holdout.n_holdout:,}",
        "the champion saw": f"{holdout.n_seen_by_champion:,}",
        "the challenger saw": f"{holdout.n_seen_by_challenger:,}",
    }


def look_facts(comparison: Comparison) -> dict[str, str]:
    """Return names and values of the correction for repeated looks."""
    return {"looks": significant(comparison.looks, 3), "confidence": percent_text(comparison.confidence)}


def serving_facts(serving: ServingVerdict) -> dict[str, str]:
    """Return names and values of the serving rehearsal's measurements."""
    apart = serving.max_abs_diff
    return {
        "loaded as": {"onnx": "ONNX", "skops": "skops"}.get(serving.kind, NONE),
        "rows compared": f"{serving.n_rows:,}",
        "largest difference": NONE if apart is None else f"{apart:.1e}" if apart else "0",
        "median": _unit(serving.p50_ms, "ms"),
        "95th percentile": _unit(serving.p95_ms, "ms"),
        "CPU time": _unit(serving.cpu_ms, "ms"),
        "reference slowed by": NONE if serving.slowdown is None else f"{significant(serving.slowdown, 2)} ×",
        "load": _unit(serving.load_seconds, "s"),
    }


def slice_remark(part: SliceGain) -> str:
    """Return the remark on a slice beside its numbers."""
    if not part.worse:
        return part.note
    return f"worse beyond noise{f' (p = {part.p_value:.2g})' if part.p_value is not None else ''}"


def gain_cells(n_rows: int, difference: Difference | None) -> tuple[str, ...]:
    """Write the numbers of a gain: rows, the champion's value, the challenger's, the gain and its interval."""
    if difference is None:
        return (f"{n_rows:,}", NONE, NONE, NONE, NONE)
    values = (number(difference.champion), number(difference.challenger), signed(difference.gain))
    return (f"{n_rows:,}", *values, gain_interval(difference))


def gain_interval(difference: Difference | None) -> str:
    """Write the ends of a gain's interval."""
    return NONE if difference is None else signed_interval(difference.low, difference.high)


def signed_interval(low: float | None, high: float | None) -> str:
    """Write the ends of an interval of a gain or a loss."""
    return NONE if low is None or high is None else f"{signed(low)} to {signed(high)}"


def metric_label(metric: str) -> str:
    """Return the name of a metric for people."""
    return METRICS[metric].label


def number(value: float | None) -> str:
    """Text of a value of a metric: four digits after the point below ten, fewer above.

    Examples
    --------
    >>> number(0.81234), number(1234.5), number(None)
    ('0.8123', '1,234', '–')
    """
    return _text(value, "")


def signed(value: float | None) -> str:
    """Text of a gain or a loss, with its sign; exactly zero is ``0``.

    Examples
    --------
    >>> signed(0.0123), signed(-45.678), signed(0.00001234), signed(0.0)
    ('+0.0123', '-45.68', '+1.2e-05', '0')
    """
    return "0" if value == 0 else _text(value, "+")


def _text(value: float | None, sign: str) -> str:
    if value is None or not math.isfinite(value):
        return NONE
    size = abs(value)
    if size >= 1000:
        return f"{value:{sign},.0f}"
    if size >= 10:
        return f"{value:{sign}.2f}"
    return f"{value:{sign}.1e}" if 0 < size < 0.00005 else f"{value:{sign}.4f}"


def _unit(value: float | None, unit: str) -> str:
    return NONE if value is None else f"{significant(value, 3)} {unit}"
