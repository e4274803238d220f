"""The servers that ``benchmarks.serving`` compares: how each is started, asked and understood.

Each as its documentation starts it; FastAPI without its access log, which weighs on an empty handler.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
from filelock import FileLock

from benchmarks.serving_load import HOST, TIMEOUT_SECONDS
from benchmarks.serving_project import MODEL, PERENNIAL, ROOT, Project, Row, environment

BENTOML = "1.4.40"
SAME = ("httptools", "joblib", "numpy", "pandas", "pydantic", "scikit-learn", "scipy", "uvicorn", "uvloop")
"""What BentoML's environment has in the versions of this one. BentoML does without httptools and uvloop; it is faster
with them, and all others have them."""

JSON = "application/json"
ARROW = "application/vnd.apache.arrow.stream"
PREDICT = f"/v1/models/{MODEL}/predict"

PORT = "PORT"
"""Stands for the port in a command."""

START_SECONDS = 90
STOP_SECONDS = 30

Question = tuple[str, Any]
"""Path and content of a request."""


@dataclass(frozen=True)
class Server:
    """A way to serve the model.

    Parameters
    ----------
    name, title
        On the command line, and in the tables.
    command, variables
        What starts it, and environment variables it takes besides those of a project.
    question
        Request about some rows.
    probabilities
        Reads them from an answer; None for a server that knows none.
    """

    name: str
    title: str
    command: tuple[str, ...]
    question: Callable[[Sequence[Row]], Question]
    probabilities: Callable[[Any], list[float]] | None
    variables: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON

    def body(self, content: Any) -> bytes:
        """Write a request's content; bytes are one already."""
        return content if isinstance(content, bytes) else json.dumps(content, separators=(",", ":")).encode()

    def answer(self, body: bytes) -> Any:
        """Read an answer's content."""
        return json.loads(body) if self.content_type == JSON else pa.ipc.open_stream(body).read_all()


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    port: int
    process: psutil.Process

    def ask(self, path: str, body: bytes, content_type: str = JSON) -> tuple[int, bytes]:
        """Post a body; status and content of the answer."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("POST", path, body, {"Content-Type": content_type})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def memory_mib(self) -> float:
        """Memory of its processes; what several of them share counts once."""
        return float(sum(process.memory_full_info().pss for process in self._tree())) / 2**20

    def processor_seconds(self) -> float:
        """Processor time its processes have taken."""
        return float(sum(sum(process.cpu_times()[:2]) for process in self._tree()))

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


def servers(project: Project, workers: int) -> tuple[Server, ...]:
    """All of them, in the order of the tables."""
    pipeline = {"PIPELINE": str(project.pipeline), "WORKERS": str(workers)}
    mlflow = ["mlflow", "models", "serve", "--model-uri", str(project.mlflow_model), "--env-manager", "local"]
    mlflow += ["--host", HOST, "--port", PORT, "--workers", str(workers)]
    noop = _uvicorn("benchmarks.serving_noop:app", workers)
    return (
        _perennial("async", workers),
        _perennial("commit", workers),
        replace(
            _perennial("async", workers),
            name="perennial-columns",
            title="**Perennial**, log `async`, columns",
            question=lambda rows: (PREDICT, {"columns": {name: [row[name] for row in rows] for name in rows[0]}}),
        ),
        replace(
            _perennial("async", workers),
            name="perennial-arrow",
            title="**Perennial**, log `async`, Arrow",
            question=lambda rows: (PREDICT, _stream(rows)),
            probabilities=lambda answer: answer["probabilities.1"].to_pylist(),
            content_type=ARROW,
        ),
        Server(
            "textbook",
            "FastAPI, joblib, pandas: the textbook's",
            _uvicorn("benchmarks.serving_textbook:app", workers),
            lambda rows: ("/predict", rows[0]) if len(rows) == 1 else ("/predict_many", rows),
            lambda answer: answer["probabilities"] if "probabilities" in answer else [answer["probability"]],
            pipeline,
        ),
        Server(
            "mlflow",
            "`mlflow models serve`",
            (sys.executable, "-m", *mlflow),
            lambda rows: ("/invocations", {"dataframe_split": _split(rows)}),
            lambda answer: [both[1] for both in answer["predictions"]],
            {"MLFLOW_DISABLE_TELEMETRY": "true"},
        ),
        _bentoml("bentoml", "BentoML", "/predict", pipeline),
        _bentoml("bentoml-batching", "BentoML, adaptive batching", "/predict_batched", pipeline),
        Server(
            "noop",
            "FastAPI that parses the rows and does nothing",
            noop,
            lambda rows: ("/parsed", {"rows": rows}),
            None,
        ),
        Server("noop-unread", "FastAPI that does nothing at all", noop, lambda rows: ("/unread", {"rows": rows}), None),
    )


def _perennial(log: str, workers: int) -> Server:
    return Server(
        f"perennial-{log}",
        f"**Perennial**, log `{log}`",
        (*PERENNIAL, "serve", "--port", PORT, "--workers", str(workers), "--log", log),
        lambda rows: (PREDICT, {"rows": rows}),
        lambda answer: [one["probabilities"]["1"] for one in answer["predictions"]],
    )


def _stream(rows: Sequence[Row]) -> bytes:
    table, out = pa.Table.from_pylist(list(rows)), io.BytesIO()
    # A column without values in these rows has no type of its own, which is taken too.
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return out.getvalue()


def _uvicorn(app: str, workers: int) -> tuple[str, ...]:
    options = ("--host", HOST, "--port", PORT, "--workers", str(workers), "--no-access-log")
    return (sys.executable, "-m", "uvicorn", app, *options)


def _bentoml(name: str, title: str, path: str, variables: Mapping[str, str]) -> Server:
    options = ("benchmarks.serving_bento:Credit", "--host", HOST, "--port", PORT)
    return Server(
        name,
        title,
        (str(_bento_interpreter()), "-m", "bentoml", "serve", *options),
        lambda rows: (path, {"rows": rows}),
        lambda answer: [float(one) for one in answer],
        {
            **variables,
            "BENTOML_DO_NOT_TRACK": "true",
            "BENTOML_HOME": str(Path(variables["PIPELINE"]).parent / "bento"),
        },
    )


def _split(rows: Sequence[Row]) -> dict[str, Any]:
    return {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}


def _bento_interpreter() -> Path:
    return ROOT / "var" / "bench" / "bentoml" / "bin" / "python"


def make_bento_environment() -> None:
    """Install BentoML where it is not there in these versions; takes a minute."""
    pins = [f"bentoml=={BENTOML}", *(f"{name}=={version(name)}" for name in SAME)]
    folder = _bento_interpreter().parents[1]
    made = folder / "pins.txt"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if made.is_file() and made.read_text() == "\n".join(pins):
            return
        shutil.rmtree(folder, ignore_errors=True)
        uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
        subprocess.run([*uv, "venv", "--python", sys.executable, str(folder)], check=True)
        install = ["pip", "install", "--python", str(_bento_interpreter()), "--compile-bytecode"]
        subprocess.run([*uv, *install, *pins], check=True)
        made.write_text("\n".join(pins))


@contextmanager
def running(server: Server, project: Project, cores: Collection[int]) -> Iterator[Running]:
    """Start a server on these cores, wait for its first answer, and end it and all it started with the block.

    Raises
    ------
    SystemExit
        It gives no answer in a minute and a half; the message has the end of what it printed.
    """
    port = _free_port()
    command = [str(port) if word == PORT else word for word in server.command]
    log = project.pipeline.with_name(f"{server.name}.log")
    with log.open("wb") as output, _on(cores):
        process = psutil.Popen(
            command,
            cwd=project.root,
            env={**environment(project.root), **server.variables},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C reaches this process alone, which ends the others
        )
    try:
        found = Running(port, process)
        _wait(found, server, project, log)
        yield found
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


@contextmanager
def _on(cores: Collection[int]) -> Iterator[None]:
    """Have processes started here run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait(found: Running, server: Server, project: Project, log: Path) -> None:
    path, content = server.question(project.rows[:1])
    deadline = time.monotonic() + START_SECONDS
    last = "no answer"
    while time.monotonic() < deadline and found.process.is_running() and found.process.status() != "zombie":
        try:
            status, answer = found.ask(path, server.body(content), server.content_type)
        except OSError:
            time.sleep(0.2)
            continue
        if status < 300:
            return
        last = f"{status} {answer.decode(errors='replace')}"
        time.sleep(0.2)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise SystemExit(f"{server.name} gives no prediction: {last[:1000]}\n{tail}")


def _end(process: psutil.Process) -> None:
    try:
        tree = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    process.terminate()
    _, alive = psutil.wait_procs(tree, timeout=STOP_SECONDS)
    for left in alive:
        left.kill()
    psutil.wait_procs(alive, timeout=STOP_SECONDS)
