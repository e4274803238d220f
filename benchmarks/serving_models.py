"""One worker with one model and with many: memory, time until ready, and what a model's first request takes.

``python -m benchmarks.serving_models [--models N …] [--memory MB …] [--bundle FOLDER]``. The demo model is trained in a
project of its own, unless a bundle is given, and its bundle is copied under other names. A worker is started as the
supervisor starts it. Every model is asked one row in turn; then all are asked again in random order, so that where the
memory holds some of them only, a request finds its model there by chance. Linux only.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.serving_project import MODEL, environment, trained_project
from config.settings import PACKAGES, ServingSettings
from serving.bundle.reader import MANIFEST
from serving.instance.folder import METRICS_VARIABLE
from serving.instance.state import ModelState, ServiceState, write_state
from store.database import open_database
from tests.serving.bundles import reseal

DEFAULT_MB = 2048
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Figures:
    """What was measured of a worker.

    Parameters
    ----------
    ready
        Seconds from its start to its readiness.
    memory
        Proportional set size in MiB, after every model was asked.
    n_loaded
        Models in its memory then.
    first, again
        Milliseconds of the requests to each model in turn, and again in random order.
    """

    ready: float
    memory: float
    n_loaded: int
    first: Sequence[float]
    again: Sequence[float]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1, 10, 100])
    parser.add_argument("--memory", type=int, nargs="+", default=[DEFAULT_MB, 16], help="of loaded models, MiB")
    parser.add_argument("--bundle", type=Path, help="folder of a bundle of the demo model, in place of a training")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = given.bundle or _trained(Path(folder))
        states = [_copied(bundle, Path(folder), number) for number in range(max(given.models))]
        print("| models | bound, MiB | in memory | ready, s | worker's memory, MiB | in that of one |", end="")
        print(" first request: median ms | longest ms | again: median ms | longest ms |\n" + "|--:" * 10 + "|")
        one = None
        for megabytes in given.memory:
            for count in given.models:
                found = _measured(Path(folder), states[:count], megabytes)
                one = one or found.memory
                print(_line(count, megabytes, found, one))


def _line(count: int, megabytes: int, found: Figures, one: float) -> str:
    times = (f"{statistics.median(times):.1f} | {max(times):.1f}" for times in (found.first, found.again))
    memory = f"{found.memory:.0f} | {found.memory / one:.2f}"
    return f"| {count} | {megabytes} | {found.n_loaded} | {found.ready:.2f} | {memory} | {' | '.join(times)} |"


def _trained(folder: Path) -> Path:
    project = trained_project(folder)
    return next((project.root / "var" / "mlruns" / MODEL / "models").glob("*/artifacts"))


def _copied(bundle: Path, folder: Path, number: int) -> ModelState:
    """Copy a bundle under another name, with a manifest of its own."""
    name = f"{MODEL}-{number}"
    copy = Path(shutil.copytree(bundle, folder / "bundles" / name))
    sha256 = reseal(copy, model=name)
    data_version = str(json.loads((copy / MANIFEST).read_text())["data_version"])
    since = "2026-01-01T00:00:00+00:00"
    return ModelState(name, 1, "champion", 1, since, "gate", "better", sha256, str(copy), data_version)


def _measured(folder: Path, states: Sequence[ModelState], megabytes: int) -> Figures:
    with tempfile.TemporaryDirectory(dir=folder) as own:
        instance = Path(own)
        write_state(instance, ServiceState(tuple(states)))
        open_database(f"sqlite:///{instance / 'perennial.db'}").dispose()
        with _worker(instance, ServingSettings(models_memory_mb=megabytes, drain_seconds=0)) as (process, port):
            began = time.perf_counter()
            while _get(port, "/health/ready")[0] != 200:
                time.sleep(0.01)
            ready = time.perf_counter() - began
            while len(json.loads(_get(port, "/v1/models")[1])["models"]) < len(states):
                time.sleep(0.1)
            names = [state.name for state in states]
            body = _get(port, f"/v1/models/{names[0]}/example")[1]
            first = [_asked(port, name, body) for name in names]
            again = [_asked(port, name, body) for name in random.Random(1).choices(names, k=200)]  # noqa: S311 - an order
            time.sleep(SETTLE_SECONDS)
            memory = psutil.Process(process.pid).memory_full_info().pss / 2**20
            n_loaded = sum(model["in_memory"] for model in json.loads(_get(port, "/v1/models")[1])["models"])
    return Figures(ready, memory, n_loaded, first, again)


@contextmanager
def _worker(instance: Path, settings: ServingSettings) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    metrics = instance / "metrics"
    metrics.mkdir()
    variables = environment(instance) | {METRICS_VARIABLE: str(metrics), "OMP_NUM_THREADS": "1"}
    with socket.create_server(("127.0.0.1", 0)) as listening, (instance / "worker.log").open("wb") as log:
        signs = os.open(os.devnull, os.O_WRONLY)
        listening.set_inheritable(True)
        assignment = {
            "settings": settings.model_dump(mode="json"),
            "database_url": f"sqlite:///{instance / 'perennial.db'}",
            "instance": str(instance),
            "socket": listening.fileno(),
            "signs": signs,
            "mlflow_uri": "",
            "root": str(instance),
            "hooks": {},
        }
        process = subprocess.Popen(
            (sys.executable, "-m", "serving.processes.start", "serving.processes.worker", str(signs)),
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            pass_fds=(listening.fileno(), signs),
            cwd=PACKAGES,
            env=variables,
        )
        os.close(signs)
        assert process.stdin is not None  # noqa: S101 - stdin is a pipe
        process.stdin.write(json.dumps(assignment).encode() + b"\n")
        process.stdin.flush()
        try:
            yield process, listening.getsockname()[1]
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _asked(port: int, name: str, body: bytes) -> float:
    """Ask for the prediction of a row; return the milliseconds."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    try:
        connection.request("POST", f"/v1/models/{name}/predict", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            sys.exit(f"{name} answers {answer.status}: {content.decode(errors='replace')[:1000]}")
        return 1000 * (time.perf_counter() - began)
    finally:
        connection.close()


if __name__ == "__main__":
    main()
