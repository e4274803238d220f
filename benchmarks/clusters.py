"""How often gate and monitor err where rows come in clusters, with and without design effects.

Run ``python -m benchmarks.clusters``; prints Markdown tables, in minutes on two cores; ``--share 0.1`` makes a tenth of
the repetitions, ``--only gate``, ``copies`` or ``drift`` one part. All draws are seeded.

The gate's worlds are those of ``benchmarks.gate``: two models with noise of equal size are equally good. Here a share
of each model's noise is common to the rows of a cluster, and so is a part of the outcome that no model knows, as with
customers who are alike in what is not in the data. The monitor's worlds are those of ``benchmarks.drift_worlds``
without drift, where each feature's score has a part that is common to a cluster; references are earlier clusters.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from benchmarks.drift_quality import (
    DRIFT,
    HARM_CONFIDENCE,
    METRIC,
    NOW,
    Reference,
    counted,
    estimated_of,
    realised_of,
    table_of,
)
from benchmarks.drift_worlds import Change, Sample, sample
from benchmarks.gate import NOISE, config_of, drawn, line, noise_for, percents
from config.schema import Gate
from core.data.repeats.copies import copied_rows
from core.drift.clusters import TableEffect, column_effects
from core.drift.columns import column_drifts
from core.drift.decision import decide
from core.drift.verdict import DriftEvidence, WindowFacts
from core.gate.checks import gain_check
from core.metrics.clusters import Clusters, Grouping
from core.metrics.metrics import METRICS, Floats
from core.metrics.paired import paired_differences
from core.performance.clusters import performance_effect
from core.performance.prediction_bias import prediction_bias

PAIRS = 200
PAIR_ROWS = 2_000
GATE_ICCS = (0.0, 0.1, 0.3, 0.8)
RESAMPLES = 500
TRUE_GAIN = 0.02

FRESH, COPIED, COPY_TIMES, TIMES = 400, 100, (2, 10, 50), 10
"""Rows of a holdout that are not copied, those that are, and how often they then come."""

REFERENCES = 10
WINDOWS = 20
WINDOW_ROWS = 1_000
DRIFT_ICCS = (0.0, 0.05, 0.2)

SHIFTED = Change(shifts={"income": 0.5})

Each = Callable[[Callable[[int], Any], int], list[Any]]
"""Applies a function to that many seeds."""


@dataclass(frozen=True)
class Kind:
    """How rows come: clusters of equal size, by key or by day."""

    label: str
    size: int
    is_day: bool

    def clusters(self, n_rows: int, *, by_differences: bool) -> Clusters:
        """Group that many rows, in their order."""
        return Clusters((Grouping("at", "day" if self.is_day else "", self.codes(n_rows)),), by_differences)

    def codes(self, n_rows: int) -> npt.NDArray[np.intp]:
        """Cluster of each row."""
        return np.arange(n_rows) // self.size


KINDS = (Kind("customers of 10 rows", 10, False), Kind("days of 50 rows", 50, True))


class ClusteredDraws(np.random.Generator):
    """Draws normal numbers with a part that is common to the rows of a cluster.

    Parameters
    ----------
    seed
        Seed of the draws.
    kind
        The clusters.
    icc
        Intraclass correlation, 0 to 1.
    """

    def __init__(self, seed: tuple[int, ...], kind: Kind, icc: float) -> None:
        super().__init__(np.random.PCG64(seed))
        self._kind, self._icc = kind, icc

    def normal(self, *, size: int) -> Floats:  # type: ignore[override] # the worlds ask for nothing else
        """Draw standard normal numbers, shape (size,)."""
        common = super().normal(size=size)[self._kind.codes(size)]
        return np.asarray(np.sqrt(self._icc) * common + np.sqrt(1 - self._icc) * super().normal(size=size))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="False promotions and alarms where rows come in clusters.")
    parser.add_argument("--share", type=float, default=1.0, help="of the repetitions, 0 to 1")
    parser.add_argument("--only", choices=("gate", "copies", "drift"), help="one part of the tables")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:

        def each(trial: Callable[[int], Any], n: int) -> list[Any]:
            return list(pool.map(trial, range(max(2, round(arguments.share * n)))))

        for table in (gate, copies, drift):
            if arguments.only in (None, table.__name__):
                for text in table(each):
                    print(text, flush=True)
                print()
    print(f"{time.perf_counter() - start:,.0f} s in all")


def gate(each: Each) -> Iterator[str]:
    """Yield how many equally good challengers are promoted, and better ones, with and without design effects."""
    yield f"Promotions by the gain's rule on {PAIR_ROWS:,} rows: rows taken as independent / with design effects"
    yield ""
    yield line("rows come in", "metric", "pairs", *(f"ICC {icc:g}" for icc in GATE_ICCS), f"better by {TRUE_GAIN:g}")
    yield "|---|---|" + "---:|" * (2 + len(GATE_ICCS))
    for kind in KINDS:
        for metric in ("roc_auc", "log_loss", "rmse"):
            found = [each(partial(promotions, kind, metric, icc, NOISE), PAIRS) for icc in GATE_ICCS]
            cells = [" / ".join(percents(one)) for one in found]
            better = ""
            if metric == "roc_auc":
                power = each(partial(promotions, kind, metric, 0.0, noise_for(TRUE_GAIN)), PAIRS)
                better = " / ".join(percents(power))
            yield line(kind.label, METRICS[metric].label, len(found[0]), *cells, better)


def promotions(kind: Kind, metric: str, icc: float, noise: float, seed: int) -> tuple[bool, bool]:
    """Say whether the gain's rule promotes a challenger over a champion with some noise, without and with effects."""
    config = config_of(metric)
    generator = ClusteredDraws((7, seed), kind, icc)
    y, score = outcomes(config.task, kind, icc, seed)
    sides = [answer_of(config.task, score, size * generator.normal(size=PAIR_ROWS)) for size in (noise, NOISE)]
    clusters = kind.clusters(PAIR_ROWS, by_differences=False)
    return tuple(
        gain_check(
            paired_differences(
                y,
                sides[0],
                {"": sides[1]},
                metric,
                resamples=RESAMPLES,
                confidence=config.gate.confidence,
                seed=seed,
                clusters=one,
            )[""],
            config.gate,
        ).passed
        is True
        for one in (None, clusters)
    )  # type: ignore[return-value] # two


def copies(each: Each) -> Iterator[str]:
    """Yield how many equally good challengers are promoted if rows are copied, as they come and counted once."""
    yield f"Promotions by the gain's rule, {COPIED} of {FRESH + COPIED} rows copied: all rows / each counted once"
    yield ""
    yield line(
        "metric", "pairs", *(f"{times} times" for times in COPY_TIMES), f"better by {TRUE_GAIN:g}, {TIMES} times"
    )
    yield "|---|" + "---:|" * (2 + len(COPY_TIMES))
    for metric in ("roc_auc", "log_loss", "rmse"):
        found = [each(partial(promoted_by_copies, metric, times, NOISE), PAIRS) for times in COPY_TIMES]
        better = ""
        if metric == "roc_auc":
            better = " / ".join(percents(each(partial(promoted_by_copies, metric, TIMES, noise_for(TRUE_GAIN)), PAIRS)))
        yield line(METRICS[metric].label, len(found[0]), *(" / ".join(percents(one)) for one in found), better)


def promoted_by_copies(metric: str, times: int, noise: float, seed: int) -> tuple[bool, ...]:
    """Say whether the gain's rule promotes on rows of which some are copied, and on the holdout without copies."""
    config, generator = config_of(metric), np.random.default_rng((10, seed))
    y, score = drawn(config.task, FRESH + COPIED, generator)
    sides = [answer_of(config.task, score, size * generator.normal(size=len(y))) for size in (noise, NOISE)]
    rows = np.append(np.arange(len(y)), np.tile(np.arange(FRESH, len(y)), times - 1))
    # Rows are told apart by their number here; what training rows there are does not matter.
    contents, nothing = np.append(rows, rows.max() + 1).astype(np.uint64), np.array([len(rows)])
    once = rows[~copied_rows(contents, None, nothing, np.arange(len(rows)), by_chance=False).of_holdout]
    found = (
        paired_differences(
            y[chosen],
            sides[0][chosen],
            {"": sides[1][chosen]},
            metric,
            resamples=RESAMPLES,
            confidence=config.gate.confidence,
            seed=seed,
        )[""]
        for chosen in (rows, once)
    )
    return tuple(gain_check(one, config.gate).passed is True for one in found)


def outcomes(task: str, kind: Kind, icc: float, seed: int) -> tuple[npt.NDArray[Any], Floats]:
    """Outcomes, and the true score without the part that is common to the rows of a cluster and that no model knows."""
    generator = np.random.default_rng((8, seed))
    common = np.sqrt(icc) * generator.normal(size=PAIR_ROWS)[kind.codes(PAIR_ROWS)]
    if task == "regression":
        y, score = drawn(task, PAIR_ROWS, generator)
        return y + common, score
    score = -2 + 1.3 * generator.normal(size=PAIR_ROWS)
    return (generator.random(PAIR_ROWS) < expit(score + common)).astype("int64"), score


def answer_of(task: str, score: Floats, error: Floats) -> Floats:
    """Output of a model that knows the true score but for its errors."""
    blurred = score + error
    return blurred if task == "regression" else np.column_stack([expit(-blurred), expit(blurred)])


def drift(each: Each) -> Iterator[str]:
    """Yield how many quiet windows have another status than ok, and what is found of a shift in independent rows."""
    yield (
        f"Windows of {WINDOW_ROWS:,} rows with labels, any status but ok (a column drifted): rows taken as independent "
        "/ with design effects"
    )
    yield ""
    yield line("rows come in", "windows", *(f"ICC {icc:g}" for icc in DRIFT_ICCS), "ICC 0, one feature by 0.5 sd")
    yield "|---|" + "---:|" * (2 + len(DRIFT_ICCS))
    for kind in KINDS:
        found = [each(partial(alarms, kind, icc, Change()), REFERENCES) for icc in DRIFT_ICCS]
        found.append(each(partial(alarms, kind, 0.0, SHIFTED), REFERENCES))
        yield line(kind.label, len(found[0]) * WINDOWS, *(_cell(np.concatenate(one)) for one in found))


def _cell(told: npt.NDArray[Any]) -> str:
    status, column, status_clustered, column_clustered = percents(told)
    return f"{status} ({column}) / {status_clustered} ({column_clustered})"


def alarms(kind: Kind, icc: float, change: Change, seed: int) -> npt.NDArray[np.bool_]:
    """Judge the windows of one reference; shape (windows, 4): status and columns, without and with design effects."""
    generator = ClusteredDraws((9, seed), kind, icc)
    reference = Reference.of(Change(), generator)
    return np.array([told(reference, sample(WINDOW_ROWS, change, generator), kind) for _ in range(WINDOWS)])


def told(reference: Reference, window: Sample, kind: Kind) -> tuple[bool, ...]:
    """Say of a window whether it has an alarm and a drifted column, without and with design effects."""
    pairs, clusters = counted(reference, window), kind.clusters(WINDOW_ROWS, by_differences=True)
    table = table_of(window)
    effects = column_effects([(one, table[one.name], True) for _, one, _ in pairs], clusters, 1.0)
    found: list[bool] = []
    plain = realised_of(reference, window, None)
    matters = performance_effect(window.y, window.output, METRIC, clusters) is not None
    ways: tuple[tuple[Clusters | None, Mapping[str, TableEffect]], ...] = ((None, {}), (clusters, effects))
    for grouping, by_column in ways:
        columns = column_drifts(pairs, reference.importance, DRIFT, 0, by_column)
        evidence = DriftEvidence(
            id="",
            model="made",
            champion=1,
            against="champion",
            window=WindowFacts(batches=(), n_rows=WINDOW_ROWS),
            columns=columns,
            performance=(
                realised_of(reference, window, clusters) if grouping and matters else plain,
                estimated_of(reference, window),
            ),
            bias=prediction_bias(
                window.y,
                window.output,
                reference.level,
                tolerated=Gate(metric=METRIC, floor=0.5).max_calibration_loss,
                max_ratio=DRIFT.class_ratio,
                confidence=HARM_CONFIDENCE,
                clusters=grouping,
            ),
        )
        found += [decide(evidence, (), DRIFT, NOW).status != "ok", any(column.drifted for column in columns)]
    return tuple(found)


if __name__ == "__main__":
    main()
