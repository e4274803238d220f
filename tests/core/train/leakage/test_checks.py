from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from config.schema import ModelConfig
from core.data.rows import Rows
from core.data.split import holdout_split
from core.feature_contract import FeatureContract
from core.model_inputs import encode_target
from core.train.leakage.checks import LeakageReport, leakage_report
from tests.core.training_rows import training_config, training_rows


def report_of(rows: Rows, config: ModelConfig) -> LeakageReport:
    """Split, encode and check, as a training run does."""
    labels = () if config.task == "regression" else rows.frame[config.target].unique().tolist()
    contract = FeatureContract.of(config, labels)
    y = encode_target(rows.frame[config.target], contract)
    return leakage_report(rows, holdout_split(rows, config), y, contract, config)


def test_honest_features_pass() -> None:
    """Features that explain the target in part, gaps and dates among them, block nothing, whatever the task."""
    for task in ("binary", "multiclass", "regression"):
        report = report_of(training_rows(2000, task), training_config(task))
        assert report.reasons == ()
        assert not report.blocked
        assert set(report.feature_scores) == {"income", "age", "region", "owner", "since"}


def test_feature_that_holds_the_answer_blocks() -> None:
    """A category that repeats the target is named, with what to do."""
    rows = training_rows(1000)
    rows.frame["region"] = rows.frame["default"].map({"0": "paid", "1": "written off"})
    report = report_of(rows, training_config())
    assert report.blocked
    assert "feature 'region' alone predicts the target with AUC 1.0000" in report.reasons[0]
    assert "features.ignored" in report.reasons[0]


def test_allowed_feature_does_not_block() -> None:
    """After review a feature may predict as well as it likes; its score stays on record."""
    rows = training_rows(1000, "regression")
    rows.frame["income"] = rows.frame["default"] * 2 + 1
    config = training_config("regression", training={"leakage": {"allow": ["income"]}})
    report = report_of(rows, config)
    assert not report.blocked
    assert report.feature_scores["income"] > 0.99


def test_parts_of_the_target_block() -> None:
    """Two features that add up to the target are found though neither gives it away alone."""
    rows = training_rows(1000, "regression")
    rng = np.random.default_rng(1)
    rows.frame["income"] = rows.frame["default"].std() * rng.normal(size=1000)
    rows.frame["age"] = rows.frame["default"] - rows.frame["income"]
    report = report_of(rows, training_config("regression"))
    assert any("features 'income' and 'age' add up to the target" in reason for reason in report.reasons)


def test_many_copies_block() -> None:
    """Rows that come twice under new identities are counted across the split."""
    rows = training_rows(1000)
    twice = Rows(pd.concat([rows.frame] * 2, ignore_index=True), np.append(rows.row_ids, ~rows.row_ids), 0, 0)
    report = report_of(twice, training_config())
    assert report.duplicates_share > 0.5
    assert any("have the features of a training row" in reason for reason in report.reasons)


def test_category_that_names_rows_blocks() -> None:
    """A level per row is an identifier."""
    rows = training_rows(1000)
    rows.frame["region"] = [f"customer {number}" for number in range(1000)]
    report = report_of(rows, training_config())
    assert any("feature 'region' identifies rows (1,000 levels in 1,000 rows)" in reason for reason in report.reasons)


def test_counter_blocks() -> None:
    """Whole numbers that follow the rows are a counter, with gaps too; the same numbers shuffled are a measurement."""
    rows = training_rows(1000)
    counter = np.arange(1000.0) * 3 + 17
    rows.frame["age"] = counter
    assert any("'age' identifies rows (a counter" in reason for reason in report_of(rows, training_config()).reasons)
    rows.frame["age"] = np.random.default_rng(0).permutation(counter)
    assert not report_of(rows, training_config()).blocked


def test_scores_do_not_change() -> None:
    """The same rows give the same report, and large data is sampled by the seed alone."""
    rows = training_rows(60_000)
    config = training_config()
    assert report_of(rows, config) == report_of(replace(rows, frame=rows.frame.copy()), config)


def test_a_pair_that_contains_the_target_blocks() -> None:
    """A product is found too; the pair is named with what to do, and a feature on the list of exemptions frees it."""
    rows = training_rows(1000, "regression")
    rng = np.random.default_rng(1)
    target = np.exp(rows.frame["default"] / rows.frame["default"].std())
    rows.frame["default"] = target
    rows.frame["age"] = rng.lognormal(3, 1, 1000)
    rows.frame["income"] = target * rows.frame["age"]
    report = report_of(rows, training_config("regression"))
    [reason] = report.reasons
    assert "'income' divided by 'age' reaches R² 1.000" in reason or "'age' divided by 'income'" in reason
    assert "training.leakage.allow" in reason
    allowed = training_config("regression", training={"leakage": {"allow": ["income"]}})
    assert not report_of(rows, allowed).blocked


def test_a_date_that_the_target_is_counted_to_blocks() -> None:
    """The time column is no feature, but another date minus it is the target."""
    rows = training_rows(1000, "regression")
    config = training_config("regression", time="asked")
    minutes = np.abs(rows.frame["default"]) + 1
    rows.frame["asked"] = pd.date_range("2024-01-01", periods=1000, freq="7h")
    rows.frame["default"] = minutes
    rows.frame["since"] = rows.frame["asked"] + pd.to_timedelta(minutes, unit="min")
    reasons = [reason for reason in report_of(rows, config).reasons if "identifies rows" not in reason]
    assert len(reasons) == 1
    assert "'since' is probably known only with it" in reasons[0]


def test_a_suspect_is_remarked_on_and_does_not_block() -> None:
    """Predictions of an earlier model stay features until a person has decided; after review there is no remark."""
    rows = training_rows(2000, "regression")
    target = rows.frame["default"]
    rows.frame["age"] = target + 0.5 * target.std() * np.random.default_rng(0).normal(size=2000)
    report = report_of(rows, training_config("regression"))
    assert not report.blocked
    [remark] = report.remarks
    assert remark.startswith("'age' reaches R² 0.")
    assert report.to_dict()["remarks"] == (remark,)
    allowed = training_config("regression", training={"leakage": {"allow": ["age"]}})
    assert report_of(rows, allowed).remarks == ()
