"""The sample of holdout rows in a bundle: in their order, with labels and predictions, and read with suspicion."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import BundleError
from tasks.train.holdout_rows import HOLDOUT_ROWS, MAX_ROWS, holdout_rows_file, read_holdout_rows
from tests.core.samples import credit_frame, task_config, task_contract

CONTRACT = task_contract(task_config("binary"))


def _file(n: int) -> bytes:
    output = np.column_stack([np.linspace(0, 1, n), 1 - np.linspace(0, 1, n)])
    return holdout_rows_file(credit_frame(n, 1), np.arange(n) % 2, output, CONTRACT)


def test_rows_come_back_in_their_order(tmp_path: Path) -> None:
    """Features, codes and probabilities stay together; many rows are thinned evenly."""
    (tmp_path / HOLDOUT_ROWS).write_bytes(_file(60))
    found = read_holdout_rows(tmp_path, CONTRACT)
    assert found is not None
    pd.testing.assert_frame_equal(found.frame, credit_frame(60, 1)[list(CONTRACT.raw_columns)], check_dtype=False)
    assert found.y.tolist() == [0, 1] * 30
    assert found.output[:, 0].tolist() == np.linspace(0, 1, 60).tolist()
    (tmp_path / HOLDOUT_ROWS).write_bytes(_file(MAX_ROWS + 5))
    assert len(read_holdout_rows(tmp_path, CONTRACT).y) == MAX_ROWS  # type: ignore[union-attr] # it is there


def test_a_version_registered_before_has_none(tmp_path: Path) -> None:
    """Its monitoring goes on without what needs them."""
    assert read_holdout_rows(tmp_path, CONTRACT) is None


@pytest.mark.parametrize("spoilt", [b"", b"PAR1", credit_frame(10, 1).to_parquet()])
def test_another_file_in_its_place_is_refused(tmp_path: Path, spoilt: bytes) -> None:
    """Nothing at all, no Parquet, other columns."""
    (tmp_path / HOLDOUT_ROWS).write_bytes(spoilt)
    with pytest.raises(BundleError, match="train the model again"):
        read_holdout_rows(tmp_path, CONTRACT)
