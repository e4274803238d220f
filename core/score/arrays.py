"""Arrow arrays that share the memory of NumPy arrays; ``pyarrow.array`` would import pandas to look at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_numbers(values: npt.NDArray[Any], absent: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return float64 or int64 values, shape (n,), as an Arrow array; null where ``absent``, shape (n,), says so."""
    import pyarrow as pa

    kind = pa.float64() if values.dtype == np.float64 else pa.int64()
    known = None if absent is None or not absent.any() else pa.py_buffer(np.packbits(~absent, bitorder="little"))
    shared = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(kind, len(values), [known, shared])


def arrow_mask(values: npt.NDArray[np.bool_]) -> pa.Array:
    """Return booleans, shape (n,), as an Arrow array."""
    import pyarrow as pa

    packed = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, packed])
