"""What a window's sample says about clusters, by the model file's key and time."""

from __future__ import annotations

import numpy as np
import pandas as pd

from core.drift.columns import Pair
from core.drift.counts import frame_counts
from core.drift.profile import level_profile, number_profile
from tasks.monitor.clusters import repeating_key, window_clusters, window_effects
from tasks.monitor.window_counts import Window
from tests.factories import credit_config

CONFIG = credit_config(key_is_unique=False, time="at")


def counted(sample: pd.DataFrame, n_rows: int) -> Window:
    """Stand a sample for a window's rows."""
    target = level_profile("target", sample["default"])
    return Window((), target, n_rows, 0, 0, 0, 0, None, None, sample, sample[:0])


def rows() -> pd.DataFrame:
    """Rows of 100 customers, ten each, who have one income and many ages."""
    rng = np.random.default_rng(0)
    customers = np.repeat(np.arange(100), 10)
    return pd.DataFrame(
        {
            "id": [f"c{number}" for number in customers],
            "at": pd.Series(pd.date_range("2026-01-01", periods=1_000, freq="1h").astype("datetime64[us]")),
            "income": rng.normal(size=100)[customers],
            "age": rng.normal(size=1_000),
            "default": rng.choice(["0", "1"], 100)[customers],
        }
    )


def test_columns_target_and_predictions_have_effects_of_their_own() -> None:
    """Income and target are constant within a customer; age is not; predictions are of the sampled rows only."""
    sample = rows()
    clusters = window_clusters(sample[["id", "income", "age", "default"]], CONFIG)
    predicted = sample["income"].to_numpy("float64")
    bins = [number_profile("income", predicted), number_profile("age", sample["age"].to_numpy("float64"))]
    target = level_profile("target", sample["default"])
    prediction = number_profile("prediction", predicted)
    pairs: list[Pair] = [("feature", one, frame_counts([one], sample)[0]) for one in bins]
    pairs += [("target", target, target), ("prediction", prediction, prediction)]
    output = np.column_stack([1 - predicted, predicted])
    found = window_effects(pairs, counted(sample, 1_000), output, clusters, CONFIG)
    assert set(found) - {"age"} == {"income", "target", "prediction"}
    assert all(7 < found[name].design.effect < 14 for name in ("income", "target", "prediction"))
    half = window_effects(pairs, counted(sample, 2_000), output, clusters, CONFIG)
    assert half["income"].design.effect - 1 == 2 * (found["income"].design.effect - 1)
    assert half["prediction"] == found["prediction"]


def test_a_key_is_read_only_if_it_repeats() -> None:
    """A unique key makes no clusters, and its column stays on disk."""
    assert repeating_key(CONFIG) == ("id",)
    assert repeating_key(credit_config()) == ()
    assert [one.label for one in window_clusters(rows(), CONFIG).groupings] == ["id", "days of at"]
    assert window_clusters(rows(), CONFIG).by_differences


def test_independent_rows_have_no_effects() -> None:
    """Without a key and a time there are no groupings, and nothing is computed."""
    sample = rows()[["age", "default"]]
    bins = number_profile("age", sample["age"].to_numpy("float64"))
    clusters = window_clusters(sample, credit_config())
    assert clusters.groupings == ()
    assert (
        window_effects([("feature", bins, bins)], counted(sample, 1_000), np.ones((1_000, 2)), clusters, CONFIG) == {}
    )
