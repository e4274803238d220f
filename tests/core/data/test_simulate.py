from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit, ndtri
from sklearn.metrics import roc_auc_score

from config.load import load_model_config
from config.schema import SimulatedDrift, SimulatedSource
from core.data import simulate as module
from core.data.simulate import (
    BLOCK_ROWS,
    COLUMNS,
    LEVELS,
    NUMERIC,
    TARGET,
    default_probability,
    drift_size,
    simulate,
    simulate_month,
)

ROOT = Path(__file__).resolve().parents[3]
FEATURES = [*NUMERIC, *LEVELS, "has_guarantor"]
MOVED_BY_COVARIATE_DRIFT = ["income", "credit_utilisation", "debt_to_income"]
MANY = 60_000
Kind = Literal["covariate", "prior", "concept"]


def world(rows: int = MANY, drifts: tuple[SimulatedDrift, ...] = (), **changes: Any) -> SimulatedSource:
    """Build a source."""
    return SimulatedSource(kind="simulated", rows_per_month=rows, drifts=drifts, **changes)


def drift(kind: Kind, size: float, month: int = 0, over_months: int = 0) -> SimulatedDrift:
    """Build a drift, by default sudden and from the first month."""
    return SimulatedDrift(kind=kind, size=size, month=month, over_months=over_months)


@cache
def month_with(*drifts: SimulatedDrift) -> pd.DataFrame:
    """Simulate the first month of a world with these drifts, once per test run; not to be changed."""
    return simulate_month(world(drifts=drifts), 0)


def csv_hash(source: SimulatedSource) -> str:
    """Hash all months as one CSV text: Unix line ends, no index, floats in their shortest exact form."""
    text = "".join(frame.to_csv(index=False, lineterminator="\n") for frame in simulate(source))
    return hashlib.sha256(text.encode()).hexdigest()


def standard_errors_apart(sample: pd.Series[Any], reference: pd.Series[Any]) -> float:
    """Compare two means in units of the standard error of their difference."""
    spread = np.sqrt(sample.var() / sample.count() + reference.var() / reference.count())
    return float(abs(sample.mean() - reference.mean()) / spread)


DRIFTING = world(
    rows=500, drifts=(drift("covariate", 0.5, over_months=2), drift("prior", 0.7), drift("concept", -0.4)), months=3
)
KNOWN_HASH = "4e00abf672b7e4143adfe0d6f7a424ff81487a6a9ba381ee620cc1ce5f193b24"


def test_the_rows_have_a_known_hash() -> None:
    """A seed stands for the same bytes for ever; whoever changes them changes every later result on known truth."""
    assert csv_hash(DRIFTING) == KNOWN_HASH


def test_a_parquet_file_of_it_has_one_hash(tmp_path: Path) -> None:
    """Written twice by the same library, the same month gives the same file."""
    hashes = set()
    for name in ("first", "second"):
        simulate_month(DRIFTING, 1).to_parquet(tmp_path / name, index=False)
        hashes.add(hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    assert len(hashes) == 1


def test_the_processor_leaves_no_trace() -> None:
    """With NumPy's vector instructions switched off, the rows are the same to the last bit."""
    numpy_build: Any = np.show_config(mode="dicts")
    found = numpy_build["SIMD Extensions"].get("found", [])
    script = (
        "from tests.core.data.test_simulate import csv_hash, world, drift\n"
        "print(csv_hash(world(rows=20_000, months=1, drifts=(drift('covariate', 1.0),))))"
    )
    environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    command = [sys.executable, "-c", script]
    plain = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert plain.strip() == csv_hash(world(rows=20_000, months=1, drifts=(drift("covariate", 1.0),)))


@pytest.mark.parametrize(
    ("table", "function"), [(module._normal_quantile(), ndtri), (module._exponential(), np.exp)], ids=["normal", "exp"]
)
def test_no_knot_hangs_on_a_last_bit(table: module._Curve, function: Callable[[Any], Any]) -> None:
    """Every tabulated value lies dozens of last bits away from where its rounding would flip."""
    values = function(table.low + np.arange(1, len(table.knots) - 1) / table.per_unit)
    to_the_flip = np.abs(np.abs(values) * 1e6 % 1 - 0.5) / 1e6
    assert (to_the_flip > 50 * np.spacing(np.abs(values))).all()


def test_a_month_depends_on_nothing_but_itself() -> None:
    """More months only add rows: the earlier months are the same however many are asked for."""
    few = list(simulate(world(rows=40, months=2)))
    many = list(islice(simulate(world(rows=40, months=30)), 2))
    for short, long in zip(few, many, strict=True):
        pd.testing.assert_frame_equal(short, long)
    pd.testing.assert_frame_equal(few[1], simulate_month(world(rows=40, months=1), 1))


def test_another_seed_and_another_month_are_another_sample() -> None:
    """Neither two seeds nor two months share their rows."""
    frames = [simulate_month(world(rows=200, seed=seed), month) for seed in (1, 2) for month in (0, 1)]
    assert len({tuple(frame["interest_rate"]) for frame in frames}) == 4


def test_columns_and_types() -> None:
    """The frame has the documented columns in order, levels among the declared ones, and numbers as numbers."""
    frame = month_with()
    assert tuple(frame.columns) == COLUMNS
    assert len(frame) == MANY
    assert all(frame[name].dtype.kind in "if" for name in (*NUMERIC, TARGET))
    assert frame["has_guarantor"].dtype == bool
    assert all(set(frame[name].dropna()) == set(levels) for name, levels in LEVELS.items())
    assert set(frame[TARGET]) == {0, 1}


def test_identifiers_are_unique_and_times_lie_in_their_month() -> None:
    """Keys are unique across months, rows come in order of arrival, the start's day of the month does not matter."""
    frames = list(simulate(world(rows=1_500, start=date(2023, 12, 17), months=3)))
    identifiers = pd.concat([frame["application_id"] for frame in frames])
    assert identifiers.is_unique
    assert identifiers.iloc[0] == "A-2023-12-000001"
    assert identifiers.iloc[-1] == "A-2024-02-001500"
    for month, frame in zip(("2023-12", "2024-01", "2024-02"), frames, strict=True):
        assert frame["application_date"].is_monotonic_increasing
        assert (frame["application_date"].dt.strftime("%Y-%m") == month).all()
    assert frames[2]["application_date"].dt.hour.nunique() > 15


def test_a_month_of_several_blocks_is_full() -> None:
    """A month larger than one block has all its rows, and no block repeats another."""
    rows = BLOCK_ROWS + 100
    frame = simulate_month(world(rows=rows), 0)
    assert len(frame) == rows
    assert frame["application_id"].is_unique
    assert not frame.loc[BLOCK_ROWS:, FEATURES].reset_index(drop=True).equals(frame.loc[:99, FEATURES])


@pytest.mark.parametrize("size", [-3.0, 3.0])
def test_a_single_row_can_be_asked_for(size: float) -> None:
    """One row a month works under the strongest prior drift, where most candidates are refused."""
    assert len(simulate_month(world(rows=1, drifts=(drift("prior", size),)), 0)) == 1


def test_base_rate_and_best_possible_ranking() -> None:
    """About 15 % default, and the true probabilities rank them with an AUC between 0.80 and 0.84."""
    frame = month_with()
    truth = default_probability(frame, 0, ())
    assert 0.14 < frame[TARGET].mean() < 0.16
    assert 0.80 < roc_auc_score(frame[TARGET], truth) < 0.84


def test_missing_values() -> None:
    """Blanks are as frequent as documented, and structural where they must be."""
    frame = month_with()
    missing = frame.isna().mean()
    assert missing["employment_years"] == pytest.approx(0.02, abs=0.003)
    assert missing["housing"] == pytest.approx(0.01, abs=0.003)
    by_channel = frame["savings"].isna().groupby(frame["channel"]).mean()
    assert by_channel.to_dict() == pytest.approx({"branch": 0.03, "online": 0.07, "broker": 0.20}, abs=0.01)
    assert (frame["months_since_delinquency"].isna() == (frame["n_delinquencies"] == 0)).all()
    others = missing.drop(["employment_years", "housing", "savings", "months_since_delinquency"])
    assert (others == 0).all()


@pytest.mark.parametrize(
    ("over_months", "sizes"), [(0, [0, 0, 1.2, 1.2, 1.2, 1.2]), (3, [0, 0, 0.3, 0.6, 0.9, 1.2, 1.2])]
)
def test_a_drift_grows_as_placed(over_months: int, sizes: list[float]) -> None:
    """Nothing before its month; then at once, or in equal steps until it is full `over_months` later."""
    placed = drift("concept", 1.2, month=2, over_months=over_months)
    assert [drift_size(placed, month) for month in range(len(sizes))] == pytest.approx(sizes)


@pytest.mark.parametrize("kind", ["covariate", "prior", "concept"])
def test_before_its_month_a_drift_does_not_exist(kind: Kind) -> None:
    """The months before a drift are those of the undrifted world; its first month is not."""
    drifted = world(rows=300, drifts=(drift(kind, 1.5, month=1),))
    pd.testing.assert_frame_equal(simulate_month(drifted, 0), simulate_month(world(rows=300), 0))
    assert not simulate_month(drifted, 1).equals(simulate_month(world(rows=300), 1))


@pytest.mark.parametrize(
    "drifts",
    [
        (),
        (drift("covariate", 1.0),),
        (drift("prior", 0.8),),
        (drift("prior", -0.8),),
        (drift("concept", 1.2),),
        (drift("covariate", -0.5), drift("prior", 0.5), drift("concept", 0.6)),
    ],
)
def test_labels_follow_the_known_truth(drifts: tuple[SimulatedDrift, ...]) -> None:
    """In every decile of the true probability the labels are as frequent as it says, under any mix of drifts."""
    frame = month_with(*drifts)
    truth = pd.Series(default_probability(frame, 0, drifts))
    groups = pd.qcut(truth, 10, labels=False)
    surplus = (frame[TARGET] - truth).groupby(groups).sum()
    noise = np.sqrt((truth * (1 - truth)).groupby(groups).sum())
    assert (surplus.abs() < 4 * noise).all()


def test_covariate_drift_moves_features_only() -> None:
    """Income, utilisation and their ratio move by the size asked for; P(y | x) and every other feature stay."""
    placed = drift("covariate", 1.0)
    before, after = month_with(), month_with(placed)
    still = [name for name in FEATURES if name not in MOVED_BY_COVARIATE_DRIFT]
    pd.testing.assert_frame_equal(before[still], after[still])
    assert np.log(after["income"] / before["income"]).mean() == pytest.approx(-0.45, abs=0.001)
    usable = before["credit_utilisation"].between(0.1, 0.9)
    moved = (logit(after["credit_utilisation"]) - logit(before["credit_utilisation"]))[usable]
    assert moved.mean() == pytest.approx(1.1, abs=0.01)
    np.testing.assert_array_equal(default_probability(after, 0, (placed,)), default_probability(after, 0, ()))


@pytest.mark.parametrize("size", [-0.8, 0.8])
def test_prior_drift_is_label_shift(size: float) -> None:
    """The odds of default change by exp(size), P(x | y) stays, so by Bayes' rule each row's log-odds move by size."""
    placed = drift("prior", size)
    before, after = month_with(), month_with(placed)
    assert logit(after[TARGET].mean()) - logit(before[TARGET].mean()) == pytest.approx(size, abs=0.06)
    for label in (0, 1):
        old, new = (frame.loc[frame[TARGET] == label] for frame in (before, after))
        gaps = [standard_errors_apart(new[name], old[name]) for name in NUMERIC]
        gaps += [standard_errors_apart(new["purpose"] == level, old["purpose"] == level) for level in LEVELS["purpose"]]
        assert max(gaps) < 4
    truth = logit(default_probability(after, 0, (placed,))) - logit(default_probability(after, 0, ()))
    np.testing.assert_allclose(truth, size, atol=1e-9)
    assert standard_errors_apart(after["credit_utilisation"], before["credit_utilisation"]) > 10


def test_concept_drift_moves_the_labels_only() -> None:
    """The very same features, judged differently: twice the slope turns the effect of utilisation around."""
    placed = drift("concept", 2 * module.UTILISATION_SLOPE)
    before, after = month_with(), month_with(placed)
    pd.testing.assert_frame_equal(before[FEATURES], after[FEATURES])
    change = logit(default_probability(after, 0, (placed,))) - logit(default_probability(after, 0, ()))
    np.testing.assert_allclose(change, -placed.size * (after["credit_utilisation"] - 0.4) / 0.22, atol=1e-9)
    stale = roc_auc_score(after[TARGET], default_probability(after, 0, ()))
    assert stale < roc_auc_score(after[TARGET], default_probability(after, 0, (placed,))) - 0.05


def test_a_gradual_drift_shows_month_by_month() -> None:
    """A covariate drift over three months lowers the income a step each month, then stays."""
    placed = drift("covariate", 1.2, month=1, over_months=2)
    frames = [simulate_month(world(rows=20_000, drifts=(placed,)), month) for month in range(5)]
    levels = [float(np.log(frame["income"]).mean()) for frame in frames]
    assert np.diff(levels) == pytest.approx([-0.18, -0.18, -0.18, 0.0], abs=0.02)


def test_the_truth_survives_storage(tmp_path: Path) -> None:
    """Probabilities of rows read back from Parquet with numbers as float64 are the same."""
    frame = simulate_month(world(rows=2_000), 0)
    frame.astype(dict.fromkeys((*NUMERIC, "has_guarantor"), "float64")).to_parquet(tmp_path / "rows.parquet")
    stored = pd.read_parquet(tmp_path / "rows.parquet")
    np.testing.assert_array_equal(default_probability(stored, 0, ()), default_probability(frame, 0, ()))


def test_the_demo_model_declares_every_column() -> None:
    """config/models/credit.yaml names exactly the simulated columns."""
    assert set(load_model_config(ROOT, "credit").columns) == set(COLUMNS)


def test_the_reviewed_suite_allows_what_the_simulator_makes() -> None:
    """Even the strongest drift stays inside the suite's row-level ranges and sets, so no simulated row is set aside."""
    strongest = [drift("covariate", 3.0), drift("covariate", -3.0), drift("prior", 3.0)]
    frame = pd.concat([simulate_month(world(rows=5_000, drifts=(one,)), 0) for one in strongest])
    suite = json.loads((ROOT / "config" / "expectations" / "credit.json").read_text(encoding="utf-8"))
    rows = [item["kwargs"] for item in suite["expectations"] if item["meta"]["level"] == "row"]
    for kwargs in rows:
        values = frame[kwargs["column"]].dropna()
        if "value_set" in kwargs:
            assert values.isin(kwargs["value_set"]).all(), kwargs["column"]
        elif "min_value" in kwargs:
            assert values.between(kwargs["min_value"], kwargs["max_value"]).all(), kwargs["column"]


def test_every_expectation_names_a_declared_column_and_says_why() -> None:
    """No expectation of the reviewed suite is about a column the model does not have, none is without its reason."""
    suite = json.loads((ROOT / "config" / "expectations" / "credit.json").read_text(encoding="utf-8"))
    declared = set(load_model_config(ROOT, "credit").columns)
    for item in suite["expectations"]:
        assert item["kwargs"].get("column", "age") in declared
        assert item["meta"]["level"] in ("schema", "row", "warning")
        assert item["meta"]["why"]
