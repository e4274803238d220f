"""Processes that start with the large libraries imported: forks of one process that has imported them.

A training starts two processes beside it, and a command is one itself; each imports Evidently, scikit-learn or
MLflow for seconds of a processor. The tests start hundreds. Here they are forks of a process in which these libraries
are imported and nothing else has happened: processes of their own, with their own environment, folder and streams, in
which our modules run as ``python -m`` runs them. What is about a start of its own is started by the real interpreter.

``python tests/warm.py FOLDER`` makes ``FOLDER/python`` and ``FOLDER/perennial`` and answers them until it is killed.
"""

from __future__ import annotations

import array
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

LIBRARIES = (
    "apprise",
    "duckdb",
    "evidently",
    "evidently.presets",
    "evidently.metrics",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "mlflow",
    "mlflow.pyfunc",
    "mlflow.sklearn",
    "mlflow.store.tracking.sqlalchemy_store",
    "pyarrow.parquet",
    "scipy.stats",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "skl2onnx",
    "skops.io",
)

LAUNCHER = """#!{python} -SI
import array, json, os, socket, sys

words = sys.argv[1:]
command = {command}
steps = (["-m", "tasks.monitor.follow_up"], ["-m", "serving.rehearsal.rehearse"])
warm = words[:1] != ["serve"] if command else words[:2] in steps
if not warm:
    os.execv({python!r}, [{python!r}, *(["-m", "cli"] if command else []), *words])
module, words = ("cli", words) if command else (words[1], words[2:])
told = {{"module": module, "words": words, "folder": os.getcwd(), "environment": dict(os.environ), "command": command}}
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect({address!r})
    connection.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))])
    content = json.dumps(told).encode()
    connection.sendall(len(content).to_bytes(8, "big") + content)
    status = connection.recv(4)
if len(status) < 4:
    sys.exit("the process that forks is gone")
status = int.from_bytes(status, "big", signed=True)
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def main(folder: Path) -> None:
    """Import, then fork for each request."""
    for name in LIBRARIES:
        importlib.import_module(name)
    # A fork lacks the threads of the libraries; the allocator's own are begun again.
    threads = {(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()}
    assert threads <= {Path("/proc/self/comm").read_text().strip(), "jemalloc_bg_thd"}, threads
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    address = str(folder / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        for name in ("perennial", "python"):
            _write_launcher(folder / name, address, command=name == "perennial")
        while True:
            connection = listener.accept()[0]
            if os.fork() == 0:
                listener.close()
                break
            connection.close()
    _keep(connection, folder)


def _write_launcher(path: Path, address: str, *, command: bool) -> None:
    part = path.with_suffix(".part")
    part.write_text(LAUNCHER.format(python=sys.executable, address=address, command=command))
    part.chmod(0o755)
    part.replace(path)


def _keep(connection: socket.socket, folder: Path) -> None:
    """Run what was asked in a fork; it ends when the one who asked does, and is told how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(12))
    streams = array.array("i")
    streams.frombytes(ancillary[0][2][:12])
    told = json.loads(_exactly(connection, int.from_bytes(_exactly(connection, 8), "big")))
    child = os.fork()
    if child == 0:
        connection.close()
        _become(told, list(streams), folder)
        return
    for stream in streams:
        os.close(stream)
    ended = os.pidfd_open(child)
    ready, _, _ = select.select([connection.fileno(), ended], [], [])
    if ended not in ready:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        connection.sendall(status.to_bytes(4, "big", signed=True))
    finally:
        os._exit(0)


def _exactly(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size:
        content += connection.recv(size - len(content))
    return content


def _become(told: dict[str, Any], streams: list[int], folder: Path) -> None:
    """Run a module as ``python -m`` does."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115 - the streams of this process
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115 - as above
    sys.executable = str(folder / "python")
    sys.path[:0] = [path for path in os.environ.get("PYTHONPATH", "").split(":") if path]
    sys.path.insert(0, told["folder"])
    sys.argv = ["", *told["words"]]
    if told["command"]:
        sys.argv[0] = str(folder / "perennial")
        importlib.import_module("cli.__main__").run()
    else:
        runpy.run_module(told["module"], run_name="__main__", alter_sys=True)


@contextmanager
def warmed(folder: Path) -> Iterator[Path]:
    """Run the process for the length of a block; yields the folder of ``python`` and ``perennial``."""
    if sys.platform != "linux":
        yield Path(sys.executable).parent
        return
    process = subprocess.Popen([sys.executable, str(Path(__file__)), str(folder)], cwd=ROOT)
    try:
        while not (folder / "python").exists():
            assert process.poll() is None, "the process that imports the libraries ended"
            time.sleep(0.05)
        yield folder
    finally:
        process.kill()
        process.wait()


def use_warm_steps(folder: Path) -> None:
    """Let runs of this process start warm what runs beside them."""
    from tasks.monitor import follow_up
    from tasks.serving import rehearse

    for module in (follow_up, rehearse):
        vars(module)["COMMAND"] = (str(folder / "python"), *module.COMMAND[1:])


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    main(Path(sys.argv[1]))
