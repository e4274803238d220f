"""Verdicts of the real gate on hand-made evidence, for everything that shows them."""

from dataclasses import replace
from typing import Any

from config.schema import ModelConfig
from core.gate.comparison import Comparison, SliceGain, corrected_confidence
from core.gate.decision import Evidence, GateVerdict, HoldoutFacts, ServingVerdict, decide
from core.gate.negative_controls import SelfTest, Trial
from core.metrics.bootstrap import Estimate
from core.metrics.calibration import CalibrationChange
from core.metrics.paired import Difference
from tests.factories import credit_config

ESTIMATE = Estimate(0.8123, 0.7998, 0.8241)
CALIBRATION = CalibrationChange(0.0121, 0.0134, 0.0013, -0.0024, 0.005)
SERVING = ServingVerdict(True, "onnx", 1005, 2.4e-7, 1.84, 3.3, 0.41, ())


def config(**gate: Any) -> ModelConfig:
    """Build a model file with two sliced columns."""
    return credit_config(evaluation={"slices": ["region", "owner"]}, gate={"margin": 0.002, **gate})


def difference(gain: float, half: float, n_rows: int = 4312, champion: float = 0.8) -> Difference:
    """Build a gain with an interval of this half width."""
    return Difference(
        "roc_auc", champion, champion + gain, gain, gain - half, gain + half, half / 1.96, "DeLong", n_rows, 0.95
    )


def slice_gain(column: str, level: str, gain: float, half: float, n_rows: int, *, worse: bool = False) -> SliceGain:
    """Build one slice's gain."""
    found = difference(gain, half, n_rows)
    return SliceGain(column, level, n_rows, found, 0.0004 if worse else 0.4, worse)


SLICES = (
    slice_gain("region", "north", 0.0151, 0.014, 1890),
    slice_gain("region", "south", 0.0087, 0.016, 1410),
    slice_gain("region", "west", -0.0042, 0.021, 992),
    SliceGain("region", "(missing)", 20, None, None, worse=False, note="fewer than 30 rows: not judged"),
    slice_gain("owner", "true", 0.0132, 0.011, 2309),
    slice_gain("owner", "false", 0.0109, 0.012, 2003),
)
WORSE = slice_gain("region", "west", -0.0442, 0.021, 992, worse=True)


def comparison(gain: float = 0.0123, slices: tuple[SliceGain, ...] = SLICES, looks: float = 1.0) -> Comparison:
    """Build a comparison whose interval of the gain is ±0.0082."""
    confidence = corrected_confidence(0.95, looks)
    found = replace(difference(gain, 0.0082), confidence=confidence)
    return Comparison("roc_auc", 4312, found, slices, CALIBRATION, confidence, looks)


def holdout(n_rows: int = 4312, n_seen: int = 488) -> HoldoutFacts:
    """Build the facts of a clean holdout that needs 100 rows."""
    enough = n_rows >= 100
    reason = f"{n_rows:,} of {n_rows + n_seen:,} holdout rows are new to both models: at least 100 are needed"
    rule = "the newest 20% of the rows by application_date"
    return HoldoutFacts(n_rows, n_rows + n_seen, n_seen, 12, 100, enough, reason, rule, "f" * 64)


def self_test(of: str = "champion", *, passed: bool = True) -> SelfTest:
    """Build a self-test; a failed one promotes a degraded model."""
    degraded = difference(-0.081 if passed else 0.02, 0.012)
    answer = "is refused" if passed else "would be promoted"
    trials = (
        Trial("itself", difference(0.0, 0.0), True, f"the {of} against itself ties"),
        Trial("degraded", degraded, passed, f"the {of} with permuted features {answer}"),
        Trial("shuffled", difference(-0.304, 0.021), True, "a model fitted on permuted labels is rejected"),
    )
    return SelfTest(passed, trials, "champion" if of == "champion" else "challenger")


def verdict(*, mode: str = "enabled", **evidence: Any) -> GateVerdict:
    """Decide on a challenger that is better than champion 3 in every way, but for what is given."""
    shown: dict[str, Any] = {
        "version": 4,
        "estimate": ESTIMATE,
        "n_holdout": 4800,
        "champion": 3,
        "champion_sequence": 2,
        "holdout": holdout(),
        "comparison": comparison(),
        "self_test": self_test(),
        "serving": SERVING,
    }
    return decide(Evidence(**(shown | evidence)), config(mode=mode))


def promoted(mode: str = "enabled") -> GateVerdict:
    """Judge a challenger that is better."""
    return verdict(mode=mode)


def refused() -> GateVerdict:
    """Judge a challenger that is better on the whole and worse on one slice."""
    return verdict(comparison=comparison(slices=(*SLICES[:2], WORSE, *SLICES[3:]), looks=2.31))


def undecided() -> GateVerdict:
    """Judge a challenger where the champion has trained on most of the holdout."""
    return verdict(holdout=holdout(42, 4758), comparison=None, self_test=None)


def first() -> GateVerdict:
    """Judge a challenger where there is no champion yet."""
    return verdict(
        version=1, champion=None, champion_sequence=0, comparison=None, holdout=None, self_test=self_test("challenger")
    )
