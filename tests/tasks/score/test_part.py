"""Scored files: the service's answers, ids, order, rows that are set aside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from core.prediction_ids import is_prediction_id, request_of
from tests.tasks.score.scoring import Scored, champion_project, rows_to_score, service_model

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


def test_the_answers_are_those_of_the_service(champion: Scored, tmp_path: Path) -> None:
    """Every row has the service's answer bit for bit, with id, version and time, in the input's order."""
    frame = rows_to_score()
    frame.to_parquet(tmp_path / "rows.parquet")
    outcome = champion.score(tmp_path / "rows.parquet", tmp_path / "scores.parquet")
    assert (outcome.status, outcome.n_rows, outcome.n_scored, outcome.n_set_aside) == ("scored", 500, 500, 0)
    found = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    assert found["id"].tolist() == frame["id"].tolist()
    assert found["row"].tolist() == list(range(500))
    assert found[["probability_0", "probability_1"]].to_numpy().tolist() == champion.served(frame)
    assert all(map(is_prediction_id, found["prediction_id"]))
    assert {request_of(one)[1] for one in found["prediction_id"]} == set(range(500))
    assert set(found["model_version"]) == {1}
    assert len(set(found["predicted_at"])) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.parquet", "scores.parquet"]


def test_rows_that_the_contract_refuses_are_set_aside(champion: Scored, tmp_path: Path) -> None:
    """Each is in the file beside the output, with its number and the reason; the others are scored."""
    frame = rows_to_score()
    frame.loc[[7, 8], "income"] = [np.inf, 1e39]
    frame.loc[9, "region"] = "x" * 2000
    frame.loc[10, "region"] = "a\x00b"
    frame["age"] = frame["age"].astype(object).map(str)
    frame.loc[11, "age"] = "young"
    frame.loc[12, "age"] = ""
    frame.to_parquet(tmp_path / "rows.parquet")
    outcome = champion.score(tmp_path / "rows.parquet", tmp_path / "scores.parquet", features=True)
    assert (outcome.n_rows, outcome.n_scored, outcome.n_set_aside) == (500, 495, 5)
    aside = pq.read_table(tmp_path / "scores.set-aside.parquet").to_pandas()
    assert aside["row"].tolist() == [7, 8, 9, 10, 11]
    assert aside["reason"].tolist()[0] == "column 'income': expected a finite number of at most 3.403e+38, found 'inf'"
    assert aside["reason"].tolist()[4] == "column 'age': expected a number, found 'young'"
    assert aside["age"].tolist()[4] == "young"
    kept = frame.drop(index=[7, 8, 9, 10, 11])
    found = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    assert found["row"].tolist() == kept.index.tolist()
    assert found["region"].fillna("").tolist() == kept["region"].fillna("").tolist()
    numbers = kept.assign(age=pd.to_numeric(kept["age"]))
    assert found[["probability_0", "probability_1"]].to_numpy().tolist() == champion.served(numbers)


@pytest.mark.slow
def test_a_pipeline_without_a_graph_scores_as_the_service_does(tmp_path: Path) -> None:
    """To the last bits: scikit-learn's own sums may depend on how many rows come together."""
    project = champion_project(tmp_path, estimator="sklearn.neighbors.NearestCentroid")
    assert service_model(project.settings).kind == "skops"
    frame = rows_to_score()
    frame.to_parquet(tmp_path / "rows.parquet")
    assert project.score(tmp_path / "rows.parquet", tmp_path / "scores.parquet").n_scored == 500
    found = pq.read_table(tmp_path / "scores.parquet").to_pandas()
    answers = found[["probability_0", "probability_1"]].to_numpy()
    np.testing.assert_allclose(answers, project.served(frame), rtol=1e-12)
