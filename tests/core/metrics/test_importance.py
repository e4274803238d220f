from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.metrics.importance import MAX_ROWS, REPEATS, permutation_importance
from core.metrics.metrics import Floats
from tests.core.samples import credit_frame, task_config, task_contract


def _chances(frame: pd.DataFrame) -> Floats:
    """Give a probability by age, a little more in the north; income and owner are never looked at."""
    chance = 0.1 + 0.6 * (frame["age"] > 50) + 0.1 * (frame["region"] == "north")
    return np.column_stack([1 - chance, chance])


def _rows(n: int) -> tuple[pd.DataFrame, Floats]:
    frame = credit_frame(n, 1)
    drawn = np.random.default_rng(2).random(n) < _chances(frame)[:, 1]
    return frame, drawn.astype(int)


CONTRACT = task_contract(task_config("binary"))


def test_importance_follows_what_the_model_uses() -> None:
    """The strongest column comes first; columns the model never looks at lose exactly nothing."""
    found = permutation_importance(_chances, *_rows(2_000), CONTRACT, "roc_auc", 0)
    assert [item.feature for item in found[:2]] == ["age", "region"]
    assert found[0].mean > 0.2 > found[1].mean > 0
    assert {(item.mean, item.std) for item in found[2:]} == {(0.0, 0.0)}


def test_losses_are_positive_whatever_the_metrics_direction() -> None:
    """A rising log loss is a loss, as is a falling AUC."""
    found = permutation_importance(_chances, *_rows(2_000), CONTRACT, "log_loss", 0)
    assert found[0].feature == "age"
    assert found[0].mean > 0.1


def test_each_column_is_predicted_in_one_call() -> None:
    """All repeats of a column travel together, and only that column is changed."""
    frame, y = _rows(200)
    asked: list[pd.DataFrame] = []

    def predict(rows: pd.DataFrame) -> Floats:
        asked.append(rows)
        return _chances(rows)

    permutation_importance(predict, frame, y, CONTRACT, "roc_auc", 0)
    assert [len(rows) for rows in asked] == [200] + [200 * REPEATS] * 4
    for column, rows in zip(CONTRACT.raw_columns, asked[1:], strict=True):
        changed = [
            name for name in rows if not rows[name].equals(pd.concat([frame[name]] * REPEATS, ignore_index=True))
        ]
        assert changed == [column]
        assert rows[column].dtype == frame[column].dtype


def test_the_seed_decides_the_shuffles() -> None:
    """The same seed gives the same numbers, another seed others."""
    frame, y = _rows(500)
    first, again, other = (permutation_importance(_chances, frame, y, CONTRACT, "brier", seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("positives", [1, 400])
def test_many_rows_are_sampled_with_every_class(positives: int) -> None:
    """Of more rows than the cap a sample is used that keeps the share of each class, at least one row."""
    frame = credit_frame(20_000, 3)
    y = np.zeros(20_000, int)
    y[:positives] = 1
    sizes: list[int] = []

    def predict(rows: pd.DataFrame) -> Floats:
        sizes.append(len(rows))
        return _chances(rows)

    found = permutation_importance(predict, frame, y, CONTRACT, "roc_auc", 0)
    assert sizes[0] == MAX_ROWS
    assert all(np.isfinite(item.mean) for item in found)


def test_hundreds_of_columns_are_measured_on_fewer_rows() -> None:
    """The sample shrinks with the number of columns, so that the number of predictions is bounded."""
    names = tuple(f"x{number}" for number in range(100))
    contract = type(CONTRACT)(**{**CONTRACT.__dict__, "numeric": names, "categorical": (), "boolean": ()})
    frame = pd.DataFrame(dict.fromkeys(names, np.arange(9_000.0)))
    sizes: list[int] = []

    def predict(rows: pd.DataFrame) -> Floats:
        sizes.append(len(rows))
        return np.full((len(rows), 2), 0.5)

    permutation_importance(predict, frame, np.arange(9_000) % 2, contract, "roc_auc", 0)
    assert sizes == [2_000] + [2_000 * REPEATS] * 100
