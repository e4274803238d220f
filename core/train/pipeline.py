"""The preprocessing that an estimator needs, as a scikit-learn pipeline that converts to ONNX with equal outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler, TargetEncoder
from sklearn.tree import BaseDecisionTree
from sklearn.utils import get_tags

from config.schema import ModelConfig
from core.contract import PrepareColumns
from core.errors import TrainingError
from core.feature_contract import FeatureContract
from core.train.estimators import load_estimator

_TREES = (
    BaseDecisionTree,
    AdaBoostClassifier,
    AdaBoostRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
_HISTOGRAM_TREES = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)

Need = Literal["gaps", "trees", "scales"]
"""Requirements of an estimator on its features: ``gaps``: none, it accepts missing values; ``trees``: no missing
values, any scale; ``scales``: no missing values, comparable scales, no order among categories."""

FAR_BELOW = -1e30
"""Value that replaces a missing number for trees; indicator columns do not convert to ONNX."""

TARGET_MEAN_LEVELS = 30
"""Number of levels above which trees also get a category's mean target; with fewer levels it adds noise
(docs/decisions/training.md)."""

ONE_HOT_LEVELS = 100
"""Maximum number of levels, the most frequent ones, with a column each; for other levels all columns are 0."""


def build_pipeline(
    config: ModelConfig, contract: FeatureContract, prepared: pd.DataFrame, estimator: BaseEstimator | None = None
) -> Pipeline:
    """Build the unfitted pipeline of preparation, encoding and estimator.

    Parameters
    ----------
    config
        The model file: estimator, parameters, seed and task.
    contract
        Raw columns, task and classes.
    prepared
        Training rows as :func:`core.model_inputs.prepare` returns them: their levels become the encoders' levels; other
        levels are unknown to the encoders.
    estimator
        Replaces the configured estimator; None for the configured one, or the first candidate.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``prepare`` (stateless), ``encode`` (prepared columns to float32) and ``model``.

    Raises
    ------
    ConfigError
        The estimator does not import, does not fit the task or does not take its parameters.
    """
    # Compared with None, because an ensemble without trees is falsy.
    model = _configured(config) if estimator is None else estimator
    encode = build_encoder(contract, prepared, estimator_need(model))
    return Pipeline([("prepare", PrepareColumns(contract.to_dict())), ("encode", encode), ("model", model)])


def build_average(contract: FeatureContract, prepared: pd.DataFrame, members: Mapping[str, BaseEstimator]) -> Pipeline:
    """Build the unfitted pipeline whose prediction is the mean of several estimators' predictions.

    The encoder's matrix has one block of columns for each need of the members; each member takes its block.

    Parameters
    ----------
    contract
        Raw columns, task and classes.
    prepared
        Training rows as :func:`core.model_inputs.prepare` returns them.
    members
        Unfitted estimators by name, at least two.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``prepare``, ``encode`` and ``model``, a voting classifier or regressor.
    """
    needs = {name: estimator_need(member) for name, member in members.items()}
    blocks = {need: build_encoder(contract, prepared, need) for need in dict.fromkeys(needs.values())}
    columns = _block_columns(blocks)
    parts = [(name, _on_columns(member, columns[needs[name]])) for name, member in members.items()]
    encode = _side_by_side(blocks)
    prepare = PrepareColumns(contract.to_dict())
    return Pipeline([("prepare", prepare), ("encode", encode), ("model", _vote(parts, contract))])


def _vote(parts: list[tuple[str, Pipeline]], contract: FeatureContract) -> BaseEstimator:
    if contract.task == "regression":
        return VotingRegressor(parts)
    # Flattened probabilities do not convert to ONNX; only the method transform would return them.
    return VotingClassifier(parts, voting="soft", flatten_transform=False)


def _side_by_side(blocks: Mapping[Need, ColumnTransformer]) -> ColumnTransformer:
    steps = [
        (f"{need}_{name}", step, columns)
        for need, block in blocks.items()
        for name, step, columns in block.transformers
    ]
    return ColumnTransformer(steps, sparse_threshold=0, n_jobs=None, verbose_feature_names_out=True)


def _block_columns(blocks: Mapping[Need, ColumnTransformer]) -> dict[Need, list[int]]:
    """Return the columns of each block in the encoder's matrix."""
    columns, start = {}, 0
    for need, block in blocks.items():
        columns[need] = [*range(start, start + _width(block))]
        start += _width(block)
    return columns


def _configured(config: ModelConfig) -> BaseEstimator:
    training = config.training
    one = next(iter(training.candidates.values()), training)
    return load_estimator(one.estimator, one.params, training.seed, config.task)


def _on_columns(estimator: BaseEstimator, columns: list[int]) -> Pipeline:
    kept = ColumnTransformer([("kept", "passthrough", columns)])
    return Pipeline([("columns", kept), ("model", clone(estimator))])


def _width(encoder: ColumnTransformer) -> int:
    return sum(sum(column_widths(step, columns)) for _, step, columns in encoder.transformers)


def column_widths(step: Any, columns: Sequence[str]) -> list[int]:
    """Return how many columns a step of the encoder makes of each of its own: one-hot one per level, others one."""
    return [*map(len, step.categories)] if isinstance(step, OneHotEncoder) else [1 for _ in columns]


def estimator_need(estimator: BaseEstimator) -> Need:
    """Return the requirements of an estimator from its tags and its class; for a wrapper, from what it wraps.

    scikit-learn's own trees accept missing values too, but their ONNX graphs send them to the wrong branch (differences
    of 0.48 were measured), so missing values are replaced for them.
    """
    parts = [member for member in _members(estimator) if not any(True for _ in _inside(member))]
    if all(isinstance(part, _TREES) for part in parts):
        return "trees"
    if get_tags(estimator).input_tags.allow_nan:
        return "gaps"
    return "trees" if all(isinstance(part, (*_TREES, *_HISTOGRAM_TREES)) for part in parts) else "scales"


def build_encoder(contract: FeatureContract, prepared: pd.DataFrame, need: Need) -> ColumnTransformer:
    """Build the unfitted encoder from prepared columns to one dense float32 matrix.

    Numbers are unchanged (``gaps``); missing ones are replaced by a value far below all others, which a tree can split
    off (``trees``); or they are imputed with the median and scaled to unit variance (``scales``). Trees get no scaler:
    its rounding moves values across thresholds in the ONNX graph. Categories become their rank by frequency and, if
    they have many levels, also their mean target; or one column per level, and the mean target where there are more
    levels than columns (``scales``). Mean targets of training rows are out of fold; an unknown level has the mean of
    all. Ties in frequency are ranked by name. A number without any value is dropped, because histogram gradient
    boosting fails on it.

    Parameters
    ----------
    contract
        Prepared columns by kind, and the task.
    prepared
        Training rows as :func:`core.model_inputs.prepare` returns them.
    need
        Requirements of the estimator.

    Raises
    ------
    TrainingError
        No feature has a value.
    """
    levels = {column: _levels_by_frequency(prepared[column]) for column in contract.categorical}
    steps: list[tuple[str, Any, list[str]]] = list(_numeric_steps(contract, prepared, need))
    if need == "scales":
        steps += _one_hot_steps(levels)
        steps += _scaled_target_mean_steps(levels, contract)
    else:
        # An unknown level is a missing value if the estimator accepts these, otherwise -1.
        steps += _rank_steps(levels, np.nan if need == "gaps" else -1)
        steps += _target_mean_steps(levels, contract)
    if not steps:
        raise TrainingError(
            "no feature has a value in the training rows; check the columns of the source and source.missing"
        )
    # One process: there are few columns, and starting workers takes longer than encoding.
    return ColumnTransformer(steps, sparse_threshold=0, n_jobs=None, verbose_feature_names_out=True)


def _numeric_steps(
    contract: FeatureContract, prepared: pd.DataFrame, need: Need
) -> Iterator[tuple[str, Any, list[str]]]:
    columns = [name for name in contract.prepared_numeric if prepared[name].notna().any()]
    if not columns:
        return
    if need == "gaps":
        yield "numeric", "passthrough", columns
        return
    if need == "trees":
        yield "numeric", SimpleImputer(strategy="constant", fill_value=FAR_BELOW), columns
        return
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    yield "numeric", Pipeline([("impute", impute), ("scale", StandardScaler())]), columns


def _one_hot_steps(levels: dict[str, npt.NDArray[np.object_]]) -> Iterator[tuple[str, Any, list[str]]]:
    if levels:
        kept = [np.sort(ranked[:ONE_HOT_LEVELS]) for ranked in levels.values()]
        # "ignore" and not "infrequent_if_exist", whose ONNX graph fails on unknown levels.
        encoder = OneHotEncoder(categories=kept, handle_unknown="ignore", sparse_output=False, dtype=np.float32)
        yield "one_hot", encoder, list(levels)


def _rank_steps(levels: dict[str, npt.NDArray[np.object_]], unknown: float) -> Iterator[tuple[str, Any, list[str]]]:
    if levels:
        encoder = OrdinalEncoder(
            categories=list(levels.values()),
            handle_unknown="use_encoded_value",
            unknown_value=unknown,
            dtype=np.float32,
        )
        yield "rank", encoder, list(levels)


def _target_mean_steps(
    levels: dict[str, npt.NDArray[np.object_]], contract: FeatureContract
) -> Iterator[tuple[str, Any, list[str]]]:
    many = [column for column, ranked in levels.items() if len(ranked) > TARGET_MEAN_LEVELS]
    # For multiclass it has one column per class, which does not convert to ONNX.
    if many and contract.task != "multiclass":
        # Out-of-fold means: a row's own target must not be in its feature. Shuffled, in case rows are sorted by target.
        cross_fit = KFold(5, shuffle=True, random_state=0)
        yield "target_mean", TargetEncoder(categories=[levels[column] for column in many], cv=cross_fit), many


def _scaled_target_mean_steps(
    levels: dict[str, npt.NDArray[np.object_]], contract: FeatureContract
) -> Iterator[tuple[str, Any, list[str]]]:
    """Encode the columns whose rarer levels have no column of their own by their mean target too."""
    beyond = {column: ranked for column, ranked in levels.items() if len(ranked) > ONE_HOT_LEVELS}
    for name, encoder, columns in _target_mean_steps(beyond, contract):
        yield name, Pipeline([("mean", encoder), ("scale", StandardScaler())]), columns


def _levels_by_frequency(column: pd.Series[Any]) -> npt.NDArray[np.object_]:
    counts = column.value_counts()
    order = np.lexsort((counts.index.to_numpy(dtype=str), -counts.to_numpy()))
    return counts.index.to_numpy(dtype=object)[order]


def _members(estimator: BaseEstimator) -> Iterator[BaseEstimator]:
    yield estimator
    yield from _inside(estimator)


def _inside(estimator: BaseEstimator) -> Iterator[BaseEstimator]:
    for value in estimator.get_params(deep=True).values():
        if isinstance(value, BaseEstimator):
            yield value
