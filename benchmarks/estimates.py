"""How often estimates without labels are wrong, and how often they give no answer; before, now, and NannyML's.

Run ``python -m benchmarks.estimates``; prints a Markdown table, in minutes on two cores; ``--quick`` makes two worlds.
Each window has 1,000 rows and 2 % of the holdout's value is tolerated. It is truly harmed if the champion loses more
than that in the world after the change, known from 30,000 rows; in public data, if the labels show such a loss beyond
chance, and truly not harmed if they show none above the tolerance. All ways get the same holdout and the same window.

*Before* is the code of commit f8edab0, run here from the repository's history: it has no estimate for regressions.
*With labels* is the present code with labels of the window's first third. NannyML answers by its alert, with its
default thresholds from the holdout's chunks of 1,000 rows, so it has an answer for each window.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from benchmarks import peers
from benchmarks.estimate_windows import SOURCES, TOLERATED, Case, generated, public
from core.metrics.bootstrap import estimates
from core.metrics.metrics import METRICS
from core.performance.cbpe import CbpeReference, reference_cbpe
from core.performance.estimated import estimated_performance
from core.performance.label_check import contradiction
from core.performance.loss import Performance, realised_performance
from core.performance.loss_model import (
    LossEstimate,
    LossRows,
    estimated_loss,
    loss_contradiction,
    loss_estimate,
    prediction_doubts,
)
from core.performance.support import Support, feature_matrices, support

BEFORE = "f8edab0"
CONFIDENCE = 1 - 0.01 / 3
WORLDS = 8
WAYS = ("before", "now", "with labels", "NannyML")
Answer = bool | None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two worlds in place of eight")
    seeds = range(2 if parser.parse_args().quick else WORLDS)
    peers.python()
    jobs: list[Any] = [*seeds, *((place, mixed) for place in range(len(SOURCES)) for mixed in (False, True))]
    jobs = [job for job in jobs if isinstance(job, int) or SOURCES[job[0]].order or not job[1]]
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:
        found = [one for part in pool.map(answers, jobs) for one in part]
    print("\n".join(table(found)))


def answers(job: int | tuple[int, bool]) -> list[tuple[str, str, Answer, dict[str, Answer]]]:
    """Return group, metric, truth and answers by way, for the windows of a world or of a public data set."""
    cases = list(generated(job) if isinstance(job, int) else public(SOURCES[job[0]], job[1]))
    found = [(case.group, case.metric, truth(case), ours(case)) for case in cases]
    for one, answer in zip(found, nannyml(cases), strict=True):
        one[3]["NannyML"] = answer
    return found


def truth(case: Case) -> Answer:
    """Return whether the window is harmed; None if its labels cannot show it."""
    if case.loss is not None:
        return case.loss > TOLERATED
    before = estimates(case.holdout.y, case.holdout.output, (case.metric,), resamples=500, confidence=0.95, seed=0)[
        case.metric
    ]
    return realised_performance(
        case.window.y, case.window.output, case.metric, before, 0.95, max_loss=TOLERATED, confidence=0.99, seed=0
    ).harmed


def ours(case: Case) -> dict[str, Answer]:
    """Return the answers before, now, and now with labels of a third of the rows."""
    lies = support(case.holdout.frame, case.window.frame, case.contract, case.contract.raw_columns, 0)
    return _classes(case, lies) if case.metric == "roc_auc" else _losses(case, lies)


def _classes(case: Case, lies: Support) -> dict[str, Answer]:
    window, holdout, third = case.window, case.holdout, len(case.window.y) // 3
    reference = reference_cbpe(holdout.y, holdout.output, case.metric)
    realised = METRICS[case.metric].value(holdout.y, holdout.output)
    labels = contradiction(window.y[:third], window.output[:third], reference, realised, "labelled rows")

    def answer(*doubts: str) -> Answer:
        found = estimated_performance(
            window.output, reference, max_loss=TOLERATED, confidence=CONFIDENCE, doubts=doubts
        )
        return found.harmed

    return {
        "before": before(window.output, reference).harmed,
        "now": answer(*lies.doubts),
        "with labels": answer(*lies.doubts, *labels),
    }


def _losses(case: Case, lies: Support) -> dict[str, Answer]:
    window, holdout = case.window, case.holdout
    here, there = matrices(case)
    rows = LossRows(here, there, holdout.y - holdout.output, lies.weights)
    found = loss_estimate(rows, case.metric, 0)
    doubts = (*lies.doubts, *prediction_doubts(window.output, holdout.output))
    residual = np.where(np.arange(len(window.y)) < len(window.y) // 3, window.y - window.output, np.nan)
    labels = loss_contradiction(residual, found, "labelled rows")

    def answer(estimate: LossEstimate, *doubts: str) -> Answer:
        return estimated_loss(estimate, max_loss=TOLERATED, confidence=CONFIDENCE, doubts=doubts).harmed

    return {
        "before": None,
        "now": answer(found, *doubts),
        "with labels": answer(found, *doubts, *labels),
    }


def matrices(case: Case) -> tuple[Any, Any]:
    """Return features of holdout and window as numbers, with the prediction last for regressions."""
    names = case.contract.raw_columns
    here, there = feature_matrices(case.holdout.frame, case.window.frame, case.contract, names)
    if case.metric == "roc_auc":
        return here, there
    return np.column_stack([here, case.holdout.output]), np.column_stack([there, case.window.output])


def before(output: Any, reference: CbpeReference) -> Performance:
    """Return what the code of an earlier commit answers."""
    name = "benchmarks_loss_before"
    if name not in sys.modules:
        source = subprocess.run(
            ["git", "show", f"{BEFORE}:core/performance/loss.py"],  # noqa: S607 - the git of the developer's machine
            check=True, capture_output=True, text=True, cwd=peers.ROOT,
        ).stdout  # fmt: skip
        sys.modules[name] = ModuleType(name)
        exec(compile(source, "loss.py", "exec"), vars(sys.modules[name]))  # noqa: S102 - our own code, of a fixed commit
    found: Performance = vars(sys.modules[name])["estimated_performance"](
        output, reference, max_loss=TOLERATED, confidence=CONFIDENCE
    )
    return found


def nannyml(cases: Sequence[Case]) -> list[bool]:
    """Return NannyML's answers."""
    with tempfile.TemporaryDirectory() as folder:
        for place, case in enumerate(cases):
            here, there = matrices(case)
            binary = case.metric == "roc_auc"
            outputs = [one.output[:, 1] if binary else one.output for one in (case.holdout, case.window)]
            parts = {"y": case.holdout.y, "reference": outputs[0], "window": outputs[1], "X": here, "Xw": there}
            facts: dict[str, Any] = {
                "kind": "cbpe" if binary else "dle",
                "metrics": [case.metric],
                "rows": len(case.window.y),
            }
            np.savez(Path(folder) / f"{place:04d}.npz", **facts, **parts)
        found = json.loads(
            peers.run(Path(__file__).with_name("nannyml_estimates.py"), folder, threads=1).splitlines()[-1]
        )
    return [one["harmed"] for one in found]


def table(found: Sequence[tuple[str, str, Answer, dict[str, Answer]]]) -> Iterator[str]:
    """Yield the lines; in each cell: not harmed (of these wrong), harmed (of these wrong), no answer."""
    yield "| windows | metric | number | harmed | " + " | ".join(WAYS) + " |"
    yield "|---|---|---:|---:|" + "---:|" * len(WAYS)
    groups = dict.fromkeys((metric, group) for group, metric, *_ in found)
    for metric, group in sorted(groups, key=lambda one: one[0] != "roc_auc"):
        yield _line(group, metric, [one for one in found if one[:2] == (group, metric)])
    for metric in ("roc_auc", "rmse"):
        yield _line("**all**", metric, [one for one in found if one[1] == metric])


def _line(group: str, metric: str, rows: Sequence[tuple[str, str, Answer, dict[str, Answer]]]) -> str:
    cells = [cell([(one[2], one[3][way]) for one in rows]) for way in WAYS]
    harmed = sum(one[2] is True for one in rows)
    return f"| {group} | {METRICS[metric].label} | {len(rows)} | {harmed} | " + " | ".join(cells) + " |"


def cell(pairs: Sequence[tuple[Answer, Answer]]) -> str:
    """Count answers: not harmed (of these wrong) / harmed (of these wrong) / none; pairs of truth and answer."""
    counts = Counter(answer for _, answer in pairs)
    missed = sum(answer is False and true is True for true, answer in pairs)
    false = sum(answer is True and true is False for true, answer in pairs)
    return f"{counts[False]} ({missed}) / {counts[True]} ({false}) / {counts[None]}"


if __name__ == "__main__":
    main()
