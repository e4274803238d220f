"""MAE and RMSE of regressions estimated without labels, beside what the labels say; NannyML's DLE on the same rows.

Run ``python -m benchmarks.loss_estimates``; prints two Markdown tables, in minutes on two cores; ``--quick`` takes one
data set. The windows of 1,000 rows of four public data sets are drawn by their features alone, see
:mod:`benchmarks.loss_windows`: the target depends on the features as before. A window is truly harmed if the loss to
expect of it is more than 2 % of the value without a shift.

The first table has the mean difference between estimate and labels, as a share of the labels' value. *Holdout* takes
the holdout's value for each window; *model alone* is the mean of the losses that the second model predicts, without
the correction by its errors on the holdout. *Covered* is the share of windows whose value is within the interval: 95 %
for ours; NannyML's is three standard errors of the sample to each side (99.7 %). The second table has the answers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from benchmarks import peers
from benchmarks.estimate_windows import ROWS, TOLERATED, Case
from benchmarks.estimates import CONFIDENCE, Answer, cell, matrices
from benchmarks.loss_windows import NUMBERS, Numbers, Shifted, shifted
from core.metrics.metrics import METRICS
from core.performance.loss_model import LossEstimate, LossRows, estimated_loss, loss_estimate, prediction_doubts
from core.performance.support import support

METRICS_OF_LOSS = ("mae", "rmse")
SHOWN = 0.95


@dataclass(frozen=True)
class Value:
    """An estimate of a window's metric with its interval, and whether it lies above the tolerance."""

    value: float
    low: float
    high: float
    harmed: Answer

    def covers(self, truth: float) -> bool:
        """Whether the interval contains a value."""
        return self.low <= truth <= self.high


@dataclass(frozen=True)
class Found:
    """What the labels of a window say, and the estimates without them."""

    group: str
    metric: str
    quiet: bool
    harmed: bool
    truth: float
    holdout: float
    alone: float
    ours: Value
    nannyml: Value


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one data set in place of four")
    sources = NUMBERS[: 1 if parser.parse_args().quick else None]
    peers.python()
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:
        found = [one for part in pool.map(measured, sources) for one in part]
    print("\n".join([*values(found), "", *answers(found)]))


def measured(source: Numbers) -> list[Found]:
    """Estimate both metrics on all windows of a data set."""
    windows = list(shifted(source))
    beside = iter(nannyml([one.case for one in windows]))
    theirs = {metric: [next(beside) for _ in windows] for metric in METRICS_OF_LOSS}
    return [one for place, window in enumerate(windows) for one in _found(window, place, theirs)]


def _found(window: Shifted, place: int, theirs: dict[str, list[Value]]) -> Iterator[Found]:
    case = window.case
    lies = support(case.holdout.frame, case.window.frame, case.contract, case.contract.raw_columns, 0)
    doubts = (*lies.doubts, *prediction_doubts(case.window.output, case.holdout.output))
    rows = LossRows(*matrices(case), case.holdout.y - case.holdout.output, lies.weights)
    for metric in METRICS_OF_LOSS:
        found = loss_estimate(rows, metric, 0)
        alone = float(found.predicted.mean())
        yield Found(
            group=case.group,
            metric=metric,
            quiet=window.quiet,
            harmed=window.losses[metric] > TOLERATED,
            truth=METRICS[metric].value(case.window.y, case.window.output),
            holdout=found.reference,
            alone=alone if metric == "mae" else math.sqrt(alone),
            ours=_ours(found, doubts),
            nannyml=theirs[metric][place],
        )


def _ours(found: LossEstimate, doubts: Sequence[str]) -> Value:
    shown = estimated_loss(found, max_loss=TOLERATED, confidence=SHOWN)
    judged = estimated_loss(found, max_loss=TOLERATED, confidence=CONFIDENCE, doubts=doubts)
    low, high = (math.nan if end is None else end for end in (shown.low, shown.high))
    return Value(shown.value, low, high, judged.harmed)


def nannyml(cases: Sequence[Case]) -> list[Value]:
    """Return NannyML's estimates, by metric and window, of windows with one holdout: a chunk for each of them."""
    here = matrices(cases[0])[0]
    parts = {
        "y": cases[0].holdout.y,
        "reference": cases[0].holdout.output,
        "window": np.concatenate([case.window.output for case in cases]),
        "X": here,
        "Xw": np.concatenate([matrices(case)[1] for case in cases]),
    }
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "windows.npz", kind="dle", metrics=METRICS_OF_LOSS, rows=ROWS, **parts)
        printed = peers.run(Path(__file__).with_name("nannyml_estimates.py"), folder, threads=1)
    return [Value(**one) for one in json.loads(printed.splitlines()[-1])]


def values(found: Sequence[Found]) -> Iterator[str]:
    """Yield the table of differences and of intervals."""
    yield "| data set and target | metric | windows | holdout | model alone | Perennial | NannyML | covered | NannyML |"
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|"
    for group, metric, rows in _groups(found):
        errors = [
            f"{np.mean([abs(value / one.truth - 1) for one, value in zip(rows, column, strict=True)]):.1%}"
            for column in zip(
                *((one.holdout, one.alone, one.ours.value, one.nannyml.value) for one in rows), strict=True
            )
        ]
        covered = [
            f"{np.mean([value.covers(one.truth) for one, value in zip(rows, column, strict=True)]):.0%}"
            for column in zip(*((one.ours, one.nannyml) for one in rows), strict=True)
        ]
        yield f"| {group} | {METRICS[metric].label} | {len(rows)} | {' | '.join([*errors, *covered])} |"


def answers(found: Sequence[Found]) -> Iterator[str]:
    """Yield the table of answers, by whether the windows are harmed."""
    yield "| windows | metric | number | Perennial | NannyML |"
    yield "|---|---|---:|---:|---:|"
    for name, kind in (("without a shift", None), ("shifted, not harmed", False), ("shifted, harmed", True)):
        for metric in METRICS_OF_LOSS:
            rows = [one for one in found if one.metric == metric and (None if one.quiet else one.harmed) is kind]
            ways = ([one.ours for one in rows], [one.nannyml for one in rows])
            cells = [cell([(one.harmed, way.harmed) for one, way in zip(rows, column, strict=True)]) for column in ways]
            yield f"| {name} | {METRICS[metric].label} | {len(rows)} | {' | '.join(cells)} |"


def _groups(found: Sequence[Found]) -> Iterator[tuple[str, str, list[Found]]]:
    for group, metric in dict.fromkeys((one.group, one.metric) for one in found):
        yield group, metric, [one for one in found if (one.group, one.metric) == (group, metric)]
    for metric in METRICS_OF_LOSS:
        yield "**all**", metric, [one for one in found if one.metric == metric]


if __name__ == "__main__":
    main()
