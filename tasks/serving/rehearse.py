"""Rehearse a bundle's serving: training stores rows and outputs; at judging, a fresh process predicts them again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any, Self, cast

import numpy.typing as npt
import pandas as pd
import psutil
from pydantic import TypeAdapter, ValidationError

from config.schema import Gate
from config.settings import PACKAGES
from core.feature_contract import FeatureContract
from core.gate.decision import ServingVerdict
from core.train.rehearsal import rehearsal_frame
from tasks.registry.bundle import example_rows

COMMAND = (sys.executable, "-m", "serving.rehearsal.rehearse")
TIMEOUT_SECONDS = 300.0

BUSY_SHARE = 0.5
"""A process that was stopped after less CPU time than this share of its time had to wait for the machine."""

_KILLED = {-signal.SIGKILL: "SIGKILL, as by the system when memory is short", -signal.SIGTERM: "SIGTERM"}

# The only environment variables of the process, so that a malicious bundle finds no secret.
PASSED_ON = (
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "PATH",
    "PYTHONPATH",
    "SYSTEMROOT",
    "TMPDIR",
    "TZ",
)


def rehearsal_table(frame: pd.DataFrame, output: npt.NDArray[Any], contract: FeatureContract) -> bytes:
    """Return a Parquet file of the rows that a rehearsal predicts, with the training pipeline's outputs.

    Parameters
    ----------
    frame, output
        Raw rows of the holdout, and the pipeline's outputs: probabilities (n, k) or values (n,).

    Returns
    -------
    bytes
        Content of the bundle's ``rehearsal.parquet``: first the rows of its input example, then up to 1,000 evenly
        spread ones, see :func:`core.train.rehearsal.rehearsal_frame`.
    """
    places = example_rows(frame.reset_index(drop=True), contract).index.to_numpy()
    content = BytesIO()
    rehearsal_frame(frame, output, contract, places).to_parquet(content, index=False)
    return content.getvalue()


class Rehearsal:
    """A rehearsal in a separate process, which imports serving's libraries at once and then waits for a bundle.

    The process ends with the block, or with this process.

    Parameters
    ----------
    command
        Reads a question and prints a :class:`~core.gate.decision.ServingVerdict` as its last line; :data:`COMMAND` if
        empty.
    timeout_seconds
        Maximum time from the question to the verdict; a process that takes longer is killed.
    """

    def __init__(self, command: Sequence[str] = (), timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout_seconds = timeout_seconds
        self._deadline = time.monotonic() + timeout_seconds
        # Files, not pipes: a pipe is not read while the gate computes, and a full pipe would block the process.
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the block is left
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the block is left
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command or COMMAND,
            stdin=subprocess.PIPE,
            stdout=self._printed,
            stderr=self._errors,
            cwd=PACKAGES,
            env=_environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
        self._printed.close()
        self._errors.close()

    def ask(self, folder: Path, manifest_sha256: str, trusted: Sequence[str], gate: Gate) -> None:
        """Start the rehearsal of a bundle.

        Parameters
        ----------
        folder
            A private copy of the bundle, kept until the rehearsal has finished.
        manifest_sha256
            Hash of its manifest as it was registered.
        trusted
            Types the stored pipeline may contain, see :func:`core.train.trust.trusted_types`.
        gate
            Section of the model file with the latency limit.
        """
        question = {
            "folder": str(folder.resolve()),
            "manifest": manifest_sha256,
            "trusted": list(trusted),
            "max_latency_ms": gate.max_latency_ms,
        }
        self._deadline = time.monotonic() + self._timeout_seconds
        # If the process has already ended, :meth:`finish` reports the missing verdict.
        with suppress(BrokenPipeError), cast("IO[bytes]", self._process.stdin) as asked:
            asked.write(json.dumps(question).encode() + b"\n")

    def finish(self) -> ServingVerdict:
        """Wait for the verdict; a process that crashes or takes too long has failed."""
        try:
            status = self._process.wait(max(0.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return self._stopped()
        if status in _KILLED:
            return _busy(f"the process of the serving rehearsal was killed from outside ({_KILLED[status]})")
        lines = _lines(self._printed)
        try:
            return TypeAdapter(ServingVerdict).validate_json(lines[-1] if status == 0 and lines else "")
        except ValidationError:
            last = "; ".join(_lines(self._errors)[-1:]) or "no output"
            return _failed(f"the process of the serving rehearsal failed (exit {status}): {last[:500]}")

    def _stopped(self) -> ServingVerdict:
        """Judge a process that took too long by whether it computed, or waited for a processor."""
        times = psutil.Process(self._process.pid).cpu_times()
        worked, limit = times.user + times.system, self._timeout_seconds
        took = f"the rehearsal of serving took longer than {limit:g} s and was stopped"
        if worked < BUSY_SHARE * limit:
            return _busy(f"{took}, of which it had a processor for {worked:.2g} s: the machine was too busy")
        return _failed(took)


def rehearsed(ask: Callable[[Rehearsal], None], first: Rehearsal, command: Sequence[str] = ()) -> ServingVerdict:
    """Finish a rehearsal; if the machine was too busy for it, rehearse once more in a new process.

    The first one may have run beside the computations of the gate, which end before this is called.

    Parameters
    ----------
    ask
        Asks a rehearsal, see :meth:`Rehearsal.ask`.
    first
        The rehearsal that was asked before.
    command
        As in :class:`Rehearsal`.
    """
    verdict = first.finish()
    if verdict.passed is not None:
        return verdict
    with Rehearsal(command) as second:
        ask(second)
        return second.finish()


def _environment() -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    # OpenMP threads that spin while they wait would increase the measured latency beside the gate's computations.
    return {**passed_on, "OMP_WAIT_POLICY": "PASSIVE"}


def _lines(file: Any) -> list[str]:
    file.seek(0)
    return [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]


def _failed(reason: str) -> ServingVerdict:
    return ServingVerdict(False, "", 0, None, None, None, None, (reason,))


def _busy(reason: str) -> ServingVerdict:
    return ServingVerdict(None, "", 0, None, None, None, None, (reason,))
