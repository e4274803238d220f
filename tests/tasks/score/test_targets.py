"""Outputs at addresses of fsspec: whole under their names, once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from core.errors import ConfigError, StorageError
from tasks.score.staging import RESULT, staging_folder
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


class AwayFileSystem(MemoryFileSystem):  # type: ignore[misc] # fsspec has no types
    """A store that is away while :attr:`is_away`."""

    protocol = "away"
    is_away = True

    def put_file(self, *arguments: Any, **options: Any) -> None:
        """Store a file, unless the store is away."""
        if AwayFileSystem.is_away:
            raise OSError("connection refused by https://ada:secret@store")
        super().put_file(*arguments, **options)


@pytest.mark.parametrize("n_set_aside", [0, 1])
def test_a_store_that_is_away_costs_no_scored_row(champion: Scored, tmp_path: Path, n_set_aside: int) -> None:
    """It is a failure of storage, whose runs are repeated; the same command writes what was scored."""
    fsspec.register_implementation("away", AwayFileSystem, clobber=True)
    frame = rows_to_score(100)
    frame.loc[: n_set_aside - 1, "income"] = float("inf")
    frame.to_parquet(tmp_path / "rows.parquet")
    address = f"away://out-{n_set_aside}/scores.parquet"
    AwayFileSystem.is_away = True
    with pytest.raises(StorageError, match=r"cannot be written: connection refused .* it goes on from here") as refused:
        champion.score(tmp_path / "rows.parquet", address)
    assert "secret" not in str(refused.value)
    folder = staging_folder(champion.request(tmp_path / "rows.parquet", address), champion.settings)
    assert (folder / RESULT).exists()
    AwayFileSystem.is_away = False
    assert champion.score(tmp_path / "rows.parquet", address).n_set_aside == n_set_aside
    assert champion.score(tmp_path / "rows.parquet", address).status == "unchanged"
    assert not folder.exists()
