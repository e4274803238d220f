"""Outputs at addresses of fsspec: whole under their names, once."""

from __future__ import annotations

import io
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from core.errors import ConfigError
from tests.tasks.score.scoring import Scored, rows_to_score

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


def test_a_remote_file_is_written_once(champion: Scored, tmp_path: Path) -> None:
    """With the rows that were set aside beside it; a repeat does nothing, another result does not replace it."""
    frame = rows_to_score(300)
    frame.loc[5, "income"] = float("inf")
    frame.to_parquet(tmp_path / "rows.parquet")
    memory = fsspec.filesystem("memory")
    memory.makedirs("/out", exist_ok=True)
    address = "memory://out/scores.parquet"
    first = champion.score(tmp_path / "rows.parquet", address)
    assert (first.n_scored, first.set_aside) == (299, "memory://out/scores.set-aside.parquet")
    assert sorted(memory.ls("/out", detail=False)) == ["/out/scores.parquet", "/out/scores.set-aside.parquet"]
    found = pq.read_table(io.BytesIO(memory.cat_file("/out/scores.parquet")))
    assert found.num_rows == 299
    assert champion.score(tmp_path / "rows.parquet", address).status == "unchanged"
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        champion.score(tmp_path / "rows.parquet", address, features=True)
    assert not list((champion.settings.var / "scoring").iterdir())
