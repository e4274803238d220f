"""Whether a challenger may replace the champion."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from config.schema import Gate, GateMode, ModelConfig
from core.gate.checks import Check, CheckName, calibration_check, floor_check, gain_check, gain_text, slices_check
from core.gate.comparison import Comparison
from core.gate.negative_controls import SelfTest
from core.jsonable import jsonable
from core.metrics.bootstrap import Estimate
from core.outcome import TrainStatus
from core.text import percent_text, significant

__all__ = [
    "Check",
    "Decision",
    "Evidence",
    "GateVerdict",
    "HoldoutFacts",
    "ServingVerdict",
    "decide",
    "floor_check",
    "gain_check",
]

Decision = Literal["promote", "keep", "undecided"]

_PROMOTED: dict[GateMode, TrainStatus] = {"enabled": "promoted", "manual": "waiting", "dry_run": "recorded"}
"""What a positive decision leads to."""
"""``promote``: the challenger is better; ``keep``: the champion stays; ``undecided``: too little evidence."""


@dataclass(frozen=True)
class ServingVerdict:
    """Result of the serving rehearsal: the serving code loads a bundle in a fresh process and predicts.

    Parameters
    ----------
    passed
        Whether the bundle loads, reproduces the training pipeline's predictions and is fast enough; None if the machine
        was too busy to measure that, see :func:`core.gate.latency.latency`.
    kind
        What was loaded: ``onnx`` or ``skops``; empty where nothing could be loaded.
    n_rows
        Rows scored.
    max_abs_diff
        Largest absolute difference from the training pipeline's predictions.
    p50_ms, p95_ms
        Percentiles of the wall time to score one row, in milliseconds.
    load_seconds
        Seconds until the bundle could predict.
    reasons
        Sentences for people.
    cpu_ms
        Median of the CPU time to score one row, in milliseconds; None in verdicts from before it was measured.
    slowdown
        By how much the machine slowed a reference model in the same process; None as above.
    """

    passed: bool | None
    kind: str
    n_rows: int
    max_abs_diff: float | None
    p50_ms: float | None
    p95_ms: float | None
    load_seconds: float | None
    reasons: tuple[str, ...]
    cpu_ms: float | None = None
    slowdown: float | None = None


@dataclass(frozen=True)
class HoldoutFacts:
    """The rows on which champion and challenger are compared.

    Parameters
    ----------
    n_rows
        Clean rows: neither model has trained on them.
    n_holdout
        Rows of the holdout before the removal.
    n_seen_by_champion, n_seen_by_challenger
        Number of these rows that a model was trained on; a row can count for both.
    n_needed
        Clean rows needed in total.
    enough
        Whether ``n_rows`` reaches ``n_needed``.
    reason
        A sentence for people.
    rule
        How the holdout was separated from the training rows.
    fingerprint
        Hash of the clean rows' identities.
    champion_is_newer
        Whether the champion was trained on the newest of these rows, because its data end later; False in verdicts from
        before it was recorded.
    """

    n_rows: int
    n_holdout: int
    n_seen_by_champion: int
    n_seen_by_challenger: int
    n_needed: int
    enough: bool
    reason: str
    rule: str
    fingerprint: str
    champion_is_newer: bool = False


@dataclass(frozen=True)
class GateVerdict:
    """The gate's decision and every number that led to it.

    Parameters
    ----------
    decision
        See :data:`Decision`.
    mode
        ``gate.mode`` of the model file: what happens after a ``promote``.
    model, version
        The challenger.
    champion, champion_sequence
        The champion's version (None where there is none) and its number in the history (0 where there is none).
    metric
        The gate's metric.
    value, low, high
        The challenger's value on its own holdout and its interval; None where undefined.
    floor
        Worst acceptable value.
    checks
        Checks in the order of the gate.
    comparison, holdout, self_test, serving
        The measurements behind the checks; None where a measurement was not made.
    reasons
        Sentences for people: the headline first.
    rules
        Section ``gate`` of the model file at that time; empty in verdicts from before it was kept.
    """

    decision: Decision
    mode: GateMode
    model: str
    version: int
    champion: int | None
    champion_sequence: int
    metric: str
    value: float | None
    low: float | None
    high: float | None
    floor: float
    checks: tuple[Check, ...]
    comparison: Comparison | None
    holdout: HoldoutFacts | None
    self_test: SelfTest | None
    serving: ServingVerdict | None
    reasons: tuple[str, ...]
    rules: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the challenger may be promoted."""
        return self.decision == "promote"

    @property
    def rehearse_again(self) -> bool:
        """Whether the serving was not measured because the machine was busy, and no other check decided."""
        return self.decision == "undecided" and self.serving is not None and self.serving.passed is None

    @property
    def status(self) -> TrainStatus:
        """What happens to the version."""
        if self.decision == "promote":
            return _PROMOTED[self.mode]
        return "refused" if self.decision == "keep" else "undecided"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as values that JSON can hold, for :meth:`from_dict`; NaN and infinities as None."""
        content: dict[str, Any] = jsonable(asdict(self))
        return content

    @classmethod
    def from_json(cls, document: str) -> GateVerdict:
        """Verdict from the JSON text of :meth:`to_dict`, as the operational database records it.

        Raises
        ------
        ValueError
            The text is no verdict.
        """
        return cls.from_dict(json.loads(document))

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> GateVerdict:
        """Build a verdict from :meth:`to_dict`.

        Raises
        ------
        ValueError
            The content is no verdict.
        """
        from pydantic import TypeAdapter

        # Verdicts from before checks said whether they count.
        checks = [{"counts": check["name"] != "holdout", **check} for check in content.get("checks", ())]
        return TypeAdapter(GateVerdict).validate_python({**content, "checks": checks})


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The measurements that the gate decides on.

    Parameters
    ----------
    version
        The challenger.
    estimate
        The gate's metric of the challenger on its own holdout.
    n_holdout
        Rows of that holdout.
    champion, champion_sequence
        As in :class:`GateVerdict`.
    holdout
        The clean rows; without a comparable champion, the rows that the challenger has not trained on.
    comparison
        None where it was not made.
    incomparable
        Why the champion cannot be compared, as a sentence; None where it can.
    self_test, serving
        None where they were not made.
    """

    version: int
    estimate: Estimate
    n_holdout: int
    champion: int | None = None
    champion_sequence: int = 0
    holdout: HoldoutFacts | None = None
    comparison: Comparison | None = None
    incomparable: str | None = None
    self_test: SelfTest | None = None
    serving: ServingVerdict | None = None


def decide(evidence: Evidence, config: ModelConfig) -> GateVerdict:
    """Decide whether a challenger may replace the champion.

    It may where every check passes. One failed check keeps the champion, even where other checks are undecided;
    without a failed check, an undecided check makes the decision ``undecided``. Without a champion, the floor, the
    negative controls and the serving rehearsal decide.
    """
    checks = _checks(evidence, config)
    decision = _decision(checks)
    estimate = evidence.estimate
    return GateVerdict(
        decision=decision,
        mode=config.gate.mode,
        model=config.model,
        version=evidence.version,
        champion=evidence.champion,
        champion_sequence=evidence.champion_sequence,
        metric=config.gate.metric,
        value=_finite(estimate.value),
        low=_finite(estimate.low),
        high=_finite(estimate.high),
        floor=config.gate.floor,
        checks=checks,
        comparison=evidence.comparison,
        holdout=evidence.holdout,
        self_test=evidence.self_test,
        serving=evidence.serving,
        reasons=(_headline(decision, checks, evidence), *_sentences(decision, checks, evidence, config)),
        rules=config.gate.model_dump(mode="json"),
    )


def _checks(evidence: Evidence, config: ModelConfig) -> tuple[Check, ...]:
    gate = config.gate
    compared = evidence.comparison.difference if evidence.comparison else None
    floor = floor_check(evidence.estimate, evidence.n_holdout, gate, config.evaluation.confidence, compared)
    blessings = (_self_test_check(evidence.self_test, evidence.holdout), _serving_check(evidence.serving))
    if evidence.champion is None:
        return (floor, *blessings)
    if evidence.incomparable is not None:
        reason = f"champion {evidence.champion} cannot be compared: {evidence.incomparable}"
        return (floor, *_not_made(config, reason), *blessings)
    holdout = _holdout_check(evidence.holdout)
    if not holdout.passed:
        return (holdout, floor, *_not_made(config, holdout.reason), *blessings)
    if evidence.comparison is None:
        return (holdout, floor, *_not_made(config, "the comparison was not made"), *blessings)
    return (holdout, floor, *_compared(evidence.comparison, gate), *blessings)


def _compared(comparison: Comparison, gate: Gate) -> Iterator[Check]:
    yield gain_check(comparison.difference, gate)
    if comparison.slices:
        yield slices_check(comparison.slices, gate, comparison.difference)
    if comparison.calibration is not None:
        yield calibration_check(comparison.calibration, gate, comparison.probabilities)


def _not_made(config: ModelConfig, reason: str) -> Iterator[Check]:
    yield Check("gain", None, reason)
    if config.evaluation.slices:
        yield Check("slices", None, reason)
    if config.task != "regression":
        yield Check("calibration", None, reason)


def _holdout_check(facts: HoldoutFacts | None) -> Check:
    if facts is None:
        return Check("holdout", None, "the rows that neither model has trained on were not determined", counts=False)
    return Check("holdout", facts.enough, facts.reason, counts=False)


def _self_test_check(found: SelfTest | None, holdout: HoldoutFacts | None) -> Check:
    if found is None:
        few = holdout is not None and not holdout.enough
        return Check("self-test", None, holdout.reason if holdout and few else "the negative controls were not run")
    if found.passed:
        return Check("self-test", True, f"the gate rejected all {len(found.results)} negative controls")
    failed = "; ".join(trial.reason for trial in found.results if not trial.passed)
    return Check("self-test", False, f"a negative control was not rejected, so nothing is promoted: {failed}")


def _serving_check(found: ServingVerdict | None) -> Check:
    if found is None:
        return Check("serving", None, "the serving rehearsal was not run")
    return Check("serving", found.passed, "; ".join(found.reasons) or _REHEARSED[found.passed])


def _decision(checks: Sequence[Check]) -> Decision:
    """Keep the champion by a failed check that counts; a failed one that does not leaves the gate undecided."""
    if any(check.is_against for check in checks):
        return "keep"
    return "promote" if all(check.passed for check in checks) else "undecided"


def _headline(decision: Decision, checks: Sequence[Check], evidence: Evidence) -> str:
    version, champion = f"version {evidence.version}", f"champion {evidence.champion}"
    first = evidence.champion is None
    if decision == "promote" and evidence.comparison is not None and not first:
        gain = gain_text(evidence.comparison.difference)
        return f"{version} is better than {champion}: {gain} that neither has trained on"
    if decision == "promote":
        return f"{version} is good enough to be the first champion: it reaches the floor and passes every check"
    if decision == "undecided" and _is_only_busy(checks, evidence.serving):
        return f"undecided: the machine was too busy to measure the serving of {version}; it will be rehearsed again"
    if decision == "undecided":
        question = "good enough to be the first champion" if first else f"better than {champion}"
        return f"undecided: not enough evidence that {version} is {question}"
    faults = [_fault(check.name, evidence) for check in checks if check.is_against]
    said = " and ".join([", ".join(faults[:-1]), faults[-1]] if len(faults) > 1 else faults)
    return f"there is no champion yet: {version} {said}" if first else f"{champion} stays: {version} {said}"


def _is_only_busy(checks: Sequence[Check], serving: ServingVerdict | None) -> bool:
    missing = [check.name for check in checks if not check.passed]
    return serving is not None and serving.passed is None and missing == ["serving"]


def _fault(name: CheckName, evidence: Evidence) -> str:
    gain = evidence.comparison.difference.gain if evidence.comparison else None
    return "is not better by enough" if name == "gain" and gain is not None and gain > 0 else _FAULTS[name]


def _sentences(decision: Decision, checks: Sequence[Check], evidence: Evidence, config: ModelConfig) -> Iterator[str]:
    told: dict[Decision, tuple[bool | None, ...]] = {"promote": (True,), "keep": (False,), "undecided": (False, None)}
    in_headline = decision == "promote" and evidence.champion is not None
    reasons = [
        check.reason
        for check in checks
        if check.passed in told[decision] and not (in_headline and check.name == "gain")
    ]
    yield from dict.fromkeys(reasons)
    comparison = evidence.comparison
    if comparison is not None and comparison.looks > 1:
        yield _looks_text(comparison, config.gate)
    if comparison is not None and comparison.difference.clusters is not None:
        yield comparison.difference.clusters.sentence
    version = f"{config.model}@{evidence.version}"
    if decision == "undecided" and evidence.holdout is not None and _is_outdated(evidence.holdout):
        yield f"to compare both on the newest data: perennial compare {config.model}@{evidence.champion} {version}"
    if decision == "undecided" and evidence.serving is not None and evidence.serving.passed is None:
        yield f"the next perennial train rehearses it again; to do it now: perennial judge {version}"
        return
    follows = _what_follows(decision, version, config.gate.mode)
    yield from [follows] if follows else []


def _is_outdated(holdout: HoldoutFacts) -> bool:
    return holdout.champion_is_newer and not holdout.enough


def _looks_text(comparison: Comparison, gate: Gate) -> str:
    return (
        f"counted as look {significant(comparison.looks, 3)} at the same rows against this champion: "
        f"the interval's confidence is {percent_text(comparison.confidence)}, not {percent_text(gate.confidence)}"
    )


def _what_follows(decision: Decision, version: str, mode: GateMode) -> str:
    if decision == "undecided":
        return f"to promote it anyway: perennial approve {version} --reason ..."
    if decision == "promote" and mode == "dry_run":
        return "gate.mode is dry_run: the verdict is recorded and no version is promoted"
    if decision == "promote" and mode == "manual":
        return f"gate.mode is manual: it waits for perennial approve (or reject) {version} --reason ..."
    return ""


_REHEARSED = {
    True: "the serving rehearsal passed",
    False: "the serving rehearsal failed",
    None: "the machine was too busy for the serving rehearsal",
}

_FAULTS: dict[CheckName, str] = {
    "floor": "misses the floor",
    "gain": "is not better",
    "slices": "is worse on a slice",
    "calibration": "is less well calibrated",
    "self-test": "was judged by a gate that did not reject a negative control",
    "serving": "failed the serving rehearsal",
}


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
