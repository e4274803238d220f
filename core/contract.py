"""The first step of every pipeline: :func:`core.model_inputs.prepare` as scikit-learn calls it.

Registered skops files name this module and this class, so both keep their names.
"""

from __future__ import annotations

from typing import Any, Self

import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from core.feature_contract import FeatureContract
from core.model_inputs import prepare


class PrepareColumns(TransformerMixin, BaseEstimator):  # type: ignore[misc] # scikit-learn ships no types
    """:func:`prepare` as the first step of a scikit-learn pipeline; it has the contract and no fitted state."""

    def __init__(self, contract: dict[str, Any]) -> None:
        self.contract = contract

    def fit(self, X: pd.DataFrame, y: object = None) -> Self:  # noqa: ARG002 - the signature scikit-learn calls
        """Do nothing: the step is stateless."""
        return self

    def transform(self, X: pd.DataFrame) -> pd.DataFrame:
        """Return the prepared columns, shape (n_rows, n_prepared): float32, then object (str)."""
        return prepare(X, FeatureContract.from_dict(self.contract))

    def __sklearn_is_fitted__(self) -> bool:
        return True
