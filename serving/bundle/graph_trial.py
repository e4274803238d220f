"""Run a graph on one row, with bounds on memory and time.

Harmless operators can be chained: thirty Concat nodes that each double a value make a billion numbers from one. The
graph runs without optimisations or constant folding, in an arena whose size ONNX Runtime limits.
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
"""Most memory of all values of one row together, without the weights."""

MAX_SECONDS = 0.3
"""CPU time, not wall time: the load of the machine must not count against the graph."""

_LOOK_SECONDS = 0.05

_trial = threading.Lock()


def tried(content: bytes) -> None:
    """Run a graph on one row.

    Raises
    ------
    ValueError
        It has inputs that are neither numbers nor strings.
    Exception
        ONNX Runtime's errors, also when the graph exceeds a bound; see :func:`serving.bundle.graph._failures`.
    """
    import onnxruntime

    _register_bounded_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    # Weights do not count: their size is bounded by the file's.
    options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    options.add_session_config_entry("session.disable_prepacking", "1")
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    feed = {item.name: _cell(item.type) for item in session.get_inputs()}
    run = onnxruntime.RunOptions()
    run.log_severity_level = 4
    run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    # All trials share one arena, so only one may run at a time.
    with _trial, _stopped_in_time(run):
        session.run(None, feed, run)


def _cell(kind: str) -> npt.NDArray[Any]:
    if kind == "tensor(float)":
        return np.zeros((1, 1), dtype=np.float32)
    if kind == "tensor(string)":
        return np.array([["a"]], dtype=object)
    raise ValueError(f"expected inputs of numbers or strings, found {kind[:60]!r}")


@cache
def _register_bounded_memory() -> None:
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    # 1 (kSameAsRequested): allocate the requested size, not the next power of two.
    bounds = onnxruntime.OrtArenaCfg({"max_mem": MAX_VALUES_BYTES, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(place, bounds)


@contextmanager
def _stopped_in_time(run: Any) -> Iterator[None]:
    """Terminate a run when its thread exceeds its CPU time; the run stops after the current operator."""
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
