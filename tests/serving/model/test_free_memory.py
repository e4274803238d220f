"""Freed memory goes back to the operating system."""

from __future__ import annotations

import ctypes
import sys

import psutil
import pytest

from serving.model.free_memory import return_free_memory

PARTS, PART = 4000, 16_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other C libraries return memory by themselves or not")
def test_small_freed_parts_go_back() -> None:
    """The last part stays in use, so that the C library cannot shrink the heap from its end."""
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.free.argtypes = [ctypes.c_void_p]
    parts = [library.malloc(PART) for _ in range(PARTS)]
    for part in parts:
        ctypes.memset(part, 1, PART)
    for part in parts[:-1]:
        library.free(part)
    kept = psutil.Process().memory_info().rss
    return_free_memory()
    assert kept - psutil.Process().memory_info().rss > PARTS * PART / 2
    library.free(parts[-1])
