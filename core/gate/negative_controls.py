"""Negative controls: models the gate must reject, judged by the same rule on the same rows as the challenger.

A gate that confused two outputs, inverted a metric or scored rows against the labels of other rows would promote one
of them, or would measure no difference from the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.pipeline import Pipeline

from config.schema import Gate, ModelConfig
from core.feature_contract import FeatureContract
from core.gate.checks import gain_check, gain_text
from core.gate.comparison import Comparison
from core.metrics.clusters import Clusters
from core.metrics.metrics import METRICS, Floats
from core.metrics.paired import Difference, paired_differences
from core.model_inputs import prepare
from core.train.fitting import fit_estimator
from core.train.pipeline import build_pipeline

MAX_ROWS = 5_000
"""Most rows that the model of permuted labels is fitted on; enough to learn from true labels."""

MIN_PER_CLASS = 20
"""Rows of a rare class among them: an estimator may split the rows again for early stopping or calibration."""

Reference = Literal["champion", "challenger"]


@dataclass(frozen=True)
class Trial:
    """The gate's result for one negative control.

    Parameters
    ----------
    name
        ``itself``: the reference again; ``degraded``: the reference on rows with half of the raw columns permuted;
        ``shuffled``: a model that was fitted on permuted labels.
    difference
        Gain of the control over the reference; None if the trial was not run.
    passed
        Whether the gate's rule rejected the control, in a trial that could have failed.
    reason
        A sentence for people.
    """

    name: str
    difference: Difference | None
    passed: bool
    reason: str


@dataclass(frozen=True)
class SelfTest:
    """Results of the negative controls.

    Parameters
    ----------
    passed
        Whether every trial passed.
    results
        The trials ``itself``, ``degraded`` and ``shuffled``.
    reference
        The model they were compared with.
    """

    passed: bool
    results: tuple[Trial, ...]
    reference: Reference = "champion"


def trial_reference(comparison: Comparison | None, config: ModelConfig) -> Reference:
    """Return the model that the negative controls are compared with.

    It is the champion, while the champion reaches the gate's floor on the rows of the comparison and is not worse than
    the challenger. After drift it may be, and then a control may truly be better than the champion: where the relation
    of a feature to the target has turned, the champion gains by losing that feature. The challenger has learnt from
    such rows, so it is the reference in that case.

    Parameters
    ----------
    comparison
        Comparison of the challenger with the champion; None where it was not made.
    config
        The model file: section ``gate``.
    """
    found = comparison.difference if comparison else None
    if found is None or found.champion is None or (found.gain or 0.0) > 0:
        return "challenger"
    return "champion" if METRICS[config.gate.metric].reaches(found.champion, config.gate.floor) else "challenger"


def degraded(frame: pd.DataFrame, contract: FeatureContract, seed: int, leading: str | None = None) -> pd.DataFrame:
    """Permute a random half of the raw columns across the rows.

    Parameters
    ----------
    frame
        Rows with at least the contract's raw columns.
    contract
        Contract of the reference model.
    seed
        Seed of the choice of columns and of the permutation, which all chosen columns share.
    leading
        The reference's most important column; it is always permuted.

    Returns
    -------
    pandas.DataFrame
        A new frame of the same n rows; the columns that were not chosen share their values with ``frame``.
    """
    generator = np.random.default_rng(seed)
    columns = list(contract.raw_columns)
    mixed = [columns[place] for place in generator.permutation(len(columns))]
    chosen = sorted(mixed, key=lambda column: column != leading)[: (len(columns) + 1) // 2]
    order = generator.permutation(len(frame))
    return frame.assign(**{column: frame[column].take(order).array for column in chosen})


def shuffled_model(
    config: ModelConfig, contract: FeatureContract, frame: pd.DataFrame, y: npt.NDArray[Any], seed: int
) -> Pipeline:
    """Fit the model file's pipeline on labels that were permuted across the rows.

    Parameters
    ----------
    config
        The model file: estimator, parameters and task.
    contract
        Contract of the challenger.
    frame, y
        Training rows, and their encoded target, shape (n_rows,); at most 5,000 rows are used, spread evenly over the
        target's values, with up to 20 rows of each class.
    seed
        Seed of the sample and of the permutation.

    Raises
    ------
    TrainingError
        The estimator cannot be fitted on permuted labels.
    """
    generator = np.random.default_rng(seed)
    rows = _sample(y, contract.task != "regression", generator)
    with np.errstate(over="ignore"):
        prepared = prepare(frame.take(rows), contract)
    permuted = generator.permutation(y[rows])
    pipeline = build_pipeline(config, contract, prepared)
    fit_estimator(pipeline["model"], pipeline["encode"].fit_transform(prepared, permuted), permuted)
    return pipeline


def self_test(
    y: npt.NDArray[Any],
    reference: Floats,
    degraded: Floats | None,
    shuffled: Floats | None,
    config: ModelConfig,
    of: Reference = "champion",
    clusters: Clusters | None = None,
) -> SelfTest:
    """Judge three negative controls by the gate's rule.

    A trial that was skipped, or that could not have failed, does not pass.

    Parameters
    ----------
    y
        Encoded target of the rows of the verdict, shape (n,): class codes, int64; regression: numbers, float64.
    reference
        Predictions of the model named by :func:`trial_reference` for these rows: probabilities, shape (n, k), or
        values, shape (n,).
    degraded
        The same model's predictions for :func:`degraded` rows, of the same shape; None if there are none.
    shuffled
        Predictions of the :func:`shuffled_model`, of the same shape; None if there are none.
    config
        The model file: section ``gate`` and seed.
    of
        Which model the reference is.
    clusters
        Clusters of the rows; None for independent rows.
    """
    outputs = {"itself": reference, "degraded": degraded, "shuffled": shuffled}
    made = {name: output for name, output in outputs.items() if output is not None}
    differences = paired_differences(
        y,
        reference,
        made,
        config.gate.metric,
        resamples=config.gate.resamples,
        confidence=config.gate.confidence,
        seed=config.training.seed,
        clusters=clusters,
    )
    same = {name for name, output in made.items() if np.array_equal(output, reference)}
    trials = tuple(_trial(name, differences.get(name), config.gate, of, name in same) for name in outputs)
    return SelfTest(all(trial.passed for trial in trials), trials, of)


def _trial(name: str, difference: Difference | None, gate: Gate, of: Reference, same: bool) -> Trial:
    who = _WHO[name].format(of=of)
    if difference is None:
        return Trial(name, None, False, f"{who} gave no predictions: a skipped trial does not pass")
    if difference.gain is None or difference.low is None:
        reason = f"{who}: {difference.n_rows:,} rows give no interval for the gain, so the trial shows nothing"
        return Trial(name, difference, False, reason)
    if gain_check(difference, gate).passed:
        return Trial(name, difference, False, f"{who} would be promoted: {gain_text(difference)}")
    if name == "itself":
        tie = difference.gain == 0
        reason = f"{who} ties" if tie else f"{who} does not tie: {gain_text(difference)}"
        return Trial(name, difference, tie, reason)
    if same:
        return Trial(
            name, difference, False, f"{who} predicts the same as the {of}: a trial that cannot fail is no proof"
        )
    return Trial(name, difference, True, f"{who} is rejected: {gain_text(difference)}")


_WHO = {
    "itself": "the {of} against itself",
    "degraded": "the {of} with permuted features",
    "shuffled": "a model fitted on permuted labels",
}


def _sample(y: npt.NDArray[Any], classes: bool, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Positions of rows at even steps along the sorted target, plus rows of each rare class."""
    mixed = generator.permutation(len(y))
    if len(y) <= MAX_ROWS:
        return np.sort(mixed)
    steps = np.linspace(0, len(y) - 1, MAX_ROWS).astype(int)
    chosen = mixed[np.argsort(y[mixed], kind="stable")][steps]
    rare: Sequence[npt.NDArray[np.intp]] = (
        [mixed[y[mixed] == code][:MIN_PER_CLASS] for code in np.unique(y)] if classes else ()
    )
    return np.unique(np.concatenate([chosen, *rare]))
