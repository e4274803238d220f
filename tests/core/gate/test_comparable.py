"""Two models are compared only where they answer the same question."""

from dataclasses import replace

import numpy as np
import pytest

from core.feature_contract import FeatureContract
from core.gate.comparable import aligned, incomparable_reason

BINARY = FeatureContract("binary", "default", ("0", "1"), ("income",), (), (), ())


@pytest.mark.parametrize(
    ("champion", "said"),
    [
        (replace(BINARY, task="regression", classes=()), "task is regression"),
        (replace(BINARY, target="fraud"), "'fraud'"),
        (replace(BINARY, classes=("1", "0")), "'0' against '1' and the challenger '1' against '0'"),
    ],
)
def test_another_question_is_named(champion: FeatureContract, said: str) -> None:
    """Another task, target or pair of classes makes two models incomparable."""
    assert said in str(incomparable_reason(champion, BINARY))


def test_other_features_and_new_classes_are_no_obstacle() -> None:
    """A champion with other columns, or of fewer classes, can be scored on the same rows."""
    assert incomparable_reason(replace(BINARY, numeric=("age",)), BINARY) is None
    many = replace(BINARY, task="multiclass", classes=("a", "b"))
    assert incomparable_reason(many, replace(many, classes=("a", "b", "c"))) is None


def test_values_of_a_regression_stay() -> None:
    """Numbers have no classes to reorder."""
    values = np.array([1.0, 2.0])
    assert aligned(values, (), ()) is values
