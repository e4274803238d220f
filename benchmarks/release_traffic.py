"""A project, a service with two workers and clients that replay rows, for trials of releases over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from benchmarks.serving_project import PERENNIAL, environment
from config.settings import Settings
from core.prediction_ids import request_of
from tests.factories import make_project
from tests.serving.service_processes import Client, ask

READY_SECONDS = 120.0
CLIENTS = 4

NO_ANSWER = 0
"""Status of a request whose connection broke."""

Row = dict[str, Any]


@dataclass
class Town:
    """A project of one model whose service answers at a port.

    Parameters
    ----------
    root, model, port
        Where.
    rows, labels, keys
        What clients send, the truth about each row, and its entity.
    """

    root: Path
    model: str
    port: int
    rows: Sequence[Row] = field(repr=False)
    labels: Sequence[str] = field(repr=False)
    keys: Sequence[str] = field(repr=False)

    @property
    def settings(self) -> Settings:
        """Settings of the project, for steps in this process."""
        var = self.root / "var"
        return Settings(
            root=self.root,
            var=var,
            database_url=f"sqlite:///{var / 'perennial.db'}",
            mlflow_uri=f"sqlite:///{var / 'mlflow.db'}",
        )

    def run(self, *arguments: str, ends: Sequence[int] = (0,)) -> str:
        """Run a command of Perennial and return what it prints."""
        done = subprocess.run(
            [*PERENNIAL, *arguments],
            check=False,
            cwd=self.root,
            env=environment(self.root) | {"PERENNIAL_WARM": "0"},
            capture_output=True,
            text=True,
        )
        if done.returncode not in ends:
            sys.exit(f"perennial {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def change(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the model file."""
        path, yaml = self.root / "config" / "models" / f"{self.model}.yaml", YAML()
        content = yaml.load(path.read_text())
        change(content)
        with path.open("w") as file:
            yaml.dump(content, file)


@dataclass
class Answer:
    """What a client got: status, variant and version, id, seconds, and the number of the row that it sent."""

    status: int
    variant: str
    version: int
    id: str
    seconds: float
    place: int


def project(folder: Path, model: str, frame: pd.DataFrame, target: str, key: str) -> Path:
    """Make a project with rows in a folder, let ``init`` write its model file, and return its root."""
    root = make_project(folder).root
    frame.to_parquet(root / f"{model}.parquet")
    Town(root, model, 0, (), (), ()).run("init", "--data", f"{model}.parquet", "--target", target, "--key", key)
    return root


def rows_of(frame: pd.DataFrame, columns: Mapping[str, Sequence[str]], key: str) -> list[Row]:
    """Return rows as requests bring them: categories as texts, numbers as numbers, with their key."""
    sent = pd.DataFrame({name: frame[name].astype(float) for name in columns.get("numeric", ())})
    for name in columns.get("categorical", ()):
        sent[name] = frame[name].astype(str)
    sent[key] = frame[key].astype(str)
    rows: list[Row] = json.loads(sent.to_json(orient="records", double_precision=15))
    return rows


@contextmanager
def serving(town: Town, workers: int = 2) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service until the block ends."""
    env = environment(town.root) | {"PERENNIAL_SERVE_LOG": "async"}
    with (town.root / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [*PERENNIAL, "serve", "--port", str(town.port), "--workers", str(workers)],
            cwd=town.root,
            env=env,
            stdout=log,
            stderr=log,
        )
        try:
            _await_ready(town)
            yield process
        finally:
            process.terminate()
            process.wait(60)


def _await_ready(town: Town) -> None:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        try:
            status, _, _ = asyncio.run(ask(town.port, "GET", "/health/ready"))
        except OSError:
            status = 0
        if status == 200:
            return
        time.sleep(0.2)
    sys.exit((town.root / "serve.log").read_text())


def send(town: Town, places: Sequence[int], *, clients: int = CLIENTS, pause: float = 0.0) -> list[Answer]:
    """Send rows over a few connections, and return the answers."""

    async def one(own: Sequence[int]) -> list[Answer]:
        client, found = Client(town.port), []
        for place in own:
            began = time.perf_counter()
            body = json.dumps({"rows": [town.rows[place]]}).encode()
            try:
                status, _, content = await client.ask("POST", f"/v1/models/{town.model}/predict", body)
            except ConnectionError:
                status, content = NO_ANSWER, b"{}"
            seconds = time.perf_counter() - began
            said = json.loads(content)
            first = said["predictions"][0]["id"] if status == 200 else ""
            about = (said.get("variant", ""), said.get("version", 0))
            found.append(Answer(status, *about, first, seconds, place))
            if pause:
                await asyncio.sleep(pause)
        await client.close()
        return found

    async def all_clients() -> list[Answer]:
        parts = await asyncio.gather(*(one(places[number::clients]) for number in range(clients)))
        return [answer for part in parts for answer in part]

    return asyncio.run(all_clients())


def label(town: Town, answers: Sequence[Answer]) -> None:
    """Send the labels of answered rows by the ids of their predictions."""
    items = [
        {"id": answer.id, "label": town.labels[answer.place]}
        for answer in answers
        if answer.status == 200 and request_of(answer.id)
    ]
    for start in range(0, len(items), 1000):
        body = json.dumps({"labels": items[start : start + 1000]}).encode()
        status, _, content = asyncio.run(ask(town.port, "POST", f"/v1/models/{town.model}/labels", body))
        if status >= 300:
            sys.exit(f"the labels were refused: {status} {content!r}")


def quiet_environment() -> None:
    """Keep what MLflow and others would send away."""
    os.environ.setdefault("DO_NOT_TRACK", "true")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
