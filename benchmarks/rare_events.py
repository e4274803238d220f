"""How often a changed rate of rare events, and a worse ranking of them, is found, beside the best tests.

Part of ``python -m benchmarks.drift_quality``; alone: ``python -m benchmarks.rare_events``. All draws are seeded.

A champion ranks events by normal scores with a ROC AUC of 0.82 and calibrated probabilities; twenty features do not
change. Training rows and holdout have 500 events each; a window has as many rows as give the stated events at the old
rate; of more than 100,000 other rows, 100,000 are drawn. The best test of a rate is the score test of two rates, of a
ranking DeLong's on the same rows: each spends the whole 1 % on its one question, while a window of Perennial asks 25.
Beside it is the same test at the part of the 1 % that Perennial gives to its question. Evidently's preset compares
classes of more than 1,000 rows by the Jensen-Shannon distance, with the threshold 0.1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.special import ndtr, ndtri
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from config.schema import Drift
from core.drift.columns import Pair, column_drifts
from core.drift.decision import performance_confidence
from core.drift.profile import BinnedProfile, LevelProfile, number_profile
from core.metrics.metrics import Floats, measures
from core.metrics.strata import Strata, stratified_estimate
from core.performance.loss import realised_performance
from core.performance.prediction_bias import event_level, prediction_bias

RATES = (0.001, 0.0059, 0.01, 0.05)
EVENTS = 50
FACTORS = (1.0, 0.5, 1.5, 2.0)
REFERENCE_EVENTS = 500
AUC, WORSE = 0.82, 0.79
FEATURES = 20
DRIFT = Drift(persistence=(1, 1))
CONFIDENCE = performance_confidence(DRIFT, kinds=3)
OTHERS = 100_000
WORLDS, RANKED_WORLDS = 100, 40

Each = Callable[[Callable[[int], Any], int], list[Any]]


@dataclass(frozen=True)
class Rows:
    """Scored rows: all events, a sample of the others, and how many rows they represent."""

    y: npt.NDArray[np.int64]
    output: Floats
    strata: Strata


def drawn(n: int, rate: float, auc: float, base: float, generator: np.random.Generator) -> Rows:
    """Draw a window: its events, and at most :data:`OTHERS` other rows.

    Parameters
    ----------
    n
        Rows of the window.
    rate, auc
        Rate of its events, and how well the champion ranks them.
    base
        The rate that the champion knows.
    """
    events = int(generator.binomial(n, rate))
    scored = min(OTHERS, n - events)
    y = np.repeat(np.array([1, 0]), [events, scored])
    score = generator.normal(size=len(y)) + np.sqrt(2) * ndtri(auc) * y
    separation = np.sqrt(2) * ndtri(AUC)
    odds = base / (1 - base) * np.exp(separation * (score - separation / 2))
    chance = odds / (1 + odds)
    return Rows(y, np.column_stack([1 - chance, chance]), Strata(y, np.array([n - events, events], dtype="float64")))


def rate_world(seed: int, base: float, events: int) -> dict[float, list[bool]]:
    """Answers of each way, per factor, in the order of the table's columns."""
    generator = np.random.default_rng((seed, round(1e5 * base), events))
    n_reference, n = (round(one / base) for one in (REFERENCE_EVENTS, events))
    before = int(generator.binomial(n_reference, base))
    features = [number_profile(f"x{place}", generator.normal(size=20_000)) for place in range(FEATURES)]
    holdout = drawn(n_reference, base, AUC, base, generator)
    level = event_level(holdout.output[:, 1], holdout.y == 1, holdout.strata)
    found = {}
    for factor in FACTORS:
        rows = drawn(n, factor * base, AUC, base, generator)
        now = int(rows.y.sum())
        target = [_classes(n_reference, before), _classes(n, now)]
        pairs: list[Pair] = [("feature", one, _quiet(one, n, generator)) for one in features]
        column = column_drifts([*pairs, ("target", target[0], target[1])], {}, DRIFT, seed)[-1]
        bias = prediction_bias(
            rows.y,
            rows.output,
            level,
            tolerated=0.02,
            max_ratio=DRIFT.class_ratio,
            confidence=CONFIDENCE,
            strata=rows.strata,
        )
        harmed = bias is not None and bias.harmed is True
        p_value = _score_p(now, n, before, n_reference)
        absolute = column.psi > DRIFT.class_psi and column.p_value < 0.005 / (FEATURES + 1)
        found[factor] = [
            *(column.drifted or harmed, column.drifted, harmed, absolute, p_value < 0.01, p_value < 0.005),
            _js(before / n_reference, now / n) >= 0.1,
        ]
    return found


def _js(before: float, now: float) -> float:
    """Jensen-Shannon distance of two rates: Evidently's test of categories above 1,000 rows, threshold 0.1."""
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon([before, 1 - before], [now, 1 - now], base=2))


def _score_p(now: int, n: int, before: int, m: int) -> float:
    if not now + before:
        return 1.0
    return float(stats.chi2_contingency([[now, n - now], [before, m - before]], correction=False).pvalue)


def _classes(rows: int, events: int) -> LevelProfile:
    return LevelProfile("target", "levels", ("no", "yes"), (rows - events, events), 0, 0)


def _quiet(profile: BinnedProfile, n: int, generator: np.random.Generator) -> BinnedProfile:
    shares = np.asarray(profile.counts) / sum(profile.counts)
    return replace(profile, counts=tuple(generator.multinomial(n, shares).tolist()))


def ranking_world(seed: int, base: float) -> dict[float, list[bool]]:
    """Answers of each way, per AUC: Perennial by AUC, DeLong on all rows at 1 % and at its part, average precision."""
    generator = np.random.default_rng((seed, round(1e5 * base)))
    n = round(REFERENCE_EVENTS / base)
    holdout = drawn(n, base, AUC, base, generator)
    references = {
        metric: stratified_estimate(holdout.y, holdout.output, metric, holdout.strata, 0.95)
        for metric in ("roc_auc", "average_precision")
    }
    rate = holdout.strata.sizes[1] / n
    found = {}
    for auc in (AUC, WORSE):
        rows = drawn(n, base, auc, base, generator)
        answers = [
            realised_performance(
                rows.y,
                rows.output,
                metric,
                reference,
                0.95,
                max_loss=DRIFT.max_loss,
                confidence=CONFIDENCE,
                seed=0,
                strata=rows.strata,
                rate=float(rate),
            ).harmed
            for metric, reference in references.items()
        ]
        (before, wide), (now, narrow) = (_delong(one) for one in (holdout, rows))
        p_value = float(ndtr((now - before) / np.hypot(wide, narrow)))
        found[auc] = [answers[0] is True, p_value < 0.01, p_value < (1 - CONFIDENCE) / 2, answers[1] is True]
    return found


def _delong(rows: Rows) -> tuple[float, float]:
    (measure,) = measures(rows.y, rows.output, ("roc_auc",))
    influence = measure.influences()["roc_auc"]
    value = float(measure.scores(np.ones((1, len(rows.y))))["roc_auc"][0])
    return value, float(np.sqrt((influence**2).sum()) / len(rows.y))


def tables(each: Each) -> Iterator[str]:
    """Yield the two tables."""
    yield from _rate_table(each)
    yield ""
    yield from _ranking_table(each)


def _rate_table(each: Each) -> Iterator[str]:
    ways = ("Perennial", "by the target", "by the level", "PSI above 0.02", "best test", "at its part", "Evidently")
    yield f"| base rate | rows | rate | {' | '.join(ways)} |"
    yield "|---|---:|---|" + "---:|" * 7
    for base in RATES:
        worlds = each(partial(rate_world, base=base, events=EVENTS), WORLDS)
        for factor in FACTORS:
            shares = np.mean([world[factor] for world in worlds], axis=0)
            change = f"times {factor:g}" if factor != 1 else "the same"
            yield _line(f"{base:.2%}", round(EVENTS / base), change, *shares)


def _ranking_table(each: Each) -> Iterator[str]:
    yield "| base rate | rows | ROC AUC | Perennial | DeLong | at its part | Perennial, average precision |"
    yield "|---|---:|---|" + "---:|" * 4
    for base in RATES:
        worlds = each(partial(ranking_world, base=base), RANKED_WORLDS)
        for auc in (AUC, WORSE):
            shares = np.mean([world[auc] for world in worlds], axis=0)
            yield _line(f"{base:.2%}", round(REFERENCE_EVENTS / base), f"{AUC} -> {auc}", *shares)


def _line(base: str, rows: int, change: str, *shares: float) -> str:
    return f"| {base} | {rows:,} | {change} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def main() -> None:
    """Print the tables."""
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:
        for line in tables(lambda trial, n: list(pool.map(trial, range(n)))):
            print(line, flush=True)


if __name__ == "__main__":
    main()
