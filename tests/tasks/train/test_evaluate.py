"""The history of a champion: models of earlier moments are fitted as the champion was."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.data.rows import Rows
from core.data.split import holdout_split
from core.feature_contract import FeatureContract
from core.metrics.evaluation import evaluate, predict_output
from core.references import Lineage, Snapshot
from core.train.fitting import fit_estimator
from core.train.training_run import TrainingRun
from tasks.train.bench import Bench
from tasks.train.evaluate import fold_history
from tasks.train.fit import fit_model
from tasks.train.step_files import Evaluated
from tests.core.training_rows import training_config, training_rows

LINEAR = {"estimator": "sklearn.linear_model.LogisticRegression", "params": {"max_iter": 1000}, "cv": 3}


def _bench(config: ModelConfig, rows: Rows, folder: Path) -> Bench:
    """Fit and evaluate; nothing is stored or registered."""
    snapshot = Snapshot("credit", "v1", folder, len(rows.frame), 1)
    lineage = Lineage("0" * 64, "v1", "", "", "", "", False, "", "test")
    bench = Bench(TrainingRun(config, snapshot, lineage, folder))
    bench.rows, bench.split = rows, holdout_split(rows, config)
    bench.contract = FeatureContract.of(config, ("0", "1"))
    bench.fitted = fit_model(rows, bench.split, config, bench.contract, Settings(root=folder, var=folder), "0" * 64)
    output = predict_output(bench.fitted.pipeline, bench.holdout_frame, bench.contract)
    y = bench.y[bench.split.holdout]
    bench.evaluated = Evaluated(evaluate(y, output, bench.holdout_frame, bench.contract, config), output)
    return bench


def _turned(rows: Rows) -> Rows:
    """Turn the label in the older 45 % of the rows."""
    frame = rows.frame.copy()
    older = np.arange(len(frame)) < 0.45 * len(frame)
    frame["default"] = frame["default"].where(~older, 1 - frame["default"].astype(int)).astype(frame["default"].dtype)
    return replace(rows, frame=frame)


@pytest.mark.parametrize(("half_life", "follows"), [(None, False), (10, True)])
def test_weights_by_age_count_in_the_history(half_life: float | None, follows: bool, tmp_path: Path) -> None:
    """After a change of the rule, only a model that forgets old rows ranks the rows that follow."""
    training = LINEAR | ({} if half_life is None else {"half_life_days": half_life})
    bench = _bench(training_config(time="day", training=training), _turned(training_rows(3_000)), tmp_path)
    found = fold_history(bench)
    assert found is not None
    last = [period.value for period in found.periods if not period.holdout][-3:]
    assert len(last) == 3
    assert all((value > 0.6) == follows for value in last)


def test_a_recalibrated_model_costs_one_fit_per_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The map is the champion's; the fits are as many as the bound on their duration counts."""
    config = training_config(time="day", training=LINEAR | {"calibrate": "sigmoid"})
    bench = _bench(config, training_rows(3_000), tmp_path)
    fitted: list[str] = []

    def noted(estimator: Any, *given: Any, **named: Any) -> Any:
        fitted.append(type(estimator).__name__)
        return fit_estimator(estimator, *given, **named)

    monkeypatch.setattr("tasks.train.evaluate.fit_estimator", noted)
    found = fold_history(bench)
    assert fitted == ["LogisticRegression"] * 2
    assert found is not None
    assert {period.holdout for period in found.periods} == {False, True}
