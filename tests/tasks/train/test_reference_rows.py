"""The sample of training rows in a bundle: small, repeatable, and read with suspicion."""

from pathlib import Path

import pandas as pd
import pytest

from core.errors import BundleError
from tasks.train.reference_rows import MAX_ROWS, REFERENCE_ROWS, read_reference_rows, reference_rows_file
from tests.core.samples import credit_frame, task_config, task_contract

CONTRACT = task_contract(task_config("binary"))


def _rows(n: int) -> pd.DataFrame:
    return credit_frame(n, 1).assign(default="0", id=range(n), owner=True)


def test_few_rows_are_all_kept_and_many_are_sampled(tmp_path: Path) -> None:
    """The contract's columns and the target come back, nothing else; the same seed draws the same rows."""
    (tmp_path / REFERENCE_ROWS).write_bytes(reference_rows_file(_rows(40), CONTRACT, seed=1))
    found = read_reference_rows(tmp_path, CONTRACT)
    assert found.columns.to_list() == [*CONTRACT.raw_columns, "default"]
    pd.testing.assert_series_equal(found["income"], _rows(40)["income"])
    many = _rows(MAX_ROWS + 500)
    assert reference_rows_file(many, CONTRACT, seed=1) == reference_rows_file(many, CONTRACT, seed=1)
    (tmp_path / REFERENCE_ROWS).write_bytes(reference_rows_file(many, CONTRACT, seed=1))
    assert len(read_reference_rows(tmp_path, CONTRACT)) == MAX_ROWS


def test_a_bundle_from_before_monitoring_says_what_to_do(tmp_path: Path) -> None:
    """There is nothing to draw beside later rows."""
    with pytest.raises(BundleError, match=r"before models were monitored.*train the model again"):
        read_reference_rows(tmp_path, CONTRACT)


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"PAR1", _rows(10).to_parquet(), _rows(MAX_ROWS + 1)[[*CONTRACT.raw_columns, "default"]].to_parquet()],
)
def test_another_file_in_its_place_is_refused(tmp_path: Path, spoilt: bytes) -> None:
    """Nothing at all, no Parquet, other columns, too many rows."""
    (tmp_path / REFERENCE_ROWS).write_bytes(spoilt)
    with pytest.raises(BundleError, match="train the model again"):
        read_reference_rows(tmp_path, CONTRACT)
