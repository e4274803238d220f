"""The flow ``score`` end to end: a champion of the demo model, a real Prefect server, parts in threads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from config.schema import SimulatedSource
from config.settings import Settings
from core.data.simulate import simulate
from core.errors import SchemaError
from tasks.score import plan as planning

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(900),
    # Evidently 0.7.23, Great Expectations 1.24 and MLflow 3.17 use names that pandas 3, NumPy 2 and their own web
    # frameworks deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"source.rows_per_month": "600", "source.months": "6", "training.cv": "0", "gate.min_rows": "100"}


def test_rows_are_scored_by_parts_in_threads(
    prefect_api: str, project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All parts end in the output, in order; a second run does nothing; a bad input fails and leaves nothing."""
    assert prefect_api
    from flows.score import score
    from flows.train import train

    for room in ("models", "expectations"):
        shutil.copytree(ROOT / "config" / room, project.root / "config" / room, dirs_exist_ok=True)
    assert train("credit", overrides=SMALL).status == "promoted"
    rows = pd.concat(simulate(SimulatedSource(kind="simulated", months=1, rows_per_month=2000, seed=3)))
    table = pa.Table.from_pandas(rows, preserve_index=False)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=100)
    monkeypatch.setattr(planning, "PART_ROWS", 100)

    outcome = score("credit", str(tmp_path / "rows.parquet"), str(tmp_path / "scores.parquet"))
    assert (outcome.status, outcome.n_scored, outcome.version) == ("scored", 2000, 1)
    found = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    assert found["row"].tolist() == list(range(2000))
    assert found["application_id"].tolist() == rows["application_id"].tolist()
    again = score("credit", str(tmp_path / "rows.parquet"), str(tmp_path / "scores.parquet"))
    assert (again.status, again.id) == ("unchanged", outcome.id)

    pq.write_table(table.drop_columns(["income"]), tmp_path / "bad.parquet")
    with pytest.raises(SchemaError, match="lacks columns"):
        score("credit", str(tmp_path / "bad.parquet"), str(tmp_path / "other.parquet"))
    names = sorted(path.name for path in tmp_path.iterdir() if path.name != "project")
    assert names == ["bad.parquet", "rows.parquet", "scores.parquet"]
