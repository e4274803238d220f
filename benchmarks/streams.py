"""Delay, missed changes and false alarms on streams with known change points, beside river and alibi-detect.

Run ``python -m benchmarks.streams``; prints Markdown tables, in some ten minutes of CPU; ``--streams`` sets the number
of streams of each kind. All draws are seeded. The streams are those of :mod:`benchmarks.stream_worlds`. Every detector
is given the same rows and the same champion, which is trained once and never again:

- Perennial judges consecutive windows by default settings, with labels and without (:mod:`benchmarks.stream_monitor`);
- river's ADWIN, DDM and Page-Hinkley are fed with the champion's error per row, KSWIN with its score
  (:mod:`benchmarks.stream_river`);
- alibi-detect's test of Kolmogorov and Smirnov per feature judges the same windows as Perennial, without labels
  (:mod:`benchmarks.stream_alibi`).
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped] # ships no types

from benchmarks import peers
from benchmarks.stream_monitor import DRIFT, Champion, errors, predicted, scores, verdicts
from benchmarks.stream_worlds import GENERATORS, KINDS, PUBLIC, SHARED, Kind, Stream, stream
from core.performance.support import feature_matrices

SCRIPTS = {tools: Path(__file__).with_name(f"stream_{tools}.py") for tools in ("river", "alibi")}
LABELLED, UNLABELLED = "with labels", "without labels"
ORDER = {"ADWIN": LABELLED, "DDM": LABELLED, "Page-Hinkley": LABELLED, "KSWIN": UNLABELLED, "KSDrift": UNLABELLED}
"""Detectors of the peers, and whether they are fed with errors or with what is known without labels."""


@dataclass(frozen=True)
class Job:
    """One stream."""

    name: str
    kind: Kind
    seed: int

    @property
    def file(self) -> str:
        """Name of the file for the peers."""
        return f"{self.name} {self.kind} {self.seed}.npz".replace(" ", "-")


@dataclass(frozen=True)
class Result:
    """What the detectors said of a stream.

    Parameters
    ----------
    change
        Number of rows before the change; None without change.
    n_rows
        Rows of the stream.
    error
        The champion's mean error before and after the change; twice that of the stream without change.
    signals
        By detector, the rows (1 for the first) after which it signals, ascending.
    """

    job: Job
    change: int | None
    n_rows: int
    error: tuple[float, float]
    signals: dict[str, list[int]]

    @property
    def quiet_rows(self) -> int:
        """Rows before the change."""
        return self.n_rows if self.change is None else self.change


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Delay and false alarms on streams, beside river and alibi-detect.")
    parser.add_argument("--streams", type=int, default=5, help="streams of each kind")
    parser.add_argument("--workers", type=int, default=2, help="processes that judge streams")
    arguments, start = parser.parse_args(), time.perf_counter()
    jobs = [
        Job(name, kind, seed)
        for name, kinds in KINDS.items()
        if name in GENERATORS or SHARED.is_dir()
        for kind in kinds
        for seed in range(arguments.streams)
    ]
    results = measured(jobs, arguments.workers)
    names = detectors(results)
    for table in (delays(results, names), alarms(results, names), champions(results)):
        print("\n".join(table), end="\n\n")
    print(f"{time.perf_counter() - start:,.0f} s in all")


def measured(jobs: Sequence[Job], workers: int) -> list[Result]:
    """Ask all detectors about all streams."""
    limits = {"initializer": threadpool_limits, "initargs": (1,)}
    with (
        TemporaryDirectory() as name,
        ProcessPoolExecutor(workers, **limits) as pool,
        ThreadPoolExecutor(workers) as threads,
    ):
        folder = Path(name)
        facts = list(pool.map(partial(written, folder), jobs))
        # These threads wait for processes of their own.
        alibi = threads.submit(asked, folder, "alibi", jobs)
        river = [threads.submit(asked, folder, "river", [job]) for job in jobs]
        ours = list(pool.map(judged, jobs))
        answers = zip(facts, ours, (one.result()[0] for one in river), alibi.result(), strict=True)
        return [
            replace(one, signals={**signals, **of_river, **of_alibi}) for one, signals, of_river, of_alibi in answers
        ]


def written(folder: Path, job: Job) -> Result:
    """Train the champion, write what the peers need, and return the facts of the stream without signals."""
    found = stream(job.name, job.kind, job.seed)
    champion = Champion.of(found)
    output = predicted(champion.model, found.rows.frame)
    wrong, scale = errors(found.rows, output), 1.0
    if not found.contract.classes:
        # ADWIN's and Page-Hinkley's defaults are made for errors between 0 and 1.
        scale = float(errors(found.holdout, champion.output).max())
    _write(folder / job.file, found, wrong / scale, scores(output))
    at = len(wrong) if found.change is None else found.change
    after = wrong[at:] if at < len(wrong) else wrong
    return Result(job, found.change, len(found.rows), (float(wrong[:at].mean()), float(after.mean())), {})


def judged(job: Job) -> dict[str, list[int]]:
    """Train the champion and judge the stream's windows."""
    return monitored(Champion.of(stream(job.name, job.kind, job.seed)), DRIFT.window_rows)


def _write(path: Path, found: Stream, wrong: np.ndarray, score: np.ndarray) -> None:
    contract = found.contract
    matrices = feature_matrices(found.train.frame, found.rows.frame, contract, contract.raw_columns)
    np.savez(
        path,
        errors=wrong,
        scores=score,
        binary=bool(contract.classes),
        reference=matrices[0],
        features=matrices[1],
        window_rows=DRIFT.window_rows,
    )


def monitored(champion: Champion, window_rows: int) -> dict[str, list[int]]:
    """Return the ends of the windows that are a signal, and of those with the status drift, with and without labels."""
    ways = [(labels, what) for labels in (LABELLED, UNLABELLED) for what in ("signal", "drift")]
    found: dict[str, list[int]] = {perennial(window_rows, *way): [] for way in ways}
    change = champion.stream.change
    for end, *both in verdicts(champion, window_rows):
        for labels, verdict in zip((LABELLED, UNLABELLED), both, strict=True):
            if verdict.drifted:
                found[perennial(window_rows, labels, "signal")].append(end)
            if verdict.status == "drift":
                found[perennial(window_rows, labels, "drift")].append(end)
        if change is not None and all(delay(rows, change) is not None for rows in found.values()):
            break
    return found


def perennial(window_rows: int, labels: str, what: str) -> str:
    """Name a way of judging: a signal of one window, or drift, which is signals in k of the last n."""
    rule = "{} of {} windows".format(*DRIFT.persistence) if what == "drift" else "1 window"
    return f"Perennial {labels}, {rule} of {window_rows:,}"


def asked(folder: Path, tools: str, jobs: Sequence[Job]) -> list[dict[str, list[int]]]:
    """Return the signals of a peer's detectors, by stream."""
    listed = folder / f"{tools} {jobs[0].file}.json"
    listed.write_text(json.dumps([job.file for job in jobs]))
    answers: list[dict[str, list[int]]] = json.loads(peers.run(SCRIPTS[tools], listed, threads=1, tools=tools))
    return answers


def delay(signals: Iterable[int], change: int) -> int | None:
    """Return the rows from the change to the first signal after it; None if there is none.

    Examples
    --------
    >>> delay([200, 1_000, 2_000], 900), delay([200], 900)
    (100, None)
    """
    return next((row - change for row in signals if row > change), None)


def false_alarms(results: Iterable[Result], detector: str) -> tuple[int, int]:
    """Return how often a detector signals without change, and in how many rows."""
    given = [one for one in results if detector in one.signals]
    n_alarms = sum(row <= one.quiet_rows for one in given for row in one.signals[detector])
    return n_alarms, sum(one.quiet_rows for one in given)


def detectors(results: Sequence[Result]) -> list[str]:
    """Return all detectors: Perennial's ways, then the peers."""
    ours = dict.fromkeys(name for one in results for name in one.signals if name not in ORDER)
    return [*ours, *ORDER]


def shown(detector: str) -> str:
    """Name a detector and what it is fed with."""
    return f"{detector}, {ORDER[detector]}" if detector in ORDER else detector


def delays(results: Sequence[Result], names: Sequence[str]) -> Iterator[str]:
    """Yield the table of delays, missed changes and false alarms."""
    changes = [(name, kind) for name, kinds in KINDS.items() for kind in kinds if kind != "none"]
    heads = [name if name in PUBLIC else f"{name}, {kind}" for name, kind in changes]
    yield line("detector", *heads, "missed", "false alarms per 10,000 rows")
    yield "|---|" + "---:|" * (len(heads) + 2)
    for detector in names:
        found = [of_change(results, detector, name, kind) for name, kind in changes]
        every = [one for part in found for one in part]
        n_alarms, n_rows = false_alarms(results, detector)
        missed = f"{every.count(None)} of {len(every)}"
        yield line(shown(detector), *map(delay_text, found), missed, f"{1e4 * n_alarms / n_rows:.2f}")


def of_change(results: Sequence[Result], detector: str, name: str, kind: Kind) -> list[int | None]:
    """Return the delays of a detector on the streams of a kind."""
    return [
        delay(one.signals[detector], one.change)
        for one in results
        if (one.job.name, one.job.kind) == (name, kind) and one.change is not None and detector in one.signals
    ]


def delay_text(found: Sequence[int | None]) -> str:
    """Format the median of the delays and how many changes were missed.

    Examples
    --------
    >>> delay_text([100, 300, None]), delay_text([None, None]), delay_text([])
    ('200 (1 of 3 missed)', 'missed', '–')
    """
    known = [one for one in found if one is not None]
    if not known:
        return "missed" if found else "–"
    missed = len(found) - len(known)
    return f"{np.median(known):,.0f}" + (f" ({missed} of {len(found)} missed)" if missed else "")


def alarms(results: Sequence[Result], names: Sequence[str]) -> Iterator[str]:
    """Yield the table of false alarms by stream: number and rows without change."""
    yield line("detector", *KINDS)
    yield "|---|" + "---:|" * len(KINDS)
    for detector in names:
        parts = [false_alarms([one for one in results if one.job.name == name], detector) for name in KINDS]
        yield line(shown(detector), *(f"{n_alarms} in {n_rows:,}" if n_rows else "–" for n_alarms, n_rows in parts))


def champions(results: Sequence[Result]) -> Iterator[str]:
    """Yield the table of the champions' mean errors before and after the change."""
    yield line("stream", "streams", "error before the change", "error after it")
    yield "|---|---:|---:|---:|"
    for name, kinds in KINDS.items():
        for kind in kinds:
            found = [one.error for one in results if (one.job.name, one.job.kind) == (name, kind)]
            if found and kind != "none":
                before, after = np.mean(found, axis=0)
                yield line(f"{name}, {kind}", len(found), f"{before:.3g}", f"{after:.3g}")


def line(*cells: object) -> str:
    """Format one line of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
