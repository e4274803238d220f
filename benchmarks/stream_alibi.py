"""Ask alibi-detect which windows of a stream drift; runs in an environment of its own, imports nothing of Perennial.

``python stream_alibi.py <streams>``: a JSON file with a list of names of ``.npz`` files beside it, each with the rows
of the reference (``reference``, shape (m, p)) and of the stream (``features``, shape (n, p)) as numbers, and
``window_rows``. Prints a JSON list that has per stream, per detector, the last rows of the windows that drift. The test
is Kolmogorov and Smirnov's per feature with Bonferroni's correction and a level of 0.05, as by default.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from alibi_detect.cd import KSDrift  # type: ignore[import-not-found] # of the peers' environment


def main() -> None:
    """Print the answers."""
    listed = Path(sys.argv[1])
    print(json.dumps([answers(np.load(listed.parent / name)) for name in json.loads(listed.read_text())]))


def answers(stream: Any) -> dict[str, list[int]]:
    """Last rows of the windows that drift."""
    detector, rows, size = KSDrift(stream["reference"]), stream["features"], int(stream["window_rows"])
    ends = range(size, len(rows) + 1, size)
    return {"KSDrift": [end for end in ends if detector.predict(rows[end - size : end])["data"]["is_drift"]]}


if __name__ == "__main__":
    main()
