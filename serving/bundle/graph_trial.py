"""Ask a graph for one row where it may take neither much memory nor much time.

Operators that are harmless one by one can be chained: thirty that each put a value beside itself make a billion numbers
of one. The graph runs as it stands, nothing computed ahead, in memory that ONNX Runtime itself bounds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_VALUES_BYTES = 8 << 20
"""Of all values together that one row needs, beside the weights."""

MAX_SECONDS = 0.3
"""Of a processor, not of the clock: a busy machine is not the graph's fault."""

_LOOK_SECONDS = 0.05

_trial = threading.Lock()


def tried(content: bytes) -> None:
    """Let a graph answer one row.

    Raises
    ------
    ValueError
        It takes inputs that are no columns.
    Exception
        ONNX Runtime's errors, see :func:`serving.bundle.graph.failures`: among them that it takes more than it may.
    """
    import onnxruntime

    _register_bounded_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights are as large as the file says, and do not count.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = {item.name: _cell(item.type) for item in session.get_inputs()}
    run = onnxruntime.RunOptions()
    run.log_severity_level = 4
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    # The memory is one, and what another trial takes of it would be missing here.
    with _trial, _stopped_in_time(run):
        session.run(None, feed, run)


def _cell(kind: str) -> npt.NDArray[Any]:
    if kind == "tensor(float)":
        return np.zeros((1, 1), dtype=np.float32)
    if kind == "tensor(string)":
        return np.array([["a"]], dtype=object)
    raise ValueError(f"it takes {kind[:60]!r}, not numbers and texts")


@cache
def _register_bounded_memory() -> None:
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # 1: take as much as is asked for, and no power of two.
    bounds = onnxruntime.OrtArenaCfg({"max_mem": MAX_VALUES_BYTES, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(place, bounds)


@contextmanager
def _stopped_in_time(run: Any) -> Iterator[None]:
    """Tell a run to stop once its thread has computed too long; it does after the operator it is at."""
    clock = time.pthread_getcpuclockid(threading.get_ident())
    began, done = time.clock_gettime(clock), threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_SECONDS):
            if time.clock_gettime(clock) - began > MAX_SECONDS:
                run.terminate = True
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
