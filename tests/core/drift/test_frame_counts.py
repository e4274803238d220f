"""Counting a frame gives what profiling it gave, over the same bins."""

from dataclasses import replace

import numpy as np
import pandas as pd

from core.drift.counts import all_counts
from core.drift.frame_counts import frame_counts
from core.drift.profile import feature_profiles
from core.feature_contract import FeatureContract
from tests.core.samples import credit_frame, task_config, task_contract


def _contract() -> FeatureContract:
    return replace(task_contract(task_config("binary")), dates=("applied",))


def _frame(n: int, seed: int) -> pd.DataFrame:
    dates = pd.Series(pd.date_range("2024-01-01", periods=n, freq="h")).astype("datetime64[us]")
    return credit_frame(n, seed).assign(applied=dates.where(np.arange(n) % 7 > 0))


def test_the_reference_counted_again_is_the_reference() -> None:
    """Numbers, levels, booleans and dates fall where the profile put them."""
    frame = _frame(500, 1)
    reference = feature_profiles(frame, _contract())
    for profile, counted in zip(reference, frame_counts(reference, frame), strict=True):
        assert all_counts(counted).tolist() == all_counts(profile).tolist()


def test_other_rows_are_counted_in_the_same_bins() -> None:
    """Every row is counted once; an unknown level is other, an absent value missing."""
    reference = feature_profiles(_frame(500, 1), _contract())
    later = _frame(300, 2).assign(region="mars", income=np.nan)
    counted = {profile.name: profile for profile in frame_counts(reference, later)}
    assert all(all_counts(profile).sum() == 300 for profile in counted.values())
    assert all_counts(counted["region"])[-2:].tolist() == [300, 0]
    assert all_counts(counted["income"])[-1] == 300
