from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.gate.comparison import Comparison, SliceGain, compare
from core.gate.decision import Evidence, GateVerdict, HoldoutFacts, ServingVerdict, decide
from core.gate.negative_controls import SelfTest, Trial, self_test
from core.metrics.bootstrap import Estimate
from core.metrics.calibration import CalibrationChange
from core.metrics.clusters import DesignEffect
from core.metrics.metrics import Floats
from core.metrics.paired import Difference
from tests.core.samples import binary_sample, task_config

BETTER = Difference("roc_auc", 0.8, 0.8123, 0.0123, 0.004, 0.0206, 0.0042, "DeLong", 4312, 0.95)
WORSE = replace(BETTER, gain=-0.01, challenger=0.79, low=-0.02, high=-0.001)
NORTH = SliceGain("region", "north", 812, BETTER, 0.9, False)
CALIBRATED = CalibrationChange(0.02, 0.021, 0.001, -0.004, 0.006)
COMPARISON = Comparison("roc_auc", 4312, BETTER, (NORTH,), CALIBRATED, 0.95)
HOLDOUT = HoldoutFacts(4312, 4800, 488, 0, 100, True, "4,312 clean rows, 100 are needed", "the newest rows", "ab" * 32)
FEW = replace(HOLDOUT, n_rows=40, enough=False, reason="40 clean rows, 100 are needed: wait for 60 more")
TRIED = SelfTest(True, tuple(Trial(name, WORSE, True, "refused") for name in ("itself", "degraded", "shuffled")))
SERVED = ServingVerdict(True, "onnx", 1005, 1e-7, 0.4, 0.9, 0.2, ("answers as in training, 0.9 ms a row",))
EVIDENCE = Evidence(
    version=4,
    estimate=Estimate(0.81, 0.8, 0.82),
    n_holdout=4800,
    champion=3,
    champion_sequence=2,
    holdout=HOLDOUT,
    comparison=COMPARISON,
    self_test=TRIED,
    serving=SERVED,
)
FIRST = replace(EVIDENCE, version=1, champion=None, champion_sequence=0, holdout=None, comparison=None)
CONFIG = task_config("binary", evaluation={"slices": ["region"]})


def compared(**changes: Any) -> Comparison:
    """Change the comparison of a better challenger."""
    return replace(COMPARISON, **changes)


def answers(verdict: GateVerdict) -> dict[str, bool | None]:
    """Answer of each check."""
    return {check.name: check.passed for check in verdict.checks}


def test_a_better_challenger_is_promoted() -> None:
    """Every check held; the headline says how much better, on how many rows."""
    verdict = decide(EVIDENCE, CONFIG)
    assert (verdict.decision, verdict.passed, verdict.champion_sequence) == ("promote", True, 2)
    assert list(answers(verdict)) == ["holdout", "floor", "gain", "slices", "calibration", "self-test", "serving"]
    assert set(answers(verdict).values()) == {True}
    assert verdict.reasons[0] == (
        "version 4 is better than champion 3: gain in ROC AUC +0.0123 (95 % interval +0.004 to +0.0206), "
        "from 0.8 to 0.8123, on 4,312 rows that neither has trained on"
    )
    assert HOLDOUT.reason in verdict.reasons


def test_clusters_of_rows_are_named() -> None:
    """The verdict says by how much they widen the interval, and is read back from its JSON."""
    effect = DesignEffect("customer", 0.31, 4.2, 120, 100.0)
    verdict = decide(replace(EVIDENCE, comparison=compared(difference=replace(BETTER, clusters=effect))), CONFIG)
    assert (
        "rows come in clusters of customer (ICC 0.31, design effect 4.2): intervals are wider by 2.05"
        in verdict.reasons
    )
    assert GateVerdict.from_json(json.dumps(verdict.to_dict())) == verdict
    content = verdict.to_dict()
    del content["comparison"]["difference"]["clusters"]
    assert GateVerdict.from_dict(content).decision == "promote"


def test_the_first_version_has_to_be_good_enough() -> None:
    """Without a champion the floor, the self-test and the rehearsal decide."""
    verdict = decide(FIRST, CONFIG)
    assert (verdict.decision, verdict.champion) == ("promote", None)
    assert answers(verdict) == {"floor": True, "self-test": True, "serving": True}
    assert verdict.reasons[0].startswith("version 1 is good enough to be the first champion")
    poor = decide(replace(FIRST, estimate=Estimate(0.55, 0.5, 0.59)), CONFIG)
    assert poor.decision == "keep"
    assert poor.reasons[0] == "there is no champion yet: version 1 misses the floor"


@pytest.mark.parametrize(
    ("changes", "failed", "said"),
    [
        ({"estimate": Estimate(0.55, 0.5, 0.6)}, "floor", "misses the floor"),
        ({"estimate": Estimate(math.nan, None, None)}, "floor", "misses the floor"),
        ({"comparison": compared(difference=WORSE)}, "gain", "is not better"),
        ({"comparison": compared(difference=replace(BETTER, gain=0.0))}, "gain", "is not better"),
        ({"comparison": compared(difference=replace(BETTER, low=-0.001))}, "gain", "is not better by enough"),
        ({"comparison": compared(slices=(replace(NORTH, worse=True),))}, "slices", "is worse on a slice"),
        (
            {"comparison": compared(calibration=CalibrationChange(0.02, 0.08, 0.06, 0.04, 0.08))},
            "calibration",
            "is less well calibrated",
        ),
        (
            {"self_test": replace(TRIED, passed=False, results=(Trial("shuffled", BETTER, False, "would win"),))},
            "self-test",
            "was judged by a gate that did not reject a negative control",
        ),
        (
            {"serving": replace(SERVED, passed=False, reasons=("300 ms a row",))},
            "serving",
            "failed the serving rehearsal",
        ),
    ],
)
def test_a_single_no_keeps_the_champion(changes: dict[str, Any], failed: str, said: str) -> None:
    """The headline says what is wrong, the next sentence is the failed check's."""
    verdict = decide(replace(EVIDENCE, **changes), CONFIG)
    assert verdict.decision == "keep"
    assert [name for name, passed in answers(verdict).items() if passed is False] == [failed]
    assert verdict.reasons[0].startswith("champion 3 stays: version 4 ")
    assert said in verdict.reasons[0]
    assert verdict.reasons[1] == next(check.reason for check in verdict.checks if check.name == failed)


def test_a_harmed_champion_is_replaced_by_a_better_challenger() -> None:
    """Below the floor and with bad probabilities itself, it is not kept by a check that it fails."""
    gain = replace(BETTER, champion=0.64, challenger=0.684, gain=0.044, low=0.039, high=0.048)
    change = CalibrationChange(0.27, 0.30, 0.03, 0.025, 0.035, champion_low=0.25)
    score = replace(WORSE, metric="brier", champion=0.31, challenger=0.32)
    found = compared(difference=gain, calibration=change, probabilities=score)
    config = task_config("binary", evaluation={"slices": ["region"]}, gate={"floor": 0.7})
    verdict = decide(replace(EVIDENCE, estimate=Estimate(0.684, 0.67, 0.69), comparison=found), config)
    assert verdict.decision == "promote"
    assert sum("keep it in place" in sentence for sentence in verdict.reasons) == 2
    tie = decide(replace(EVIDENCE, comparison=replace(found, difference=replace(gain, low=-0.01))), config)
    assert tie.decision == "keep"


def test_several_faults_are_all_named() -> None:
    """Each with its own sentence."""
    slow = replace(SERVED, passed=False, reasons=("300 ms a row",))
    verdict = decide(replace(EVIDENCE, comparison=compared(difference=WORSE), serving=slow), CONFIG)
    assert verdict.reasons[0] == ("champion 3 stays: version 4 is not better and failed the serving rehearsal")
    assert len(verdict.reasons) == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"holdout": FEW, "self_test": None}, FEW.reason),
        ({"holdout": None}, "the rows that neither model has trained on were not determined"),
        (
            {"holdout": None, "incomparable": "its bundle is gone", "comparison": None},
            "champion 3 cannot be compared: its bundle is gone",
        ),
        ({"comparison": None}, "the comparison was not made"),
        ({"self_test": None}, "the negative controls were not run"),
        ({"serving": None}, "the serving rehearsal was not run"),
        ({"comparison": compared(difference=replace(BETTER, low=None, high=None))}, "no interval for the gain"),
    ],
)
def test_what_nobody_knows_leaves_it_undecided(changes: dict[str, Any], reason: str) -> None:
    """Each gap is told once, with what to do."""
    verdict = decide(replace(EVIDENCE, **changes), CONFIG)
    assert verdict.decision == "undecided"
    assert verdict.reasons[0] == "undecided: not enough evidence that version 4 is better than champion 3"
    assert sum(reason in sentence for sentence in verdict.reasons) == 1
    assert verdict.reasons[-1] == "to promote it anyway: perennial approve credit@4 --reason ..."
    assert len(verdict.reasons) == 3


BUSY = replace(SERVED, passed=None, p95_ms=340.0, reasons=("the machine was too busy to measure the latency",))


def test_older_data_than_the_champions_are_compared_on_the_newest_rows() -> None:
    """No row is clean, so the verdict names the command that has clean rows, and how to promote the version anyway."""
    none = replace(FEW, n_rows=0, n_seen_by_champion=4800, champion_is_newer=True)
    verdict = decide(replace(EVIDENCE, holdout=none, comparison=None, self_test=None), CONFIG)
    assert verdict.decision == "undecided"
    model = CONFIG.model
    assert verdict.reasons[-2:] == (
        f"to compare both on the newest data: perennial compare {model}@3 {model}@4",
        f"to promote it anyway: perennial approve {model}@4 --reason ...",
    )
    assert GateVerdict.from_json(json.dumps(verdict.to_dict())) == verdict
    before = verdict.to_dict()
    del before["holdout"]["champion_is_newer"]
    assert GateVerdict.from_dict(before).holdout == replace(none, champion_is_newer=False)


def test_a_busy_machine_is_no_verdict_about_the_version() -> None:
    """It is undecided and says what comes next; approval is not offered, because serving is unknown."""
    verdict = decide(replace(EVIDENCE, serving=BUSY), CONFIG)
    assert (verdict.decision, verdict.rehearse_again) == ("undecided", True)
    assert verdict.reasons == (
        "undecided: the machine was too busy to measure the serving of version 4; it will be rehearsed again",
        "the machine was too busy to measure the latency",
        "the next perennial train rehearses it again; to do it now: perennial judge credit@4",
    )
    assert GateVerdict.from_json(json.dumps(verdict.to_dict())) == verdict


def test_a_worse_version_is_refused_on_a_busy_machine_too() -> None:
    """Another check decided; a new rehearsal would change nothing."""
    verdict = decide(replace(EVIDENCE, comparison=compared(difference=WORSE), serving=BUSY), CONFIG)
    assert (verdict.decision, verdict.rehearse_again) == ("keep", False)
    assert verdict.reasons[0] == "champion 3 stays: version 4 is not better"


def test_a_rehearsal_from_before_cpu_time_was_measured_is_read() -> None:
    """Verdicts in databases have neither of the two numbers."""
    content = decide(EVIDENCE, CONFIG).to_dict()
    del content["serving"]["cpu_ms"], content["serving"]["slowdown"]
    found = GateVerdict.from_dict(content)
    assert found.serving == replace(SERVED, cpu_ms=None, slowdown=None)
    assert not found.rehearse_again


def test_too_few_rows_and_a_fault_keep_the_champion() -> None:
    """A definite no needs no comparison; what was not made is marked so."""
    slow = replace(SERVED, passed=False, reasons=("300 ms a row",))
    verdict = decide(replace(EVIDENCE, holdout=FEW, self_test=None, serving=slow), CONFIG)
    assert verdict.decision == "keep"
    assert answers(verdict) == {
        "holdout": False,
        "floor": True,
        "gain": None,
        "slices": None,
        "calibration": None,
        "self-test": None,
        "serving": False,
    }
    assert verdict.reasons[0] == "champion 3 stays: version 4 failed the serving rehearsal"


def test_a_regression_without_slices_has_fewer_checks() -> None:
    """Numbers have no calibration, and no column no slices."""
    config = task_config("regression")
    found = compared(difference=replace(BETTER, metric="rmse"), slices=(), calibration=None)
    estimate = Estimate(0.5, 0.4, 0.6)
    verdict = decide(replace(EVIDENCE, comparison=found, estimate=estimate), config)
    assert verdict.decision == "promote"
    assert list(answers(verdict)) == ["holdout", "floor", "gain", "self-test", "serving"]
    few = decide(replace(EVIDENCE, holdout=FEW, estimate=estimate), config)
    assert list(answers(few)) == ["holdout", "floor", "gain", "self-test", "serving"]


@pytest.mark.parametrize(
    ("mode", "said"),
    [("dry_run", "no version is promoted"), ("manual", "perennial approve (or reject) credit@4"), ("enabled", None)],
)
def test_the_mode_says_what_follows(mode: str, said: str | None) -> None:
    """The decision is the same in every mode."""
    verdict = decide(EVIDENCE, task_config("binary", gate={"mode": mode}, evaluation={"slices": ["region"]}))
    assert (verdict.decision, verdict.mode) == ("promote", mode)
    assert any("gate.mode" in sentence for sentence in verdict.reasons) == (said is not None)
    assert said is None or said in verdict.reasons[-1]


def test_repeated_looks_are_told() -> None:
    """The corrected confidence stands beside the configured one."""
    again = compared(looks=2.5, confidence=0.992, difference=replace(BETTER, confidence=0.992))
    verdict = decide(replace(EVIDENCE, comparison=again), CONFIG)
    assert (
        "counted as look 2.5 at the same rows against this champion: the interval's confidence is 99.2 %, not 95 %"
    ) in verdict.reasons


@pytest.mark.parametrize("evidence", [EVIDENCE, FIRST, replace(EVIDENCE, holdout=FEW, self_test=None, serving=None)])
def test_a_verdict_survives_json(evidence: Evidence) -> None:
    """What is recorded is what was decided."""
    verdict = decide(evidence, CONFIG)
    text = json.dumps(verdict.to_dict(), allow_nan=False)
    assert GateVerdict.from_dict(json.loads(text)) == verdict


def test_json_gets_no_nan_and_no_numpy() -> None:
    """Undefined numbers are null, NumPy's are Python's."""
    strange: dict[str, Any] = {"p95_ms": math.inf, "n_rows": np.int64(5)}
    served = replace(SERVED, **strange)
    verdict = decide(replace(EVIDENCE, estimate=Estimate(math.nan, None, None), serving=served), CONFIG)
    content = json.loads(json.dumps(verdict.to_dict(), allow_nan=False))
    assert (content["value"], content["serving"]["p95_ms"], content["serving"]["n_rows"]) == (None, None, 5)


@pytest.mark.parametrize("content", [{}, {"decision": "perhaps"}])
def test_what_is_no_verdict_is_refused(content: dict[str, Any]) -> None:
    """A record that was tampered with or cut is not read as a verdict."""
    with pytest.raises(ValueError, match="GateVerdict"):
        GateVerdict.from_dict(content)


GAINS = st.none() | st.integers(-2_000, 2_000).map(lambda thousandths: thousandths / 1_000)


@given(
    gain=GAINS,
    low=GAINS,
    p_value_worse=st.booleans(),
    loss=st.floats(-0.5, 0.5),
    calibration_low=st.floats(-0.5, 0.5),
    value=st.floats(0, 1) | st.just(math.nan),
    holdout=st.sampled_from([HOLDOUT, FEW, None]),
    incomparable=st.sampled_from([None, "its bundle is gone"]),
    made=st.booleans(),
    tried=st.sampled_from([None, True, False]),
    served=st.sampled_from([None, True, False]),
    margin=st.floats(0, 1),
    min_gain=st.floats(0, 1),
)
def test_nothing_is_promoted_over_a_doubt(**drawn: Any) -> None:
    """With a champion: only a gain above zero on enough clean rows, with every check answered by yes."""
    config = task_config(
        "binary",
        evaluation={"slices": ["region"]},
        gate={"margin": drawn["margin"], "min_gain": drawn["min_gain"]},
    )
    difference = replace(BETTER, gain=drawn["gain"], low=drawn["low"])
    change = CalibrationChange(0.5, 0.5 + drawn["loss"], drawn["loss"], drawn["calibration_low"], 0.9)
    found = compared(difference=difference, slices=(replace(NORTH, worse=drawn["p_value_worse"]),), calibration=change)
    verdict = decide(
        replace(
            EVIDENCE,
            estimate=Estimate(drawn["value"], None, None),
            holdout=drawn["holdout"],
            incomparable=drawn["incomparable"],
            comparison=found if drawn["made"] else None,
            self_test=None if drawn["tried"] is None else replace(TRIED, passed=drawn["tried"]),
            serving=None if drawn["served"] is None else replace(SERVED, passed=drawn["served"]),
        ),
        config,
    )
    sound = (
        drawn["made"]
        and drawn["holdout"] is HOLDOUT
        and drawn["incomparable"] is None
        and drawn["tried"] is drawn["served"] is True
        and drawn["value"] >= config.gate.floor
        and drawn["gain"] is not None
        and drawn["low"] is not None
        and drawn["gain"] > 0
        and drawn["gain"] >= drawn["min_gain"]
        and drawn["low"] > -drawn["margin"]
        and not drawn["p_value_worse"]
        and not (drawn["loss"] > config.gate.max_calibration_loss and drawn["calibration_low"] > 0)
    )
    assert verdict.passed == bool(sound)
    assert verdict.passed == all(check.passed for check in verdict.checks)
    assert verdict.reasons


@pytest.mark.parametrize("spoil", ["one class", "NaN from the challenger", "NaN from the champion"])
def test_bad_predictions_and_rows_never_promote(spoil: str) -> None:
    """From the outputs to the verdict, with real numbers."""
    y, good = binary_sample(500, 1)
    champion, challenger = good[np.random.default_rng(1).permutation(500)], good.copy()
    if spoil == "one class":
        y = np.zeros_like(y)
    elif spoil == "NaN from the challenger":
        challenger[7] = np.nan
    else:
        champion[7] = np.nan
    frame = pd.DataFrame({"region": np.resize(["north", "south"], 500)})
    config = task_config("binary", evaluation={"slices": ["region"]}, gate={"resamples": 200})
    found = replace(
        EVIDENCE,
        comparison=compare(y, champion, challenger, frame, config),
        self_test=self_test(y, champion, challenger, good, config),
    )
    verdict = decide(found, config)
    assert not verdict.passed
    assert json.dumps(verdict.to_dict(), allow_nan=False)


def test_a_verdict_from_before_checks_said_whether_they_count_reads_the_same() -> None:
    """Its missing rows still count neither for nor against the challenger."""
    verdict = decide(replace(EVIDENCE, holdout=FEW, self_test=None), CONFIG)
    content = verdict.to_dict()
    for check in content["checks"]:
        del check["counts"]
    assert GateVerdict.from_dict(content).checks == verdict.checks
    assert {check.name for check in verdict.checks if not check.counts} == {"holdout"}


def test_a_verdict_from_before_the_brier_score_was_compared_reads_without_it() -> None:
    """Its calibration has no interval of the champion's error, and its comparison no gain of the probabilities."""
    content = decide(EVIDENCE, CONFIG).to_dict()
    del content["comparison"]["probabilities"]
    for name in ("champion_low", "event_rate"):
        del content["comparison"]["calibration"][name]
    comparison = GateVerdict.from_dict(content).comparison
    assert comparison is not None
    assert comparison.calibration == CALIBRATED
    assert comparison.probabilities is None


def _made(output: Floats, noise: float, shift: float, generator: np.random.Generator) -> Floats:
    """Blur known probabilities and shift their log-odds."""
    odds = np.log(output[:, 1] / output[:, 0]) + noise * generator.normal(size=len(output)) + shift
    return np.column_stack([1 / (1 + np.exp(odds)), 1 / (1 + np.exp(-odds))])


@pytest.mark.parametrize(
    ("champion", "challenger", "fewest", "most"),
    [
        ((3.0, 2.0), (1.0, 2.2), 38, 40),
        ((3.0, 2.0), (3.0, 2.0), 0, 3),
        ((0.6, 0.0), (0.1, 2.0), 0, 1),
        ((1.0, 0.0), (0.1, 2.0), 0, 3),
        ((0.2, 0.0), (0.2, 2.0), 0, 1),
    ],
    ids=[
        "harmed, better",
        "harmed, equal",
        "good, better, ill calibrated",
        "harmed, better, far worse calibrated",
        "good, equal, ill calibrated",
    ],
)
def test_decisions_over_harmed_and_good_champions(
    champion: tuple[float, float], challenger: tuple[float, float], fewest: int, most: int
) -> None:
    """Of 40 simulated pairs, harmed champions lose to better models, and good ones not to ill calibrated ones."""
    config = task_config("binary", evaluation={"slices": []}, gate={"floor": 0.5})
    promoted = 0
    for seed in range(40):
        y, output = binary_sample(1_500, seed)
        generator = np.random.default_rng((1, seed))
        before, after = (_made(output, *spoilt, generator) for spoilt in (champion, challenger))
        found = compare(y, before, after, pd.DataFrame(index=range(len(y))), config)
        promoted += decide(replace(EVIDENCE, comparison=found), config).passed
    assert fewest <= promoted <= most
