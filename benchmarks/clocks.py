"""Clocks of a measurement, and the check that it did what it measures."""

from __future__ import annotations

import time


def clocks() -> tuple[float, float]:
    """Wall and processor seconds."""
    return time.perf_counter(), time.process_time()


def since(started: tuple[float, float]) -> tuple[float, float]:
    """Wall and processor seconds since then."""
    wall, cpu = clocks()
    return wall - started[0], cpu - started[1]


def check(held: bool, n_rows: int) -> None:
    """End the benchmark where a measurement was not one."""
    if not held:
        raise SystemExit(f"the measurement at {n_rows:,} rows did not do what it measures")
