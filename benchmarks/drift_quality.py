"""How often drift is found where there is none, and how often where there is some; other tools on the same windows.

Run ``python -m benchmarks.drift_quality``; prints Markdown tables, in minutes on two cores; ``--quick`` makes a few
windows of each kind. All draws are seeded: a second run prints the same numbers, seconds excepted.

The worlds (``benchmarks.drift_worlds``) have twenty features, a target and a champion that knows the truth. Every tool
is given the same reference rows and windows: the features, the target and the champion's probabilities. Evidently's
statistical tests are called as ``ValueDrift`` calls them, without its plots, which take seconds per window; that the
scores are those of a report is checked on one window. NannyML answers in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from benchmarks import peers, rare_events
from benchmarks.drift_seasons import seasons
from benchmarks.drift_worlds import CATEGORIES, FEATURES, NUMBERS, RARE, Change, Sample, importance, sample
from config.schema import Drift, Gate
from core.drift.columns import ColumnDrift, Pair, Role, column_drifts
from core.drift.counts import WindowCounts
from core.drift.decision import decide, performance_confidence
from core.drift.profile import ColumnProfile, level_profile, number_profile
from core.drift.verdict import DriftEvidence, WindowFacts
from core.metrics.bootstrap import Estimate, estimates
from core.metrics.clusters import Clusters
from core.metrics.strata import Strata
from core.performance.cbpe import CbpeReference, reference_cbpe
from core.performance.estimated import estimated_performance
from core.performance.loss import Performance, realised_performance
from core.performance.prediction_bias import EventLevel, PredictionBias, event_level, prediction_bias

REFERENCE_ROWS = 20_000
HOLDOUT_ROWS = 5_000
METRIC = "roc_auc"
CONFIDENCE = 0.95
"""Of the holdout's interval, as the model file's default has it."""

REFERENCES = 20
"""Worlds in which quiet windows are looked at; each has reference rows of its own."""

CHANGED_REFERENCES = 10
"""Worlds in which changed windows are looked at."""

DRIFT = Drift(min_rows=30, persistence=(1, 1))
"""The default but for two: windows below 200 rows are judged too, and each by itself."""

HARM_CONFIDENCE = performance_confidence(DRIFT, kinds=3)

SENSITIVE_DRIFT = DRIFT.model_copy(update={"psi": 0.02})

NOW = datetime(2026, 1, 1, tzinfo=UTC)

PERENNIAL, SENSITIVE = "Perennial", "Perennial, psi: 0.02"
UNLABELLED, LABELLED = "Perennial without labels", "with labels"
EVIDENTLY_PSI, EVIDENTLY_PRESET, NANNYML = "Evidently PSI", "Evidently preset", "NannyML"

PEERS = (EVIDENTLY_PSI, EVIDENTLY_PRESET, NANNYML)

TELLING = frozenset(name for name, feature in FEATURES.items() if feature.effect)
"""Features that differ between the classes."""

SEEN_IN = {"features": TELLING, "predictions": frozenset({"prediction"}), "target": frozenset({"target"})}

NAMES = (*NUMBERS, *CATEGORIES, "target", "prediction")
NANNYML_SCRIPT = Path(__file__).with_name("nannyml_drift.py")


class Looks(NamedTuple):
    """How a window is looked at beside the usual way: without labels, by its labels' performance, by other tools."""

    unlabelled: bool
    realised: bool
    peers: bool


@dataclass(frozen=True)
class Size:
    """Windows of one size per reference and kind of change.

    Parameters
    ----------
    rows
        Of a window.
    windows
        That Perennial judges.
    peers
        Of these, windows that the other tools judge too.
    unlabelled, realised
        Of these, windows that are judged as if they had no labels, and by the performance their labels show, which
        takes most of a second at 10,000 rows.
    """

    rows: int
    windows: int
    peers: int
    unlabelled: int = 0
    realised: int = 0

    def looks(self, place: int) -> Looks:
        """How the window at a place is looked at."""
        return Looks(place < self.unlabelled, place < self.realised, place < self.peers)


QUIET_SIZES = (*(Size(rows, 50, 10, 50, 50) for rows in (100, 200, 500, 1_000)), Size(10_000, 50, 10, 50, 10))
CHANGED_SIZES = tuple(Size(rows, 5, 2) for rows in (500, 1_000, 5_000))

PLAIN = {
    "nothing": Change(),
    "one feature by 0.25 sd": Change(shifts={"income": 0.25}),
    "one feature by 0.5 sd": Change(shifts={"income": 0.5}),
    "one feature by 0.7 sd": Change(shifts={"income": 0.7}),
    "three features by 0.25 sd": Change(shifts={"income": 0.25, "debt": 0.25, "noise": 0.25}),
    "three features by 0.5 sd": Change(shifts={"income": 0.5, "debt": 0.5, "noise": 0.5}),
    "three features by 0.7 sd": Change(shifts={"income": 0.7, "debt": 0.7, "noise": 0.7}),
    "missing 5 % to 20 %": Change(missing={"age": 0.2}),
    "a new level in 5 %": Change(new_level={"region": 0.05}),
    "classes 10 % to 15 %": Change(rare=0.15),
    "classes 10 % to 20 %": Change(rare=0.2),
}
WITHOUT_MISSING = {name: change for name, change in PLAIN.items() if not change.missing}


@dataclass(frozen=True)
class Plan:
    """What is drawn from a world.

    Parameters
    ----------
    state
        Of the values, in the words of the tables.
    changes
        By name; ``nothing`` is the world of the reference.
    sizes
        Of the windows of each change.
    """

    state: str
    changes: Mapping[str, Change]
    sizes: Sequence[Size]


QUIET = Plan("", {"nothing": Change()}, QUIET_SIZES)
CHANGED = (
    Plan("as they are", PLAIN, CHANGED_SIZES),
    Plan(
        "with one of a million",
        {name: replace(change, outlier="income") for name, change in WITHOUT_MISSING.items()},
        CHANGED_SIZES,
    ),
    Plan(
        "half of them missing",
        {name: replace(change, all_missing=0.5) for name, change in WITHOUT_MISSING.items()},
        CHANGED_SIZES,
    ),
)

Each = Callable[[Callable[[int], Any], int], list[Any]]
"""Applies a function to that many seeds."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="False alarms and detections of drift, beside other tools.")
    parser.add_argument("--quick", action="store_true", help="two references in place of many")
    kinds = ("false_alarms", "detection", "seasons", "rare")
    parser.add_argument("--only", choices=kinds, help="one part of the tables")
    arguments = parser.parse_args()
    quick, wanted = arguments.quick, arguments.only
    start = time.perf_counter()
    # Made before the pool, so that no worker makes it.
    peers.python()
    with ProcessPoolExecutor(os.cpu_count(), initializer=threadpool_limits, initargs=(1,)) as pool:

        def each(trial: Callable[[int], Any], n: int) -> list[Any]:
            return list(pool.map(trial, range(2 if quick else n)))

        if wanted in (None, "rare"):
            print("\n".join(rare_events.tables(each)), end="\n\n", flush=True)
        if wanted == "rare":
            return
        print(f"{agreement():.0e} is the largest distance of the scores used here from those of an Evidently report\n")
        for table in (false_alarms, detection, seasons):
            if wanted not in (None, table.__name__):
                continue
            with TemporaryDirectory() as folder:
                print("\n".join(table(each, Path(folder))), end="\n\n", flush=True)
    print(f"{time.perf_counter() - start:,.0f} s in all")


@dataclass(frozen=True, eq=False)
class Reference:
    """A champion and what is kept of it."""

    rows: Sample
    columns: tuple[ColumnProfile, ...]
    importance: Mapping[str, float]
    cbpe: CbpeReference
    performance: Estimate
    level: EventLevel

    @classmethod
    def of(cls, change: Change, generator: np.random.Generator) -> Reference:
        """Draw training rows and a holdout from a world."""
        rows, holdout = (sample(n, change, generator) for n in (REFERENCE_ROWS, HOLDOUT_ROWS))
        found = estimates(holdout.y, holdout.output, (METRIC,), resamples=500, confidence=CONFIDENCE, seed=0)
        return cls(
            rows,
            (*profiles(rows), number_profile("prediction", holdout.output[:, 1])),
            importance(holdout, generator),
            reference_cbpe(holdout.y, holdout.output, METRIC),
            found[METRIC],
            level_of(holdout),
        )


def profiles(rows: Sample) -> Iterator[ColumnProfile]:
    """Yield the reference's bins: features, then the target."""
    yield from (number_profile(name, rows.frame[name].to_numpy()) for name in NUMBERS)
    yield from (level_profile(name, rows.frame[name]) for name in CATEGORIES)
    yield level_profile("target", target(rows))


def target(rows: Sample) -> pd.Series[Any]:
    """Classes as text."""
    return pd.Series(np.where(rows.y == 1, "yes", "no"))


def table_of(rows: Sample) -> pd.DataFrame:
    """All that the other tools are given."""
    return rows.frame.assign(target=target(rows), prediction=rows.output[:, 1])


@dataclass(frozen=True)
class Judged:
    """What was said of one window.

    Parameters
    ----------
    columns
        Way of looking: the columns it calls drifted.
    status
        Of Perennial's ways: the decision.
    """

    columns: dict[str, frozenset[str]]
    status: dict[str, str]

    def add(
        self,
        way: str,
        columns: tuple[ColumnDrift, ...],
        performance: tuple[Performance, ...],
        drift: Drift = DRIFT,
        bias: PredictionBias | None = None,
    ) -> None:
        """Decide on a window that has no history."""
        evidence = DriftEvidence(
            id="",
            model="made",
            champion=1,
            against="champion",
            window=WindowFacts(batches=(), n_rows=columns[0].n_current),
            columns=columns,
            performance=performance,
            bias=bias,
        )
        self.columns[way] = frozenset(column.name for column in columns if column.drifted)
        self.status[way] = decide(evidence, (), drift, NOW).status


def judged(reference: Reference, window: Sample, looks: Looks) -> Judged:
    """Put a window to Perennial."""
    table, performance = counted(reference, window), (estimated_of(reference, window),)
    sensitive, usual = (column_drifts(table, reference.importance, drift, seed=0) for drift in (SENSITIVE_DRIFT, DRIFT))
    found = Judged({}, {})
    found.add(SENSITIVE, sensitive, performance, SENSITIVE_DRIFT)
    found.add(PERENNIAL, usual, performance)
    if looks.realised:
        found.add(LABELLED, usual, (realised_of(reference, window), *performance), bias=bias_of(reference, window))
    if looks.unlabelled:
        known = [pair for pair in table if pair[0] != "target"]
        found.add(UNLABELLED, column_drifts(known, reference.importance, DRIFT, seed=0), performance)
    return found


def counted(reference: Reference, window: Sample) -> list[Pair]:
    """Count each column, the target among them, over its reference's bins."""
    counts = WindowCounts(reference.columns)
    table = table_of(window)
    for name in (*NUMBERS, "prediction"):
        counts.add_numbers(name, table[name].to_numpy())
    for name in (*CATEGORIES, "target"):
        codes, levels = pd.factorize(table[name])
        counts.add_levels(name, codes[codes >= 0], levels.tolist(), int((codes < 0).sum()))
    roles: dict[str, Role] = {"target": "target", "prediction": "prediction"}
    found = zip(reference.columns, counts.columns(), strict=True)
    return [(roles.get(before.name, "feature"), before, after) for before, after in found]


def estimated_of(reference: Reference, window: Sample) -> Performance:
    """Compare what the champion's scores promise."""
    return estimated_performance(window.output, reference.cbpe, max_loss=DRIFT.max_loss, confidence=HARM_CONFIDENCE)


def realised_of(reference: Reference, window: Sample, clusters: Clusters | None = None) -> Performance:
    """Compare the labels with what the champion said."""
    return realised_performance(
        window.y,
        window.output,
        METRIC,
        reference.performance,
        CONFIDENCE,
        max_loss=DRIFT.max_loss,
        confidence=HARM_CONFIDENCE,
        seed=0,
        clusters=clusters,
    )


def bias_of(reference: Reference, window: Sample) -> PredictionBias | None:
    """Compare the labels with how high the champion's probabilities were."""
    tolerated = Gate(metric=METRIC, floor=0.5).max_calibration_loss
    return prediction_bias(
        window.y,
        window.output,
        reference.level,
        tolerated=tolerated,
        max_ratio=DRIFT.class_ratio,
        confidence=HARM_CONFIDENCE,
    )


def level_of(rows: Sample) -> EventLevel:
    """Observed and predicted frequency of the rare class."""
    strata = Strata(np.zeros(len(rows.y), dtype=np.int64), np.array([float(len(rows.y))]))
    return event_level(rows.output[:, 1], rows.y == 1, strata)


def evidently(reference: pd.DataFrame, window: pd.DataFrame) -> dict[str, frozenset[str]]:
    """Ask the tests of ``ValueDrift(method="psi", threshold=0.1)`` and of ``ValueDrift()`` about every column."""
    return {
        way: frozenset(name for name in NAMES if evidently_test(reference[name], window[name], method).drifted)
        for way, method in ((EVIDENTLY_PSI, "psi"), (EVIDENTLY_PRESET, None))
    }


def evidently_test(reference: pd.Series[Any], window: pd.Series[Any], method: str | None) -> Any:
    """Score of a column: ``get_one_column_drift`` of ``ValueDrift`` without its plots."""
    from evidently.legacy.calculations.stattests.registry import get_stattest
    from evidently.legacy.core import ColumnType

    kind = ColumnType.Categorical if window.name in (*CATEGORIES, "target") else ColumnType.Numerical
    before, after = (values.replace([-np.inf, np.inf], np.nan).dropna() for values in (reference, window))
    return get_stattest(before, after, kind, method)(before, after, kind, 0.1 if method else None)


def agreement() -> float:
    """Largest distance of the scores from those of an Evidently report on one window."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    generator = np.random.default_rng(0)
    before, after = (table_of(sample(n, Change(rare=0.2), generator)) for n in (REFERENCE_ROWS, 1_000))
    kinds = DataDefinition(numerical_columns=[*NUMBERS, "prediction"], categorical_columns=[*CATEGORIES, "target"])
    largest = 0.0
    for method in ("psi", None):
        report = Report([ValueDrift(column=name, method=method) for name in NAMES])
        current, reference = (Dataset.from_pandas(rows, kinds) for rows in (after, before))
        scores = [float(metric["value"]) for metric in report.run(current, reference).dict()["metrics"]]
        ours = [evidently_test(before[name], after[name], method).drift_score for name in NAMES]
        largest = max(largest, float(np.abs(np.subtract(scores, ours)).max()))
    return largest


@dataclass(frozen=True)
class Cell:
    """Windows of one reference, change and size; NannyML's are in a file, one after the other."""

    state: str
    change: str
    size: Size
    reference: str
    file: str
    judged: list[Judged]


def cells_of(plan: Plan, folder: Path, seed: int) -> list[Cell]:
    """Draw a reference and its windows, put them to Perennial and Evidently, and lay them down for NannyML."""
    place = (QUIET, *CHANGED).index(plan)
    generator = np.random.default_rng((place, seed))
    reference = Reference.of(replace(plan.changes["nothing"], outlier=None), generator)
    table, stem = table_of(reference.rows), f"{place}-{seed}"
    table.to_parquet(folder / f"{stem}.parquet")
    found: list[Cell] = []
    for name, change in plan.changes.items():
        for size in plan.sizes:
            windows = [sample(size.rows, change, generator) for _ in range(size.windows)]
            answers = [judged(reference, window, size.looks(n)) for n, window in enumerate(windows)]
            tables = [table_of(window) for window in windows[: size.peers]]
            for one, window in zip(answers, tables, strict=False):
                one.columns.update(evidently(table, window))
            file = f"{stem}-{len(found)}.parquet"
            pd.concat(tables, ignore_index=True).to_parquet(folder / file)
            found.append(Cell(plan.state, name, size, f"{stem}.parquet", file, answers))
    return found


def ask_nannyml(folder: Path, cells: Sequence[Cell]) -> None:
    """Add NannyML's answers, from as many processes as there are cores."""
    cores = os.cpu_count() or 1
    references = sorted({cell.reference for cell in cells})
    parts = [[cell for cell in cells if references.index(cell.reference) % cores == core] for core in range(cores)]
    with ThreadPoolExecutor() as pool:
        for part, answers in zip(parts, pool.map(partial(nannyml_answers, folder), parts), strict=True):
            for cell, windows in zip(part, answers, strict=True):
                for answer, columns in zip(cell.judged, windows, strict=False):
                    answer.columns[NANNYML] = frozenset(columns)


def nannyml_answers(folder: Path, cells: Sequence[Cell]) -> list[list[list[str]]]:
    """Columns that drift, per cell and window."""
    jobs = [{"reference": cell.reference, "windows": cell.file, "rows": cell.size.rows} for cell in cells]
    with NamedTemporaryFile("w", dir=folder, suffix=".json") as file:
        file.write(json.dumps(jobs))
        file.flush()
        answers: list[list[list[str]]] = json.loads(peers.run(NANNYML_SCRIPT, file.name, threads=1))
    return answers


def false_alarms(each: Each, folder: Path) -> Iterator[str]:
    """Yield how many windows without drift raise an alarm."""
    cells = list(chain.from_iterable(each(partial(cells_of, QUIET, folder), REFERENCES)))
    ask_nannyml(folder, cells)
    yield (
        f"Windows without drift that raise an alarm; {len(NAMES)} columns, references of {REFERENCE_ROWS:,} rows. "
        "Perennial: any status but ok (by a column, not by performance alone); other tools: any column"
    )
    yield ""
    yield line(
        *("rows", "windows", UNLABELLED, SENSITIVE, "windows", LABELLED, "windows"),
        *(EVIDENTLY_PSI, EVIDENTLY_PRESET, "half of the columns", NANNYML),
    )
    yield "|---:" * 11 + "|"
    for size in QUIET_SIZES:
        found = [one for cell in cells if cell.size == size for one in cell.judged]
        known = [one for one in found if LABELLED in one.status]
        asked = [one.columns for one in found if NANNYML in one.columns]
        yield line(
            *(size.rows, len(found), alarms(found, UNLABELLED), alarms(found, SENSITIVE)),
            *(len(known), alarms(known, LABELLED), len(asked)),
            *(share(bool(columns[way]) for columns in asked) for way in (EVIDENTLY_PSI, EVIDENTLY_PRESET)),
            share(half(columns[EVIDENTLY_PRESET]) for columns in asked),
            share(bool(columns[NANNYML]) for columns in asked),
        )
    yield ""
    yield f"With the default min_rows, {Drift().min_rows} rows, smaller windows are insufficient, whatever they hold."


def alarms(found: Sequence[Judged], way: str) -> str:
    """Shares of windows that are not ok, and of those in which a column drifted."""
    return f"{share(one.status[way] != 'ok' for one in found)} ({share(bool(one.columns[way]) for one in found)})"


def detection(each: Each, folder: Path) -> Iterator[str]:
    """Yield how much of the change is found."""
    cells = [
        cell
        for plan in CHANGED
        for cells in each(partial(cells_of, plan, folder), CHANGED_REFERENCES)
        for cell in cells
    ]
    ask_nannyml(folder, cells)
    n_references, size = len({cell.reference for cell in cells}) // len(CHANGED), CHANGED_SIZES[0]
    sizes = " / ".join(f"{size.rows:,}" for size in CHANGED_SIZES)
    windows = f"{n_references * size.windows} windows, {n_references * size.peers} for other tools"
    for plan in CHANGED:
        yield (
            f"Changed features that are named, values {plan.state}; windows of {sizes} rows ({windows}). "
            "Nothing: windows in which any column is named"
        )
        yield ""
        yield from found_features([cell for cell in cells if cell.state == plan.state], plan)
        yield ""
    yield (
        f"Changes of the class share: windows of {sizes} rows ({windows}) in which the change is seen in any of the "
        "features that tell the classes apart, in the predictions, in the target"
    )
    yield ""
    yield from found_classes(cells)


def found_features(cells: Sequence[Cell], plan: Plan) -> Iterator[str]:
    """Yield the table of features that change by themselves."""
    yield line("change", PERENNIAL, "status drift", SENSITIVE, *PEERS, "half of the columns")
    yield "|---|" + "---:|" * 7
    for name, change in plan.changes.items():
        if change.rare == RARE:
            of_change, named = [cell for cell in cells if cell.change == name], partial(named_share, change.features)
            yield line(
                *(name, by_size(of_change, PERENNIAL, named), drift_by_size(of_change)),
                *(by_size(of_change, way, named) for way in (SENSITIVE, *PEERS)),
                by_size(of_change, EVIDENTLY_PRESET, half),
            )


def found_classes(cells: Sequence[Cell]) -> Iterator[str]:
    """Yield the table of changes in the share of the classes."""
    yield line("change", "values", "seen in", PERENNIAL, SENSITIVE, *PEERS)
    yield "|---|---|---|" + "---:|" * 5
    for plan in CHANGED:
        for name, change in plan.changes.items():
            if change.rare != RARE:
                of_change = [cell for cell in cells if (cell.state, cell.change) == (plan.state, name)]
                for where, columns in SEEN_IN.items():
                    found = (
                        by_size(of_change, way, partial(any_of, columns)) for way in (PERENNIAL, SENSITIVE, *PEERS)
                    )
                    yield line(name, plan.state, where, *found)


def named_share(wanted: Sequence[str], columns: frozenset[str]) -> float:
    """Share of the wanted columns that are among those named; with none wanted, whether any is named."""
    return float(np.mean([name in columns for name in wanted])) if wanted else float(bool(columns))


def any_of(wanted: Collection[str], columns: frozenset[str]) -> float:
    """Whether one of the wanted columns is among those named."""
    return float(not columns.isdisjoint(wanted))


def half(columns: frozenset[str]) -> bool:
    """Whether Evidently's preset, with its default, calls a dataset with these columns drifted."""
    return len(columns) >= 0.5 * len(NAMES)


def by_size(cells: Sequence[Cell], way: str, measure: Callable[[frozenset[str]], float]) -> str:
    """Means over the windows of each size."""
    found = [
        [measure(one.columns[way]) for cell in cells if cell.size == size for one in cell.judged if way in one.columns]
        for size in CHANGED_SIZES
    ]
    return " / ".join(f"{np.mean(of_size):.0%}" for of_size in found)


def drift_by_size(cells: Sequence[Cell]) -> str:
    """Shares of the windows of each size that have the status drift."""
    found = [
        [one.status[PERENNIAL] == "drift" for cell in cells if cell.size == size for one in cell.judged]
        for size in CHANGED_SIZES
    ]
    return " / ".join(f"{np.mean(of_size):.0%}" for of_size in found)


def share(held: Iterable[bool]) -> str:
    """Format the share of yes."""
    return f"{np.mean(list(held)):.1%}"


def line(*cells: Any) -> str:
    """Format one line of a Markdown table."""
    return "| " + " | ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    main()
