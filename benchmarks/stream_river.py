"""Feed streams to river's drift detectors; runs in an environment of its own and imports nothing of Perennial.

``python stream_river.py <streams>``: a JSON file with a list of names of ``.npz`` files beside it, each with the
champion's ``errors`` per row, shape (n,), whether they are 0 or 1 (``binary``), and its ``scores``, shape (n,). Prints
a JSON list that has per stream, per detector, the rows (1 for the first) at which it signals drift. All settings are
river's defaults; a detector starts again by itself after a signal, as river does it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from river import drift  # type: ignore[import-not-found] # of the peers' environment


def main() -> None:
    """Print the answers."""
    listed = Path(sys.argv[1])
    print(json.dumps([answers(np.load(listed.parent / name)) for name in json.loads(listed.read_text())]))


def answers(stream: Any) -> dict[str, list[int]]:
    """Rows at which each detector signals; DDM is for errors that are 0 or 1."""
    errors, scores = stream["errors"].tolist(), stream["scores"].tolist()
    found = {
        "ADWIN": signals(drift.ADWIN(), errors),
        "Page-Hinkley": signals(drift.PageHinkley(), errors),
        "KSWIN": signals(drift.KSWIN(seed=0), scores),
    }
    if stream["binary"]:
        found["DDM"] = signals(drift.binary.DDM(), [bool(error) for error in errors])
    return found


def signals(detector: Any, values: list[Any]) -> list[int]:
    """Feed the values one by one."""
    found = []
    for row, value in enumerate(values, 1):
        detector.update(value)
        if detector.drift_detected:
            found.append(row)
    return found


if __name__ == "__main__":
    main()
