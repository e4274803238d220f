"""Load bundles in processes that have imported everything, and tell what each took.

``python -m tests.serving.measured_load FOLDER MANIFEST …`` loads sound bundles first, as a service has that is to swap
one. Then it reads lines ``{"folder": …, "manifest": …}`` and prints one for each: how it ended, the work it took, and
by how many MiB the memory grew at most.

Work is processor time in units of a fixed loop of the interpreter, which runs in the same process just before and just
after: a slow machine, or one with other work, makes both slow.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from core.errors import BundleError
from core.train.trust import trusted_types
from serving.model.served import ServedModel, load_model

TIMEOUT_SECONDS = 120
"""A guard against hanging only."""

UNIT_STEPS = 1_000_000
"""Of the loop that is one unit of work: about 30 ms of a processor of 2024."""

CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def main() -> None:
    """Answer questions until there are no more."""
    present = [_load(*pair) for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True)]
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_in_a_process(json.loads(line), present)) + "\n")
        sys.stdout.flush()


def _in_a_process(question: dict[str, str], present: list[ServedModel]) -> dict[str, Any]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.alarm(TIMEOUT_SECONDS)
        # What is mapped from files is not there yet in a process that was forked.
        _ = [_load(*pair) for pair in zip(sys.argv[1::2], sys.argv[2::2], strict=True)]
        os.write(writing, json.dumps(_measured(question, present)).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as answer:  # noqa: PTH123 - a descriptor
        content = answer.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(content) if content else {"end": f"died ({status})", "text": "", "work": 0.0, "mib": 0.0}


def _measured(question: dict[str, str], present: list[ServedModel]) -> dict[str, Any]:
    CLEAR.write_text("5")  # the most that was in memory is what is there now
    unit = _unit()
    before, began = _memory("VmRSS"), time.process_time()
    try:
        present.append(_load(question["folder"], question["manifest"]))
        end, text = "loaded", ""
    except BundleError as error:
        end, text = "refused", str(error)
    except Exception as error:  # noqa: BLE001 - the edge of a process: what else it raises is what it tells
        end, text = type(error).__name__, str(error)
    seconds, mib = time.process_time() - began, (_memory("VmHWM") - before) / 1024
    return {"end": end, "text": text[:500], "work": 2 * seconds / (unit + _unit()), "mib": mib}


def _unit() -> float:
    began, total = time.process_time(), 0
    for number in range(UNIT_STEPS):
        total ^= number
    return time.process_time() - began


def _memory(kind: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def _load(folder: str, manifest: str) -> ServedModel:
    return load_model(Path(folder), manifest, trusted_types(), name="credit", version=1)


if __name__ == "__main__":
    main()
