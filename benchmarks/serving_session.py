"""How ONNX Runtime's session is set up, measured on the demo model's graph: optimisation, memory, threads.

Run ``python -m benchmarks.serving_session``. Each is timed in turns, so that what else the machine does meets all of
them; the least of the times counts.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import onnxruntime

from benchmarks.serving_project import ROOT, trained_project
from core.feature_contract import FeatureContract
from serving.model.rows import RowReader

LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
SIZES = (1, 100)
ROUNDS = 15
SECONDS = 0.05
"""Of each timing."""

Setting = tuple[str, bool, int]


def main() -> None:
    """Print one Markdown table."""
    scratch = ROOT / "var" / "bench"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        project = trained_project(Path(folder))
        bundle = next((project.root / "var" / "mlruns" / "credit" / "models").glob("*/artifacts"))
        contract = FeatureContract.from_dict(json.loads((bundle / "contract.json").read_text()))
        reader = RowReader(contract, max(SIZES))
        read = [reader.read(json.dumps({"rows": project.rows[:size]}).encode()) for size in SIZES]
        columns = [reader.columns(rows.values) for rows in read]
        times = measured((bundle / "model.onnx").read_bytes(), columns)
    print("| graph optimisation | memory reused | threads | one row, µs | 100 rows, µs |\n|---|---|---:|---:|---:|")
    for (level, reused, threads), (one, many) in times.items():
        print(f"| {level} | {'yes' if reused else 'no'} | {threads} | {one:.1f} | {many:.0f} |")


def measured(graph: bytes, columns: Sequence[Sequence[Any]]) -> dict[Setting, list[float]]:
    """Return microseconds per call, for each setting and each size of request."""
    sessions = {setting: _session(graph, *setting) for setting in product(LEVELS, (True, False), (1, 2))}
    best = {setting: [float("inf")] * len(columns) for setting in sessions}
    for _ in range(ROUNDS):
        for setting, session in sessions.items():
            for place, feed in enumerate(columns):
                best[setting][place] = min(best[setting][place], _microseconds(session, feed))
    return best


def _session(graph: bytes, level: str, reused: bool, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.enable_cpu_mem_arena = options.enable_mem_pattern = reused
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _microseconds(session: onnxruntime.InferenceSession, columns: Sequence[Any]) -> float:
    feed = dict(zip((item.name for item in session.get_inputs()), columns, strict=True))
    wanted = [session.get_outputs()[-1].name]
    count, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < SECONDS:
        session.run(wanted, feed)
        count += 1
    return 1e6 * spent / count


if __name__ == "__main__":
    main()
