"""Counts of a frame's rows over the bins of a reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from core.drift.counts import WindowCounts
from core.drift.profile import ColumnProfile, LevelProfile
from core.feature_contract import level_text


def frame_counts(reference: Sequence[ColumnProfile], frame: pd.DataFrame) -> tuple[ColumnProfile, ...]:
    """Count rows that are in memory.

    Parameters
    ----------
    reference
        Profiles with the bins.
    frame
        n rows with a column for each profile, of the profile's name.

    Examples
    --------
    >>> region = LevelProfile("region", "levels", ("north", "south"), (5, 3), 0, 0)
    >>> frame_counts([region], pd.DataFrame({"region": ["south", "west", None]}))[0].counts
    (0, 1)
    """
    counts = WindowCounts(reference)
    for profile in reference:
        _add(counts, profile, frame[profile.name])
    return counts.columns()


def _add(counts: WindowCounts, profile: ColumnProfile, values: pd.Series[Any]) -> None:
    if isinstance(profile, LevelProfile):
        codes, levels = pd.factorize(values)
        known = codes[codes >= 0]
        counts.add_levels(profile.name, known, [level_text(level) for level in levels], len(codes) - len(known))
    elif profile.kind == "date":
        present = values.dropna().to_numpy("datetime64[us]").view("int64")
        counts.add_dates(profile.name, present, len(values) - len(present))
    else:
        counts.add_numbers(profile.name, values.to_numpy("float64", na_value=np.nan))
