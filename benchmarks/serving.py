"""The prediction service beside other ways to serve the same fitted pipeline, in one run.

Run ``python -m benchmarks.serving``; ``--only NAME …`` takes some of the servers, ``--rounds 3`` the median of three
measurements, ``--quick`` a second each. Linux only; the load comes from wrk. The demo model is trained in a project of
its own. One server at a time runs, on the first cores, one per worker; the load comes from the last core. Bodies
rotate: 200 different ones of one row, and as many of 100 rows. At full load each connection sends as soon as it has its
answer; at equal load requests come at fixed times, the same for all, and latency counts from these. Each server must
give the pipeline's probabilities before it is measured, and Perennial must have logged all it has answered. Where
others took much of the processor time, measure again on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import statistics
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

from benchmarks.serving_load import Load, full_load, median, steady_load, wrk_version
from benchmarks.serving_project import ROOT, Project, trained_project
from benchmarks.serving_servers import BENTOML, Running, Server, make_bento_environment, running, servers

CONNECTIONS = (1, 16)
STEADY = 5
"""Times the seconds of a full load: the rate is low, and a p99 wants a thousand requests."""

CHECKED = 50
TOLERANCE = 1e-5

AIMS = {"textbook": 25.0, "mlflow": 25.0, "bentoml": 3.0, "bentoml-batching": 3.0, "noop": 0.7, "noop-unread": 0.0}
"""Requests per second of Perennial, in those of others, at the least; 0: no aim, such a server reads no request."""


@dataclass(frozen=True)
class Case:
    """Rows of a request, and requests per second that even the slowest server takes."""

    n_rows: int
    rate: int

    @property
    def title(self) -> str:
        """Words for the rows."""
        return "one row" if self.n_rows == 1 else f"{self.n_rows} rows"


CASES = (Case(1, 30), Case(100, 20))


@dataclass(frozen=True)
class Figures:
    """What was measured of a server in a case.

    Parameters
    ----------
    full, steady
        Full load by connections, and equal load.
    memory_mib
        After both.
    others
        Share of the processor time meanwhile that others on the machine took: what makes all figures worse.
    """

    full: Mapping[int, Load]
    steady: Load
    memory_mib: float
    others: float

    @property
    def loads(self) -> tuple[Load, ...]:
        """All of them."""
        return (*self.full.values(), self.steady)


Found = dict[str, dict[Case, Figures]]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=6, help="of a measurement at full load")
    parser.add_argument("--workers", type=int, default=1, help="processes of each server")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each figure")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="servers")
    parser.add_argument("--quick", action="store_true", help="one second each")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    machine = _machine(arguments.workers)
    place = ROOT / "var" / "bench"  # on the disk where predictions are logged, not in memory
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as folder:
        project = trained_project(Path(folder))
        chosen = _chosen(servers(project, arguments.workers), arguments.only)
        seconds = 1 if arguments.quick else arguments.seconds
        found = _measured(chosen, project, seconds, arguments.workers, arguments.rounds)
    _print_tables(chosen, found)
    _print_aims(found)
    print(f"`{' '.join(['python -m benchmarks.serving', *sys.argv[1:]])}`: {machine}")


def _chosen(known: Sequence[Server], names: Sequence[str] | None) -> list[Server]:
    if strange := {*(names or ())} - {server.name for server in known}:
        sys.exit(f"no such server: {', '.join(sorted(strange))}; there are {', '.join(one.name for one in known)}")
    chosen = [server for server in known if not names or server.name in names]
    if any(server.name.startswith("bentoml") for server in chosen):
        make_bento_environment()
    return chosen


def _measured(chosen: Sequence[Server], project: Project, seconds: int, workers: int, rounds: int) -> Found:
    server_cores, load_core = _cores(workers)
    os.sched_setaffinity(0, {load_core})
    bodies = {(server.name, case): _Bodies.of(server, project, case) for server in chosen for case in CASES}
    measured: dict[str, list[dict[Case, Figures]]] = {server.name: [] for server in chosen}
    for number in range(rounds):
        for server in chosen:
            print(f"round {number + 1}: {server.name}", file=sys.stderr)
            project.forget_predictions()
            with running(server, project, server_cores) as live:
                for case in CASES:
                    _check(live, server, project, bodies[server.name, case])
                figures = {case: _figures(live, bodies[server.name, case], case.rate, seconds) for case in CASES}
            if server.name.startswith("perennial"):
                _check_log(project, figures.values())
            measured[server.name].append(figures)
    return {name: {case: _middle([one[case] for one in all_]) for case in CASES} for name, all_ in measured.items()}


def _cores(workers: int) -> tuple[Collection[int], int]:
    """Return the cores of the server, one per worker where there are as many, and that of the load."""
    *others, last = sorted(os.sched_getaffinity(0))
    return others[:workers] or [last], last


@dataclass(frozen=True)
class _Bodies:
    path: str
    contents: Sequence[bytes]
    places: Sequence[slice]
    file: Path
    content_type: str

    @classmethod
    def of(cls, server: Server, project: Project, case: Case) -> _Bodies:
        places = project.slices(case.n_rows)
        questions = [server.question(project.rows[place]) for place in places]
        contents = [server.body(content) for _, content in questions]
        file = project.pipeline.with_name(f"{server.name}-{case.n_rows}.txt")
        # In hexadecimal digits, because a body may have ends of lines.
        file.write_bytes(b"\n".join(content.hex().encode() for content in contents) + b"\n")
        return cls(questions[0][0], contents, places, file, server.content_type)


def _check(live: Running, server: Server, project: Project, bodies: _Bodies) -> None:
    """End the benchmark where a server does not give the pipeline's probabilities."""
    for content, place in zip(bodies.contents[:CHECKED], bodies.places, strict=False):
        status, answer = live.ask(bodies.path, content, server.content_type)
        if status >= 300:
            sys.exit(f"{server.name} answers {status}: {answer[:1000].decode(errors='replace')}")
        if server.probabilities is None:
            continue
        given, wanted = server.probabilities(server.answer(answer)), project.probabilities[place]
        worst = max(abs(one - other) for one, other in zip(given, wanted, strict=True))
        if not worst <= TOLERANCE:
            sys.exit(f"{server.name} is {worst:.2g} off the pipeline's probabilities")


def _check_log(project: Project, figures: Collection[Figures]) -> None:
    """End the benchmark where Perennial has answered more than it has logged."""
    n_answers = sum(load.answers for one in figures for load in one.loads)
    if (n_logged := project.n_logged()) < n_answers:
        sys.exit(f"of {n_answers:,} answered requests {n_logged:,} are in the prediction log")


def _figures(live: Running, bodies: _Bodies, rate: int, seconds: int) -> Figures:
    place = (live.port, bodies.path, bodies.file, bodies.content_type)
    full_load(*place, max(CONNECTIONS), min(seconds, 2))  # to warm it up
    began = _processor_seconds(live)
    full = {number: full_load(*place, number, seconds) for number in CONNECTIONS}
    steady = steady_load(live.port, bodies.path, bodies.contents, bodies.content_type, rate, STEADY * seconds)
    everybody, ours = (after - before for after, before in zip(_processor_seconds(live), began, strict=True))
    return Figures(full, steady, live.memory_mib(), max(0.0, 1 - ours / everybody))


def _processor_seconds(live: Running) -> tuple[float, float]:
    """Seconds that all processes have taken, and that the server, the load and this process have."""
    times = psutil.cpu_times()
    everybody = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
    return everybody, live.processor_seconds() + sum(os.times()[:4])


def _middle(figures: Sequence[Figures]) -> Figures:
    full = {number: median([one.full[number] for one in figures]) for number in CONNECTIONS}
    memory, others = (statistics.median(getattr(one, name) for one in figures) for name in ("memory_mib", "others"))
    return Figures(full, median([one.steady for one in figures]), memory, others)


def _print_tables(chosen: Sequence[Server], found: Found) -> None:
    for case in CASES:
        loads = [*(f"{number} connection{'s' * (number > 1)}" for number in CONNECTIONS)]
        heads = [f"{load}: requests/s | p50 ms | p99 ms" for load in loads]
        heads += [f"at {case.rate} requests/s: p50 ms | p99 ms", "errors | memory MiB | others' CPU"]
        print(f"| {case.title} per request | {' | '.join(heads)} |")
        print(f"|---|{'---:|' * (3 * len(CONNECTIONS) + 5)}")
        for server in chosen:
            print(f"| {server.title} | {' | '.join(_cells(found[server.name][case]))} |")
        print()


def _cells(figures: Figures) -> list[str]:
    cells = [f"{load.rate:,.0f} | {load.p50_ms:.2f} | {load.p99_ms:.2f}" for load in figures.full.values()]
    cells += [f"{figures.steady.p50_ms:.2f}", f"{figures.steady.p99_ms:.2f}"]
    errors = sum(load.errors for load in figures.loads)
    return [*cells, str(errors), f"{figures.memory_mib:,.0f}", f"{figures.others:.0%}"]


def _print_aims(found: Found) -> None:
    pairs = [(name, other) for name in found if name.startswith("perennial") for other in AIMS if other in found]
    if not pairs:
        return
    columns = [f"{case.title}, {number}" for case in CASES for number in CONNECTIONS]
    print(f"| requests/s, in another's; bold: aim missed | aim | {' | '.join(columns)} |")
    print(f"|---|---:|{'---:|' * len(columns)}")
    print("\n".join(_rate_row(found, *pair) for pair in pairs) + "\n")
    print(f"| p99 at equal load, in another's; bold: aim missed | aim | {' | '.join(case.title for case in CASES)} |")
    print(f"|---|---:|{'---:|' * len(CASES)}")
    print("\n".join(_latency_row(found, *pair) for pair in pairs) + "\n")


def _rate_row(found: Found, name: str, other: str) -> str:
    places = [(case, number) for case in CASES for number in CONNECTIONS]
    rates = [(found[name][case].full[number].rate, found[other][case].full[number].rate) for case, number in places]
    aim = f"≥ {AIMS[other]:g}" if AIMS[other] else "–"
    cells = [_cell(mine, theirs, missed=mine < AIMS[other] * theirs) for mine, theirs in rates]
    return f"| {name} / {other} | {aim} | {' | '.join(cells)} |"


def _latency_row(found: Found, name: str, other: str) -> str:
    pairs = [(found[name][case].steady.p99_ms, found[other][case].steady.p99_ms) for case in CASES]
    serves = AIMS[other] > 1
    cells = [_cell(mine, theirs, missed=serves and mine > theirs) for mine, theirs in pairs]
    return f"| {name} / {other} | {'≤ 1' if serves else '–'} | {' | '.join(cells)} |"


def _cell(mine: float, theirs: float, *, missed: bool) -> str:
    ratio = f"{mine / theirs:.2f}" if theirs else "–"
    return f"**{ratio}**" if missed else ratio


def _machine(workers: int) -> str:
    names = ("fastapi", "uvicorn", "mlflow", "scikit-learn", "onnxruntime")
    versions = [f"{name} {version(name)}" for name in names]
    cores = f"{len(os.sched_getaffinity(0))} cores ({_processor()}), load average before {os.getloadavg()[0]:.1f}"
    python = f"Python {platform.python_version()}"
    return ", ".join([f"{workers} worker(s)", python, *versions, f"bentoml {BENTOML}", wrk_version(), cores])


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
