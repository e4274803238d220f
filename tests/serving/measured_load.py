"""Load bundles in processes that have imported everything, and tell what each took.

``python -m tests.serving.measured_load FOLDER MANIFEST …`` loads sound bundles first, as a service has that is to swap
one. Then it reads lines ``{"folder": …, "manifest": …}`` and prints one for each: how it ended, the work it took, and
by how many MiB the memory grew at most.

Work is in the units of :mod:`tests.work`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from core.errors import BundleError
from core.train.trust import trusted_types
from serving.model.served import ServedModel, load_model
from tests.work import measured

TIMEOUT_SECONDS = 120
"""A guard against hanging only."""

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
    before = _memory("VmRSS")
    with measured() as work:
        end, text = _ended(question, present)
    mib = (_memory("VmHWM") - before) / 1024
    return {"end": end, "text": text[:500], "work": work.units, "mib": mib}


def _ended(question: dict[str, str], present: list[ServedModel]) -> tuple[str, str]:
    try:
        present.append(_load(question["folder"], question["manifest"]))
    except BundleError as error:
        return "refused", str(error)
    except Exception as error:  # noqa: BLE001 - the edge of a process: what else it raises is what it tells
        return type(error).__name__, str(error)
    return "loaded", ""


def _memory(kind: str) -> int:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def _load(folder: str, manifest: str) -> ServedModel:
    return load_model(Path(folder), manifest, trusted_types(), name="credit", version=1)


if __name__ == "__main__":
    main()
