"""Any text can be the name of a column, from the source to the monitor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.drift.profile import reference_profile
from core.errors import SourceError
from core.feature_contract import FeatureContract
from tasks.monitor.window_counts import count_window
from tasks.source.stage import stage_rows
from tasks.validation.validate import validate_rows
from tasks.versions.batches import write_batch
from tasks.versions.rows import load_rows
from tasks.versions.snapshots import lay_out_snapshot
from tasks.versions.versions import version_data
from tests.factories import make_project

N = 60
OWN = [
    "row",
    "rows",
    "position",
    "place",
    "reason",
    "reasons",
    "hash",
    "h",
    "n",
    "first",
    "value",
    "staged_rows",
    "part_0",
]
"""Names that the project's own statements use."""

ENGINE = ["file_row_number", "filename", "rowid", "index", "level_0", "__row__", "row_number", "count_star()"]
ODD = [
    "=",
    "=at",
    "==at",
    "a b",
    'x"y',
    "it's",
    "%s",
    "%(a)s",
    ":p",
    "$1",
    "?",
    "{batch}",
    "a.b",
    "0",
    "1e5",
    "-- c",
    "é",
    "名",
]


def names() -> list[str]:
    """Words of the engine's grammar that are not plain names, names of our own, and texts that are no words."""
    with duckdb.connect() as engine:
        words = engine.execute(
            "SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'"
        ).fetchall()
    wanted = [*(word for (word,) in words), "at", "by", "glob", "show", "describe", "summarize", *OWN, *ENGINE, *ODD]
    return list(dict.fromkeys(wanted))


NAMES = names()
NUMBERS, LEVELS = NAMES[::2], NAMES[1::2]


@pytest.fixture
def project(tmp_path: Path) -> Settings:
    """Make a project with rows of these columns; each column is told from the others by its values."""
    settings = make_project(tmp_path)
    columns: dict[str, Any] = {name: np.arange(N) + place * 1000.0 for place, name in enumerate(NUMBERS)}
    columns |= {name: [f"{place}-{row % 2}" for row in range(N)] for place, name in enumerate(LEVELS)}
    frame = pd.DataFrame({"label": np.arange(N) % 2} | columns)
    frame.to_csv(settings.root / "rows.csv", index=False)
    suite = [_expected(name, max_value=place * 1000 + N - 2) for place, name in enumerate(NUMBERS)]
    suite += [_expected(name, value_set=[f"{place}-0", f"{place}-1"]) for place, name in enumerate(LEVELS)]
    (settings.root / "suite.json").write_text(json.dumps({"name": "names", "expectations": suite}))
    return settings


def _expected(column: str, **given: Any) -> dict[str, Any]:
    kind = "expect_column_values_to_be_" + ("in_set" if "value_set" in given else "between")
    return {"type": kind, "kwargs": {"column": column, **given}, "meta": {"level": "row"}}


def _config() -> ModelConfig:
    return ModelConfig.model_validate(
        {
            "model": "names",
            "task": "binary",
            "source": {"kind": "csv", "uri": "rows.csv"},
            "target": "label",
            "positive": "1",
            "features": {"numeric": NUMBERS, "categorical": LEVELS},
            "validation": {"suite": "suite.json", "max_quarantine": 0.5},
            "training": {"estimator": "sklearn.linear_model.LogisticRegression"},
            "gate": {"metric": "roc_auc", "floor": 0.6},
        }
    )


def test_any_name_is_staged_validated_stored_and_counted(project: Settings, tmp_path: Path) -> None:
    """Every column keeps its own values; the one row that fails in every column of numbers is set aside once."""
    config = _config()
    rows = stage_rows(config, project, tmp_path / "staged")
    found = pq.read_table(rows.path).to_pydict()
    assert [found[name][1] for name in NUMBERS] == [1 + place * 1000.0 for place in range(len(NUMBERS))]
    assert [found[name][1] for name in LEVELS] == [f"{place}-1" for place in range(len(LEVELS))]
    (tmp_path / "work").mkdir()
    result = validate_rows(rows, config, project, tmp_path / "work")
    assert (result.accepted, result.n_quarantined, result.rows.n_rows) == (True, 1, N - 1)
    write_batch(result.rows, config, project)
    snapshot = lay_out_snapshot("names", version_data(config, project).version, project)
    frame = load_rows(snapshot, config).frame
    assert [frame[name][1] for name in NAMES] == [found[name][1] for name in NAMES]
    contract = FeatureContract.of(config, ["0", "1"])
    y = frame["label"].astype(int).to_numpy()
    reference = reference_profile(frame, y, np.column_stack([1.0 - y, y]), contract)
    window = count_window(sorted(snapshot.path.glob("*.parquet")), reference, config, sample_rows=5, seed=1)
    assert {column.name: (sum(column.counts), column.missing) for column in window.columns} == dict.fromkeys(
        NAMES, (N - 1, 0)
    )


@pytest.mark.parametrize("name", ["at", "=", "==at", "row", "first", "file_row_number"])
def test_a_cell_that_does_not_fit_is_reported_by_its_own_column(name: str, project: Settings, tmp_path: Path) -> None:
    """Names of bound values and of row numbers are none that a column has."""
    frame = pd.read_csv(project.root / "rows.csv", dtype=str)
    frame[name] = "1"
    frame.loc[6, name] = "seven"
    frame.to_csv(project.root / "rows.csv", index=False)
    features = {"numeric": [name], "categorical": [other for other in NAMES if other != name]}
    config = ModelConfig.model_validate(_config().model_dump() | {"features": features})
    with pytest.raises(SourceError) as caught:
        stage_rows(config, project, tmp_path / "staged")
    assert f"column {name!r}: expected a number, found 1 other value ('seven'), first in row 7" in str(caught.value)
