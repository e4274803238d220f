"""The rows of a window that the champion scores, and which of their labels are used."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.drift.profile import ColumnProfile, LevelProfile
from core.metrics.metrics import Floats
from core.metrics.strata import Strata
from core.model_inputs import encode_target
from core.performance.sampling import rare_classes
from tasks.monitor.reference import Reference
from tasks.monitor.window_counts import Window
from tasks.served.staged import output_columns


@dataclass(frozen=True, eq=False)
class Scored:
    """Scored rows of a window, and the labelled ones among them.

    Parameters
    ----------
    sample
        The champion's predictions for the uniform sample.
    known, sample_y
        Which rows of the sample have a label that is used, shape (n_sample,), and these labels, encoded.
    n_rows, n_young
        Number of scored rows, and of those that are too young for their label to be used.
    rows, y
        Raw rows with a label that is used, and these labels, encoded, shape (n,).
    labelled
        Predictions for these rows, shape (n, k) or (n,).
    strata
        How many rows each of them represents; None if each row is as likely in the sample as any other.
    """

    sample: Floats
    known: npt.NDArray[np.bool_]
    sample_y: npt.NDArray[Any]
    n_rows: int
    n_young: int
    rows: pd.DataFrame
    y: npt.NDArray[Any]
    labelled: Floats
    strata: Strata | None


def class_rows(target: ColumnProfile) -> dict[str, int]:
    """Return the number of rows of each class; empty for numbers."""
    return dict(zip(target.levels, target.counts, strict=True)) if isinstance(target, LevelProfile) else {}


def scored(counted: Window, reference: Reference, now: datetime) -> Scored:
    """Predict the rows of the sample, and all rows of rare classes beside it; served predictions are not repeated."""
    sample = predictions(counted.sample, reference)
    known, n_young = known_labels(counted.sample, reference, now)
    y = _labels(counted.sample, known, reference)
    plain = Scored(sample, known, y, len(sample), n_young, counted.sample.loc[known], y, sample[known], strata=None)
    if not len(counted.rare) or len(counted.sample) >= counted.n_rows:
        return plain
    frame, output, strata = _with_rare(counted, reference, sample)
    known, n_young = known_labels(frame, reference, now)
    return replace(
        plain,
        n_rows=len(frame),
        n_young=n_young,
        rows=frame.loc[known],
        y=_labels(frame, known, reference),
        labelled=output[known],
        strata=strata.kept(known),
    )


def predictions(frame: pd.DataFrame, reference: Reference) -> Floats:
    """Return the champion's predictions: those that were served, if the frame has them, else its answers now.

    Parameters
    ----------
    frame
        n rows with the raw columns; of the prediction log also with the served predictions, which are missing
        where another version answered.
    reference
        The champion.
    """
    names = output_columns(reference.contract)
    if not set(names) <= set(frame.columns):
        return reference.predictor.predict(frame)
    found = frame[list(names)].to_numpy(dtype="float64", copy=True)
    missing = np.isnan(found).any(axis=1)
    if missing.any():
        found[missing] = reference.predictor.predict(frame.loc[missing]).reshape(-1, len(names))
    return found if reference.contract.classes else found[:, 0]


def _labels(frame: pd.DataFrame, known: npt.NDArray[np.bool_], reference: Reference) -> npt.NDArray[Any]:
    return encode_target(frame.loc[known, reference.config.target], reference.contract)


def _with_rare(counted: Window, reference: Reference, sample: Floats) -> tuple[pd.DataFrame, Floats, Strata]:
    """Replace the sample's rows of rare classes by all their rows: two strata, the rare classes and all other rows."""
    classes = rare_classes(class_rows(reference.profile.target))
    others = ~counted.sample[reference.config.target].isin(classes).to_numpy(dtype=bool)
    frame = pd.concat([counted.sample[others], counted.rare], ignore_index=True)
    output = np.concatenate([sample[others], predictions(counted.rare, reference)])
    codes = np.repeat([0, 1], [int(others.sum()), len(counted.rare)])
    n_rare = sum(count for name, count in class_rows(counted.target).items() if name in classes)
    return frame, output, Strata(codes, np.array([counted.n_rows - n_rare, n_rare], dtype="float64"))


def known_labels(frame: pd.DataFrame, reference: Reference, now: datetime) -> tuple[npt.NDArray[np.bool_], int]:
    """Return which rows have a label that counts, and how many have one that is too recent.

    Parameters
    ----------
    frame
        n rows with the target and the time.
    reference
        The champion, with its model file.
    now
        The present time, with time zone.
    """
    config, classes = reference.config, reference.contract.classes
    target = frame[config.target]
    known = (target.isin(classes) if classes else target.notna()).to_numpy(dtype=bool)
    if config.time is None or not config.drift.label_delay_days:
        return known, 0
    oldest_young = pd.Timestamp(now.replace(tzinfo=None) - timedelta(days=config.drift.label_delay_days))
    young = (frame[config.time] > oldest_young).to_numpy(dtype=bool)
    return known & ~young, int(young.sum())
