"""The clusters in which a window's rows come, and what they mean for its columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from config.schema import ModelConfig
from core.drift.clusters import TableEffect, column_effects
from core.drift.columns import Pair
from core.drift.profile import ColumnProfile, LevelProfile
from core.metrics.clusters import Clusters, row_clusters
from core.metrics.metrics import Floats
from tasks.monitor.window_counts import Window


def repeating_key(config: ModelConfig) -> tuple[str, ...]:
    """Return the model's key if several rows may have it, else nothing."""
    return () if config.key is None or config.key_is_unique else (config.key,)


def window_clusters(sample: pd.DataFrame, config: ModelConfig) -> Clusters:
    """Return the clusters of sampled rows by the model's key and time; the sample holds the key if it may repeat."""
    return row_clusters(sample, config.key, config.time, by_differences=True)


def window_effects(
    pairs: Sequence[Pair], counted: Window, output: Floats, clusters: Clusters, config: ModelConfig
) -> dict[str, TableEffect]:
    """Return the design effects of the compared columns, by name; those that matter only.

    Parameters
    ----------
    pairs
        Roles, reference profiles and counts of the columns; the predictions are counted on the sample.
    counted
        The window's rows, with the sample.
    output
        The champion's predictions for the sample.
    clusters
        Clusters of the sample's rows.
    config
        The model file: name of the target.
    """
    sample, names = counted.sample, {"target": config.target}
    columns = [
        (profile, sample[names.get(role, profile.name)], role != "target")
        for role, profile, _ in pairs
        if names.get(role, profile.name) in sample and role != "prediction"
    ]
    predictions = [(profile, _predicted(profile, output), True) for role, profile, _ in pairs if role == "prediction"]
    share = len(sample) / max(1, counted.n_rows)
    return column_effects(columns, clusters, share) | column_effects(predictions, clusters, 1.0)


def _predicted(bins: ColumnProfile, output: Floats) -> pd.Series[Any]:
    if isinstance(bins, LevelProfile):
        return pd.Series(np.array(bins.levels, dtype=object)[output.argmax(axis=1)])
    return pd.Series(output if output.ndim == 1 else output[:, 1])
