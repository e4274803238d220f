"""Arrow arrays of NumPy's are those that Arrow makes itself."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from core.score.arrays import arrow_mask, arrow_numbers


@pytest.mark.parametrize("n", [0, 1, 8, 13])
def test_they_are_arrows_own(n: int) -> None:
    """With and without nulls, also of values that lie apart in memory."""
    floats, whole, mask = np.arange(2.0 * n)[::2], np.arange(n, dtype=np.int64), np.arange(n) % 3 == 1
    assert arrow_numbers(floats).equals(pa.array(floats))
    assert arrow_numbers(whole).equals(pa.array(whole))
    assert arrow_numbers(floats, mask).equals(pa.array(floats, mask=mask))
    assert arrow_mask(mask).equals(pa.array(mask))
    for made in (arrow_numbers(floats, mask), arrow_mask(mask)):
        made.validate(full=True)
