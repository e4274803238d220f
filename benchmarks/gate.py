"""How often the gate errs, what it sees, and what it costs.

Run ``python -m benchmarks.gate``; prints Markdown tables, in minutes on two cores; ``--share 0.1`` makes a tenth of the
repetitions. All draws are seeded: a second run prints the same numbers, seconds excepted.

Pairs of models are made, not found, so that the truth is known: outcomes are drawn from known probabilities (numbers:
from known means), and a model is the true score plus normal noise of its own. Two models with noise of equal size are
equally good by construction. The frames have two slice columns of eight and three levels. Self-test and rehearsal pass
by decree here, for there is nothing to serve; every other check is the gate's.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from config.load import load_model_config
from config.schema import ModelConfig, SimulatedSource
from core.data.rows import Rows
from core.data.seen_rows import rows_trained_on
from core.data.simulate import simulate_month
from core.data.split import Split, feature_hashes
from core.feature_contract import FeatureContract
from core.gate.clean_holdout import clean_holdout
from core.gate.comparison import compare
from core.gate.decision import Evidence, GateVerdict, HoldoutFacts, ServingVerdict, decide, gain_check
from core.gate.negative_controls import SelfTest, degraded, self_test, shuffled_model
from core.metrics.bootstrap import Estimate
from core.metrics.calibration import calibration
from core.metrics.evaluation import predict_output
from core.metrics.metrics import METRICS, Floats, metric_values, task_metrics
from core.metrics.paired import Difference, paired_differences
from core.model_inputs import encode_target, prepare
from core.train.pipeline import build_pipeline

PAIRS = 500
PAIR_ROWS = 1_000
LOOKS = 10
MARGIN = 0.005

POWER_PAIRS = 300
POWER_ROWS = (2_000, 10_000, 50_000)
TRUE_GAINS = (0.005, 0.01, 0.02)

WORLDS = 50
HOLDOUT_ROWS = 6_000
TRAINING_ROWS = 2_000
MORE_ROWS = 12_000

COVERAGE = ((200, 2_000), (500, 2_000), (2_000, 3_000))
"""Rows of a sample, and samples."""

TRUTH_ROWS = 2_000_000

VERDICT_ROWS = 100_000
FIT_ROWS = 300_000

CASE_PAIRS = ((2_000, 500), (10_000, 200))
"""Rows of a comparison, and comparisons of each case."""

RATE, RARE = 0.3, 0.02
"""Base rates of the cases."""

NOISE = 0.4
"""Of a model's score; the true log-odds have standard deviation 1.3."""

ROOT = Path(__file__).resolve().parents[1]

Each = Callable[[Callable[[int], Any], int], list[Any]]
"""Applies a function to that many seeds."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="How often the gate errs, what it sees, and what it costs.")
    parser.add_argument("--share", type=float, default=1.0, help="of the repetitions, 0 to 1")
    share = parser.parse_args().share
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:

        def each(trial: Callable[[int], Any], n: int) -> list[Any]:
            return list(pool.map(trial, range(max(2, round(share * n))), chunksize=4))

        for table in (false_promotions, decisions, power, contamination, coverage):
            print("\n".join(table(each)), end="\n\n", flush=True)
    print("\n".join(delong_agreement()), end="\n\n")
    print("\n".join(speed()), flush=True)
    print(f"\n{time.perf_counter() - start:,.0f} s in all")


@dataclass(frozen=True)
class Tried:
    """What became of equally good challengers, one after the other, on the same rows.

    Parameters
    ----------
    naive
        Whether the challenger's value is at least the champion's.
    gain
        Whether the rule of the gain holds, each look taken for the first.
    with_margin
        The same with a margin.
    counted
        The same with the looks counted.
    verdict
        Whether the gate promotes, looks counted, slices and calibration looked at too.
    """

    naive: list[bool]
    gain: list[bool]
    with_margin: list[bool]
    counted: list[bool]
    verdict: list[bool]


def false_promotions(each: Each) -> Iterator[str]:
    """Yield how many champions lose their place to an equally good challenger."""
    yield f"Promotions of equally good challengers on {PAIR_ROWS:,} rows; ten looks: of any of {LOOKS}, one by one"
    yield ""
    yield (
        f"| metric | champions | naive >= | gain | gain, margin {MARGIN:g} | verdict "
        "| ten looks: naive >= | gain, not counted | gain, counted | verdict |"
    )
    yield "|---|" + "---:|" * 9
    for metric in ("roc_auc", "log_loss", "rmse"):
        found: list[Tried] = each(partial(equal_pairs, metric), PAIRS)
        first = [[one.naive[0], one.gain[0], one.with_margin[0], one.verdict[0]] for one in found]
        later = [[any(one.naive), any(one.gain), any(one.counted), any(one.verdict)] for one in found]
        yield line(METRICS[metric].label, len(found), *percents(np.hstack([first, later])))


def equal_pairs(metric: str, seed: int) -> Tried:
    """Put equally good challengers to the gate."""
    config = config_of(metric)
    generator = np.random.default_rng((1, seed))
    y, score = drawn(config.task, PAIR_ROWS, generator)
    champion, *challengers = (answer(config.task, score, NOISE, generator) for _ in range(LOOKS + 1))
    frame = slice_columns(PAIR_ROWS, generator)
    gains = first_looks(y, champion, challengers, config)
    lenient = config.gate.model_copy(update={"margin": MARGIN})
    verdicts = [verdict(y, champion, output, frame, config, looks) for looks, output in enumerate(challengers, start=1)]
    return Tried(
        naive=[(found.gain or 0.0) >= 0 for found in gains],
        gain=[gain_check(found, config.gate).passed is True for found in gains],
        with_margin=[gain_check(found, lenient).passed is True for found in gains],
        counted=[gain_holds(found) for found in verdicts],
        verdict=[found.passed for found in verdicts],
    )


@dataclass(frozen=True)
class Made:
    """A model to make: its AUC, its expected calibration error, and its AUC on the first region if that differs."""

    auc: float
    ece: float = 0.0
    region_auc: float | None = None


@dataclass(frozen=True)
class Case:
    """A champion, a challenger, and the decision that is right."""

    name: str
    right: str
    champion: Made
    challenger: Made
    floor: float = 0.0
    rate: float = RATE


CASES = (
    Case("both good, equal", "keep", Made(0.78), Made(0.78)),
    Case("both good, better by 0.03", "promote", Made(0.75), Made(0.78)),
    Case("equal AUC, ECE 0.01 to 0.15", "keep", Made(0.78), Made(0.78, 0.15)),
    Case("better by 0.03, ECE 0.01 to 0.15", "keep", Made(0.75), Made(0.78, 0.15)),
    Case("better by 0.03, ECE 0.01 to 0.04", "promote", Made(0.75), Made(0.78, 0.04)),
    Case("better by 0.1, ECE 0.01 to 0.07", "promote", Made(0.68), Made(0.78, 0.07)),
    Case("2 % events, better by 0.06, probabilities tripled", "keep", Made(0.72), Made(0.78, 0.04), rate=RARE),
    Case("harmed: 0.64 and ECE 0.27; 0.684 and ECE 0.30", "promote", Made(0.64, 0.27), Made(0.684, 0.30)),
    Case("the same below the floor 0.7", "promote", Made(0.64, 0.27), Made(0.684, 0.30), floor=0.7),
    Case("harmed: 0.64 and ECE 0.1; 0.684 and ECE 0.30", "undecided", Made(0.64, 0.1), Made(0.684, 0.30)),
    Case("both harmed, equal", "keep", Made(0.64, 0.27), Made(0.64, 0.27), floor=0.7),
    Case("both harmed, worse by 0.02", "keep", Made(0.64, 0.27), Made(0.62, 0.27), floor=0.7),
    Case("better by 0.03, worse in a region", "keep", Made(0.75), Made(0.78, region_auc=0.6), floor=0.7),
    Case("harmed, and in that region too", "promote", Made(0.64), Made(0.74, region_auc=0.54), floor=0.75),
    Case("harmed, but good in that region", "keep", Made(0.62, region_auc=0.77), Made(0.7, region_auc=0.6), floor=0.7),
)


def decisions(each: Each) -> Iterator[str]:
    """Yield how often each decision is taken in cases where the right one is known."""
    yield "Promote / keep / undecided, in cases whose right decision is known; in brackets: promotions by ECE alone"
    yield ""
    yield line("case", "right", *(f"{n_rows:,} rows, {n:,} pairs" for n_rows, n in CASE_PAIRS), "50 rows")
    yield "|---|---|---:|---:|---:|"
    for case in CASES:
        cells = []
        for n_rows, n in (*CASE_PAIRS, (50, CASE_PAIRS[0][1])):
            found = np.array(each(partial(decided, case, n_rows), n), dtype="float64")
            *shares, alone = percents(found)
            cells.append(f"{' / '.join(shares)} ({alone})")
        yield line(case.name, case.right, *cells)


def decided(case: Case, n_rows: int, seed: int) -> tuple[bool, bool, bool, bool]:
    """Put a case to the gate; say which decision it takes, and whether the earlier rule promotes."""
    generator = np.random.default_rng((7, n_rows, seed))
    score, y = outcomes(case.rate, n_rows, generator)
    frame = slice_columns(n_rows, generator)
    region = (frame["region"] == "0").to_numpy()
    config = with_floor(case.floor)
    champion, challenger = (
        made(model, case.rate, score, region, generator) for model in (case.champion, case.challenger)
    )
    found = verdict(y, champion, challenger, frame, config)
    taken = [found.decision == name for name in ("promote", "keep", "undecided")]
    return taken[0], taken[1], taken[2], by_ece_alone(found, config)


def by_ece_alone(found: GateVerdict, config: ModelConfig) -> bool:
    """Whether the rule promotes that protects any champion, and takes a rise of the calibration error for a loss."""
    comparison, gate = found.comparison, config.gate
    if comparison is None or not gain_holds(found) or found.decision == "undecided":
        return False
    reaches = comparison.difference.challenger is not None and comparison.difference.challenger >= gate.floor
    change = comparison.calibration
    risen = change is not None and change.loss > gate.max_calibration_loss and change.low > 0
    return reaches and not risen and not any(part.worse for part in comparison.slices)


def outcomes(rate: float, n_rows: int, generator: np.random.Generator) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Centred true log-odds, and outcomes with a base rate."""
    score = 1.3 * generator.normal(size=n_rows)
    return score, (generator.random(n_rows) < expit(score + intercept(rate))).astype("int64")


def made(
    model: Made, rate: float, score: Floats, region: npt.NDArray[np.bool_], generator: np.random.Generator
) -> Floats:
    """Answers of a model with an AUC and a calibration error, for rows of which some are of the first region."""
    noise, shift = noise_of(model.auc, rate), shift_of(model.auc, model.ece, rate)
    spread = np.where(region, noise_of(model.region_auc or model.auc, rate), noise)
    chance = expit(shrunken(score, spread, generator) + intercept(rate) + shift)
    return np.column_stack([1 - chance, chance])


def shrunken(score: Floats, noise: Floats | float, generator: np.random.Generator) -> Floats:
    """Best guess of the centred log-odds from the noisy ones, so that probabilities are about calibrated."""
    return np.asarray((score + noise * generator.normal(size=len(score))) * 1.69 / (1.69 + np.square(noise)))


@cache
def intercept(rate: float) -> float:
    """Log-odds that give a base rate."""
    score = 1.3 * np.random.default_rng(8).normal(size=200_000)
    return float(brentq(lambda shift: expit(score + shift).mean() - rate, -10, 10))


@cache
def noise_of(auc: float, rate: float) -> float:
    """Noise of a model with this AUC."""

    def value(noise: float) -> float:
        generator = np.random.default_rng(9)
        score, y = outcomes(rate, 200_000, generator)
        chance = expit(shrunken(score, noise, generator))
        return metric_values(y, np.column_stack([1 - chance, chance]), ("roc_auc",))["roc_auc"]

    return float(brentq(lambda noise: value(noise) - auc, 0.01, 20, xtol=1e-3))


@cache
def shift_of(auc: float, ece: float, rate: float) -> float:
    """Shift of the log-odds that gives a model of this AUC an expected calibration error; 0 for a calibrated one."""
    generator = np.random.default_rng(10)
    score, y = outcomes(rate, 200_000, generator)
    guess = shrunken(score, noise_of(auc, rate), generator) + intercept(rate)

    def error(shift: float) -> float:
        found = calibration(y, np.column_stack([expit(-guess - shift), expit(guess + shift)]), 0.95)
        return found.ece if found else 0.0

    return float(brentq(lambda shift: error(shift) - ece, 0.1, 4, xtol=1e-3)) if ece else 0.0


def power(each: Each) -> Iterator[str]:
    """Yield how many better challengers are promoted."""
    yield "Promotions of challengers that are better by a true gain in ROC AUC: gain / verdict / naive >="
    yield ""
    yield line("true gain", "pairs", *(f"{n_rows:,} rows" for n_rows in POWER_ROWS))
    yield "|---|" + "---:|" * (1 + len(POWER_ROWS))
    for gain in TRUE_GAINS:
        cells, noise = [], noise_for(gain)
        for n_rows in POWER_ROWS:
            found = each(partial(better_pair, noise, n_rows), POWER_PAIRS)
            cells.append(" / ".join(percents(found, digits=0)))
        yield line(f"{gain:g}", len(found), *cells)


def better_pair(noise: float, n_rows: int, seed: int) -> tuple[bool, bool, bool]:
    """Put a challenger to the gate whose champion is the noisier; say what gain, verdict and >= answer."""
    config = config_of("roc_auc")
    generator = np.random.default_rng((2, n_rows, seed))
    y, score = drawn("binary", n_rows, generator)
    champion, challenger = (answer("binary", score, size, generator) for size in (noise, NOISE))
    found = verdict(y, champion, challenger, slice_columns(n_rows, generator), config)
    return gain_holds(found), found.passed, measured_gain(found) >= 0


def noise_for(gain: float) -> float:
    """Noise of a champion whose AUC is lower by a gain than that of a challenger with the usual noise."""
    generator = np.random.default_rng(3)
    y, score = drawn("binary", 1_000_000, generator)
    error = generator.normal(size=len(y))

    def auc(noise: float) -> float:
        chance = expit(score + noise * error)
        return metric_values(y, np.column_stack([1 - chance, chance]), ("roc_auc",))["roc_auc"]

    wanted = auc(NOISE) - gain
    return float(brentq(lambda noise: auc(noise) - wanted, NOISE, 4 * NOISE, xtol=1e-4))


def contamination(each: Each) -> Iterator[str]:
    """Yield how often a champion wins because it was trained on rows of the holdout."""
    yield (
        f"Champions were trained on {TRAINING_ROWS:,} of the {HOLDOUT_ROWS:,} holdout rows of a credit simulation; "
        f"challengers on other rows: on {TRAINING_ROWS:,} (equally good on average) and on {MORE_ROWS:,}"
    )
    yield ""
    yield (
        "| estimator | challenger | rows compared | simulations | mean gain | champion significantly better "
        "| promoted |"
    )
    yield "|---|---|---|" + "---:|" * 4
    for estimator in ("boosting", "forest"):
        worlds = each(partial(contest, estimator), WORLDS)
        for kind in worlds[0]:
            found = [world[kind] for world in worlds]
            gain = np.mean([one.gain for one in found])
            shares = percents([[one.surely_worse, one.promoted] for one in found])
            yield line(estimator, *kind, len(found), f"{gain:+.4f}", *shares)


@dataclass(frozen=True)
class Fate:
    """What the gate made of a challenger: the gain, whether its interval is below zero, and the verdict."""

    gain: float
    surely_worse: bool
    promoted: bool


def contest(estimator: str, seed: int) -> dict[tuple[str, str], Fate]:
    """Train a champion that has seen holdout rows and two challengers; judge them on all rows and on the clean ones."""
    rows = world(HOLDOUT_ROWS + MORE_ROWS, seed)
    trained_on = {
        "champion": np.arange(TRAINING_ROWS),
        "equally good": np.arange(HOLDOUT_ROWS, HOLDOUT_ROWS + TRAINING_ROWS),
        "better": np.arange(HOLDOUT_ROWS, HOLDOUT_ROWS + MORE_ROWS),
    }
    splits = {name: Split(train, np.arange(HOLDOUT_ROWS), "by hand", 0, None) for name, train in trained_on.items()}
    outputs = {name: scored(estimator, rows, split, seed) for name, split in splits.items()}
    fates = {}
    for name in ("equally good", "better"):
        for label, judging in (
            ("all", splits[name].holdout),
            ("clean", clean_rows(rows, splits[name], splits["champion"])),
        ):
            found = verdict(
                labels(rows)[judging],
                outputs["champion"][judging],
                outputs[name][judging],
                rows.frame.take(judging),
                credit(),
            )
            fates[name, label] = Fate(measured_gain(found), upper_end(found) < 0, found.passed)
    return fates


def clean_rows(rows: Rows, challenger: Split, champion: Split) -> npt.NDArray[np.int64]:
    """Rows of the holdout that the gate's own decontamination leaves."""
    contents = feature_hashes(rows.frame.take(challenger.holdout), contract().raw_columns)
    return clean_holdout(
        rows,
        challenger,
        labels(rows),
        contract(),
        credit(),
        challenger=rows_trained_on(rows, challenger, credit()),
        challenger_contents=contents,
        champion=rows_trained_on(rows, champion, credit()),
        champion_contents=contents,
    ).rows


def scored(estimator: str, rows: Rows, split: Split, seed: int) -> Floats:
    """Answers of a model of its training rows to the holdout, which is the frame's beginning."""
    model = None if estimator == "boosting" else RandomForestClassifier(100, min_samples_leaf=5, random_state=seed)
    pipeline = fitted(rows.frame.take(split.train), labels(rows)[split.train], model)
    return predict_output(pipeline, rows.frame.take(split.holdout), contract())


def coverage(each: Each) -> Iterator[str]:
    """Yield the share of 95 % intervals that contain the true gain."""
    yield (
        "Share of 95 % intervals that contain the true gain, between a champion with noise 0.6 and a challenger "
        "with 0.4"
    )
    yield ""
    yield line("task", "metric", "method", *(f"{n_rows:,} rows, {n:,} samples" for n_rows, n in COVERAGE))
    yield "|---|---|---|" + "---:|" * len(COVERAGE)
    for task in ("binary", "multiclass", "regression"):
        truth = true_gains(task)
        held = [each(partial(intervals_hold, task, truth, n_rows), n) for n_rows, n in COVERAGE]
        shares = [percents(found) for found in held]
        for place, metric in enumerate(task_metrics(task)):
            method = {"roc_auc": "DeLong", "average_precision": "influence"}.get(metric, "bootstrap")
            yield line(task, METRICS[metric].label, method, *(share[place] for share in shares))


def intervals_hold(task: str, truth: dict[str, float], n_rows: int, seed: int) -> list[float]:
    """Say of each metric whether the interval on a fresh sample holds the true gain (1 or 0); NaN without one."""
    y, champion, challenger = unequal_pair(task, n_rows, np.random.default_rng((4, n_rows, seed)))
    held = []
    for metric, gain in truth.items():
        found = paired_differences(
            y, champion, {"": challenger}, metric, resamples=credit().gate.resamples, confidence=0.95, seed=seed
        )[""]
        ends = np.array([found.low, found.high], dtype="float64")
        held.append(np.nan if np.isnan(ends).any() else float(ends[0] <= gain <= ends[1]))
    return held


def true_gains(task: str) -> dict[str, float]:
    """Gains on very many rows."""
    y, *outputs = unequal_pair(task, TRUTH_ROWS, np.random.default_rng(5))
    before, after = (metric_values(y, output, task_metrics(task)) for output in outputs)
    return {name: METRICS[name].loss(after[name], before[name]) for name in before}


def unequal_pair(task: str, n_rows: int, generator: np.random.Generator) -> tuple[npt.NDArray[Any], Floats, Floats]:
    """Outcomes and the answers of a noisier and a less noisy model."""
    y, score = drawn(task, n_rows, generator)
    return y, answer(task, score, 0.6, generator), answer(task, score, 0.4, generator)


def delong_agreement() -> Iterator[str]:
    """Yield the largest distance to a DeLong test that compares every event with every other row."""
    largest = 0.0
    for seed in range(20):
        generator = np.random.default_rng((6, seed))
        y, score = drawn("binary", 1_000, generator)
        # Coarse probabilities in every other sample: ties are where implementations differ.
        models = [np.round(answer("binary", score, NOISE, generator), 1 if seed % 2 else 9) for _ in range(2)]
        found = paired_differences(y, models[0], {"": models[1]}, "roc_auc", resamples=200, confidence=0.95, seed=0)[""]
        gain, error = slow_delong(y, models[0][:, 1], models[1][:, 1])
        distances = np.array([found.gain, found.standard_error], dtype="float64") - [gain, error]
        largest = max(largest, float(np.abs(distances).max()))
    yield (
        f"DeLong's gain and standard error differ from a comparison of all pairs by {largest:.1e} "
        "(20 samples of 1,000 rows)"
    )


def slow_delong(y: npt.NDArray[Any], first: Floats, second: Floats) -> tuple[float, float]:
    """Difference of two AUCs and its standard error, straight from DeLong's definition."""
    placed = [placements(y, score) for score in (first, second)]
    spreads = [np.cov(np.array(part)) / len(part[0]) for part in zip(*placed, strict=True)]
    contrast = np.array([-1.0, 1.0])
    gain = placed[1][0].mean() - placed[0][0].mean()
    return float(gain), float(np.sqrt(sum(contrast @ spread @ contrast for spread in spreads)))


def placements(y: npt.NDArray[Any], score: Floats) -> tuple[Floats, Floats]:
    """Share of the other rows below each event, and of the events above each other row; ties count half."""
    events, others = score[y == 1][:, None], score[y == 0][None]
    wins = (events > others) + 0.5 * (events == others)
    return wins.mean(axis=1), wins.mean(axis=0)


def speed() -> Iterator[str]:
    """Yield the seconds of full verdicts beside those of a fit."""
    champion, challenger = (fitted(*frame_and_labels(world(20_000, seed)), None) for seed in (1, 2))
    rows, training = world(VERDICT_ROWS, 3), world(FIT_ROWS, 4)
    yield f"Seconds of a full verdict on {VERDICT_ROWS:,} rows: four predictions, the self-test's fit, every statistic"
    yield ""
    yield "| step | seconds |"
    yield "|---|---:|"
    for metric in ("roc_auc", "log_loss"):
        taken, found = timed(partial(full_verdict, champion, challenger, rows, training, config_of(metric)))
        n_slices = len(found.comparison.slices) if found.comparison else 0
        resamples = f", {credit().gate.resamples:,} resamples" if metric == "log_loss" else ", DeLong"
        yield line(f"verdict by {METRICS[metric].label}{resamples}, {n_slices} slices", f"{taken:.2f}")
    taken, _ = timed(lambda: fitted(*frame_and_labels(training), None))
    yield line(f"fit of the default estimator on {FIT_ROWS:,} rows", f"{taken:.2f}")


def full_verdict(
    champion: Pipeline, challenger: Pipeline, rows: Rows, training: Rows, config: ModelConfig
) -> GateVerdict:
    """Everything between two loaded models and the verdict, but the rehearsal in a process of its own."""
    y, seed = labels(rows), config.training.seed
    before, after = (predict_output(pipeline, rows.frame, contract()) for pipeline in (champion, challenger))
    worse = predict_output(champion, degraded(rows.frame, contract(), seed), contract())
    shuffled = shuffled_model(config, contract(), *frame_and_labels(training), seed)
    trials = self_test(y, before, worse, predict_output(shuffled, rows.frame, contract()), config)
    return verdict(y, before, after, rows.frame, config, trials=trials)


def timed(step: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of the fastest of three, and its result."""
    taken = []
    for _ in range(3):
        start = time.perf_counter()
        result = step()
        taken.append(time.perf_counter() - start)
    return min(taken), result


def verdict(
    y: npt.NDArray[Any],
    champion: Floats,
    challenger: Floats,
    frame: pd.DataFrame,
    config: ModelConfig,
    looks: float = 1.0,
    trials: SelfTest | None = None,
) -> GateVerdict:
    """Verdict of the gate; the self-test passes where none is given, and the rehearsal of serving."""
    comparison = compare(y, champion, challenger, frame, config, looks=looks)
    value = comparison.difference.challenger
    return decide(
        Evidence(
            version=2,
            champion=1,
            champion_sequence=1,
            estimate=Estimate(np.nan if value is None else value, None, None),
            n_holdout=len(y),
            holdout=holdout_of(len(y), config.gate.min_rows),
            comparison=comparison,
            self_test=trials or SelfTest(True, ()),
            serving=ServingVerdict(True, "onnx", 1_000, 0.0, 1.0, 1.0, 1.0, ()),
        ),
        config,
    )


def holdout_of(n_rows: int, needed: int) -> HoldoutFacts:
    """Facts of a holdout that no model was trained on."""
    return HoldoutFacts(n_rows, n_rows, 0, 0, needed, n_rows >= needed, "simulated rows", "simulated", "")


def gain_holds(found: GateVerdict) -> bool:
    """Whether the rule of the gain holds, whatever the other checks say."""
    return any(check.name == "gain" and check.passed for check in found.checks)


def measured_gain(found: GateVerdict) -> float:
    """Gain of a verdict's comparison."""
    return float("nan") if found.comparison is None else found.comparison.difference.gain or 0.0


def upper_end(found: GateVerdict) -> float:
    """Upper end of its interval."""
    high = found.comparison.difference.high if found.comparison else None
    return float("nan") if high is None else high


def first_looks(
    y: npt.NDArray[Any], champion: Floats, challengers: Sequence[Floats], config: ModelConfig
) -> list[Difference]:
    """Gains of several challengers, each as the first look at the rows."""
    gate, named = config.gate, {str(place): output for place, output in enumerate(challengers)}
    found = paired_differences(
        y, champion, named, gate.metric, resamples=gate.resamples, confidence=gate.confidence, seed=config.training.seed
    )
    return list(found.values())


def drawn(task: str, n_rows: int, generator: np.random.Generator) -> tuple[npt.NDArray[Any], Floats]:
    """Outcomes and the true scores they were drawn from: log-odds, or means of numbers."""
    if task == "regression":
        score = generator.normal(size=n_rows)
        return score + 0.7 * generator.standard_t(6, size=n_rows), score
    if task == "multiclass":
        score = 1.5 * generator.normal(size=(n_rows, 3))
        return (generator.random((n_rows, 1)) > softmax(score, axis=1).cumsum(axis=1)[:, :-1]).sum(axis=1), score
    score = -2 + 1.3 * generator.normal(size=n_rows)
    return (generator.random(n_rows) < expit(score)).astype("int64"), score


def answer(task: str, score: Floats, noise: float, generator: np.random.Generator) -> Floats:
    """Output of a model that knows the true score but for normal noise of its own."""
    blurred = score + noise * generator.normal(size=score.shape)
    if task == "regression":
        return np.asarray(blurred)
    if task == "multiclass":
        return np.asarray(softmax(blurred, axis=1))
    return np.column_stack([expit(-blurred), expit(blurred)])


def slice_columns(n_rows: int, generator: np.random.Generator) -> pd.DataFrame:
    """Columns to slice by that have nothing to do with the outcome."""
    regions, housings = generator.integers(0, 8, n_rows), generator.integers(0, 3, n_rows)
    return pd.DataFrame({"region": pd.Series(regions).astype("str"), "housing": pd.Series(housings).astype("str")})


def world(n_rows: int, seed: int) -> Rows:
    """Rows of a simulated credit world."""
    frame = simulate_month(SimulatedSource(kind="simulated", rows_per_month=n_rows, seed=seed), month=0)
    return Rows(frame, feature_hashes(frame, ("application_id",)), 0, 0)


def labels(rows: Rows) -> npt.NDArray[np.int64]:
    """Encode the target."""
    return np.asarray(encode_target(rows.frame[credit().target].astype("str"), contract()))


def frame_and_labels(rows: Rows) -> tuple[pd.DataFrame, npt.NDArray[np.int64]]:
    """Both, to fit on."""
    return rows.frame, labels(rows)


def fitted(frame: pd.DataFrame, y: npt.NDArray[Any], estimator: BaseEstimator | None) -> Pipeline:
    """Pipeline of the default model, or of another estimator."""
    return build_pipeline(credit(), contract(), prepare(frame, contract()), estimator).fit(frame, y)


@cache
def credit() -> ModelConfig:
    """Model file of the demo."""
    return load_model_config(ROOT, "credit")


@cache
def contract() -> FeatureContract:
    """Its contract."""
    return FeatureContract.of(credit(), ["0", "1"])


@cache
def config_of(metric: str) -> ModelConfig:
    """Give the demo's model file another metric, with a floor that no model misses."""
    content = credit().model_dump()
    greater = METRICS[metric].greater_is_better
    content["gate"] |= {"metric": metric, "floor": 0.0 if greater else 1_000.0}
    if "regression" in METRICS[metric].tasks:
        content |= {"task": "regression", "positive": None}
    return ModelConfig.model_validate(content)


@cache
def with_floor(floor: float) -> ModelConfig:
    """Give the demo's model file another floor, and let any number of rows be enough."""
    content = credit().model_dump()
    content["gate"] |= {"floor": floor, "min_rows": 100}
    return ModelConfig.model_validate(content)


def percents(held: Any, digits: int = 1) -> list[str]:
    """Format the share of yes in each column of a table; what is neither yes nor no does not count."""
    return [f"{share:.{digits}%}" for share in np.nanmean(np.asarray(held, dtype="float64"), axis=0)]


def line(*cells: Any) -> str:
    """Format one line of a Markdown table."""
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
