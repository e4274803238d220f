"""A project with the whole platform under it: Prefect, MLflow, worker, relay and service, on PostgreSQL."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import psutil
from ruamel.yaml import YAML

from config.platform import PlatformState, read_platform
from config.schema import SimulatedDrift, SimulatedSource
from config.settings import Settings
from core.data.simulate import simulate
from core.errors import StorageError

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = ("default_next_month", "application_date", "application_id")

Found = TypeVar("Found")


@dataclass
class Stage:
    """A project on disk, and the commands people give in it.

    Parameters
    ----------
    settings
        Where the project lies.
    postgres
        Address of the database that holds everything.
    secrets
        Further variables of the platform.
    """

    settings: Settings
    postgres: str
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Environment of commands: nothing of the process that runs the tests."""
        dropped = ("PREFECT_", "PERENNIAL_", "MLFLOW_", "PYTEST_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        return clean | {"PERENNIAL_ROOT": str(self.settings.root), **self.secrets}

    def run(self, *arguments: str, expected: tuple[int, ...] = (0,), seconds: float = 240) -> str:
        """Run a command of ours and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode in expected, f"perennial {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @property
    def state(self) -> PlatformState:
        """Addresses of the platform that runs."""
        state = read_platform(self.settings.var)
        assert state is not None, "the platform does not run"
        return state

    def ask(self, path: str, body: Any = None) -> Any:
        """Ask the service for a JSON document."""
        return ask(f"http://127.0.0.1:{self.state.serving_port}{path}", body)

    def prefect(self, path: str, body: Any = None) -> Any:
        """Ask Prefect's API."""
        return ask(f"{self.state.prefect_api_url}{path}", body)

    def processes(self, name: str) -> list[psutil.Process]:
        """Return the processes of the platform whose command line holds a text, parents first."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ", "create_time"]):
            line, environment = process.info["cmdline"] or [], process.info["environ"] or {}
            if environment.get("PERENNIAL_ROOT") == str(self.settings.root) and name in " ".join(line):
                found.append(process)
        return sorted(found, key=lambda process: process.info["create_time"])

    def kill(self, process: psutil.Process, *, tree: bool = False) -> bool:
        """Kill a process at once, with all below it where that is asked for; False where it is gone already."""
        try:
            victims = [process, *(process.children(recursive=True) if tree else [])]
            for victim in victims:
                victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            return False
        return True


@contextmanager
def platform(stage: Stage, *arguments: str) -> Iterator[Stage]:
    """Run the platform for the length of a block, on free ports."""
    ports = ("--port", "0", "--prefect-port", "0", "--mlflow-port", "0")
    try:
        stage.run("up", "--detach", "--postgres", stage.postgres, *ports, *arguments)
        yield stage
    finally:
        stage.run("down")


def ask(url: str, body: Any = None, seconds: float = 10) -> Any:
    """Ask for a JSON document; with a body by POST."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=seconds) as answer:  # noqa: S310 - our own server
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        error.close()  # it holds the answer's connection
        raise


def await_value(look: Callable[[], Found | None], seconds: float, what: str, pause: float = 0.2) -> Found:
    """Look again and again until there is something; what cannot be asked for a moment is asked again."""
    deadline = time.monotonic() + seconds
    trouble: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = look()
        except (OSError, urllib.error.URLError, ValueError, StorageError) as error:
            found, trouble = None, error
        if found:
            return found
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds:.0f} s ({trouble})")


def loans(months: int, drift_from: int = 12) -> pd.DataFrame:
    """Simulate loan applications; from a month on applicants are poorer, and what they owe tells otherwise."""
    drifts = (
        SimulatedDrift(kind="concept", month=drift_from, size=1.5),
        SimulatedDrift(kind="covariate", month=drift_from, size=0.8),
    )
    source = SimulatedSource(kind="simulated", months=months, rows_per_month=400, drifts=drifts)
    return pd.concat(simulate(source))


def add_model(stage: Stage, name: str, rows: pd.DataFrame, **sections: Any) -> Path:
    """Write rows and the model file that ``init`` infers, with some of its sections changed; return the rows' file."""
    root = stage.settings.root
    path = root / f"{name}.csv"
    rows.to_csv(path, index=False)
    target, moment, key = COLUMNS
    stage.run("init", "--data", str(path), "--target", target, "--time", moment, "--key", key, "--name", name)
    file = root / "config" / "models" / f"{name}.yaml"
    yaml = YAML()
    content = yaml.load(file.read_text())
    if "estimator" in sections.get("training", {}):
        del content["training"]["search"]
    for section, values in sections.items():
        content.setdefault(section, {}).update(values)
    with file.open("w") as stream:
        yaml.dump(content, stream)
    return path


def land(rows: pd.DataFrame, path: Path) -> None:
    """Put rows in place in one step, as whoever delivers data should."""
    temporary = path.with_suffix(".tmp")
    rows.to_csv(temporary, index=False)
    temporary.replace(path)
