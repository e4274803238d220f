from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from config.schema import ModelConfig
from core.data.rows import Rows
from core.data.seen_rows import SeenRows, rows_trained_on
from core.data.split import Split, feature_hashes, holdout_split
from core.feature_contract import FeatureContract
from core.gate.clean_holdout import CleanHoldout, clean_holdout
from core.model_inputs import encode_target
from tests.core.training_rows import training_config, training_rows
from tests.factories import shared_data


def trained_on(rows: Rows, config: ModelConfig) -> SeenRows:
    """Collect what a model trained on these rows has seen."""
    return rows_trained_on(rows, holdout_split(rows, config), config)


def cleaned(rows: Rows, config: ModelConfig, champion: SeenRows | None, columns: tuple[str, ...] = ()) -> CleanHoldout:
    """Clean holdout of a challenger trained on these rows."""
    labels = [] if config.task == "regression" else list(rows.frame[config.target].unique())
    contract, split = FeatureContract.of(config, labels), holdout_split(rows, config)
    held = rows.frame.take(split.holdout)
    return clean_holdout(
        rows,
        split,
        encode_target(rows.frame[config.target], contract),
        contract,
        config,
        challenger=trained_on(rows, config),
        challenger_contents=feature_hashes(held, contract.raw_columns),
        champion=champion,
        champion_contents=feature_hashes(held, columns or contract.raw_columns),
    )


def part(rows: Rows, chosen: Any) -> Rows:
    """Rows of an earlier or another data version."""
    return replace(rows, frame=rows.frame.iloc[chosen].reset_index(drop=True), row_ids=rows.row_ids[chosen])


def with_split(rows: Rows, config: ModelConfig, holdout: list[int]) -> CleanHoldout:
    """Clean holdout of given rows, for a challenger that has trained on nothing."""
    nothing = SeenRows(np.array([], dtype=np.uint64), by_content=True)
    contract = FeatureContract.of(config, list(rows.frame[config.target].unique()))
    split = Split(np.array([], dtype=np.int64), np.array(holdout, dtype=np.int64), "these rows", 0, None)
    y = encode_target(rows.frame[config.target], contract)
    contents = feature_hashes(rows.frame.take(split.holdout), contract.raw_columns)
    return clean_holdout(
        rows, split, y, contract, config, challenger=nothing, challenger_contents=contents, champion=nothing
    )


def labelled(n_yes: int, n_no: int, labels: tuple[str, str] = ("1", "0")) -> Rows:
    """Rows of two classes in known numbers."""
    rows = training_rows(n_yes + n_no)
    rows.frame["default"] = pd.Series([labels[0]] * n_yes + [labels[1]] * n_no, dtype="str")
    return rows


def test_without_a_champion_the_own_holdout_is_clean() -> None:
    """A first version is judged by all rows set aside for it."""
    rows, config = training_rows(2000), training_config()
    clean = cleaned(rows, config, None)
    assert np.array_equal(clean.rows, holdout_split(rows, config).holdout)
    assert clean.facts.enough
    assert clean.facts.n_rows == clean.facts.n_holdout == len(clean.rows)
    assert (
        clean.facts.reason
        == f"all {len(clean.rows)} holdout rows are clean: the challenger has not trained on any of them"
    )


def test_champion_of_older_data_costs_no_row() -> None:
    """A row keeps its side as the data grows, so yesterday's champion has trained on none of today's holdout."""
    rows, config = training_rows(3000), training_config()
    clean = cleaned(rows, config, trained_on(part(rows, slice(0, 1500)), config))
    assert clean.facts.n_seen_by_champion == 0
    assert clean.facts.reason.endswith("neither model has trained on any of them")


def test_rows_the_champion_trained_on_are_removed_and_counted() -> None:
    """A champion of another seed has trained on four fifths of the holdout; none of these rows judges."""
    rows, config = training_rows(3000), training_config()
    other = training_config(training={"seed": 9})
    trained = set(rows.row_ids[holdout_split(rows, other).train])
    held = holdout_split(rows, config).holdout
    expected = [row for row in held.tolist() if rows.row_ids[row] not in trained]
    clean = cleaned(rows, config, trained_on(rows, other))
    assert clean.rows.tolist() == expected
    assert clean.facts.n_seen_by_champion == len(held) - len(expected) > 400
    assert clean.facts.n_seen_by_challenger == 0
    assert f"{len(expected)} of {len(held)} holdout rows are clean" in clean.facts.reason
    assert f"{len(held) - len(expected)} that the champion has trained on" in clean.facts.reason


def test_copies_under_another_key_are_removed() -> None:
    """A row the champion knows by its content is no judge, whatever it is called now."""
    rows, config = training_rows(2000), training_config()
    renamed = replace(rows, row_ids=np.random.default_rng(5).integers(0, 2**63, 2000).astype(np.uint64))
    champion = trained_on(renamed, config)
    clean = cleaned(rows, config, champion)
    contents = feature_hashes(rows.frame, config.features.used)
    known = set(contents[holdout_split(renamed, config).train])
    assert not set(contents[clean.rows]) & known
    assert clean.facts.n_seen_by_champion == sum(row in known for row in contents[holdout_split(rows, config).holdout])
    assert clean.facts.n_seen_by_champion > 250


def test_content_is_that_of_the_champions_own_features() -> None:
    """A champion with fewer features knows a row by these alone; hashed over other columns the rows look new."""
    rows, config = training_rows(2000), training_config()
    fewer = training_config(features={"numeric": ["income", "age"], "categorical": [], "boolean": [], "dates": []})
    renamed = replace(rows, row_ids=rows.row_ids[::-1].copy())
    champion = trained_on(renamed, fewer)
    assert cleaned(rows, config, champion, ("income", "age")).facts.n_seen_by_champion > 250
    assert cleaned(rows, config, champion).facts.n_seen_by_champion == 0


def test_too_few_clean_rows_are_said_with_the_number_needed() -> None:
    """The facts say how many are needed and what brings them."""
    rows, config = training_rows(600), training_config(gate={"min_rows": 90})
    facts = cleaned(rows, config, trained_on(rows, training_config(training={"seed": 9}))).facts
    assert not facts.enough
    assert facts.n_needed == 90
    assert "90 are needed; add about" in facts.reason
    assert "training.seed" in facts.reason


@pytest.mark.parametrize(("n_yes", "enough"), [(9, False), (10, True)])
def test_each_class_needs_ten_rows(n_yes: int, enough: bool) -> None:
    """Nine rows of a class do not judge; the rows needed follow from its share."""
    rows = labelled(n_yes, 500 - n_yes)
    facts = with_split(rows, training_config(), list(range(500))).facts
    assert facts.enough is enough
    assert facts.n_needed == (100 if enough else 556)
    assert enough or "9 of them are of class '1' and 10 are needed, which takes about 560 clean rows" in facts.reason


def test_holdout_of_one_class_is_not_enough() -> None:
    """Thousands of rows of one class tell two models apart in nothing; more rows than there are will be needed."""
    facts = with_split(labelled(20, 3000), training_config(), list(range(20, 3020))).facts
    assert not facts.enough
    assert facts.n_needed == 30_000
    assert "0 of them are of class '1'" in facts.reason


def test_two_classes_of_several_suffice() -> None:
    """A third class may be rare: the metrics of several classes take those that occur."""
    rows = labelled(100, 400, ("low", "top"))
    rows.frame.loc[0, "default"] = "rare"
    config = training_config("multiclass")
    assert with_split(rows, config, list(range(500))).facts.enough
    assert not with_split(rows, config, list(range(95, 500))).facts.enough


def test_no_clean_row_at_all_is_an_answer() -> None:
    """A champion that has trained on every row leaves nobody to judge, and the class shares of the holdout count."""
    rows, config = labelled(4, 996), training_config()
    rows.frame["default"] = np.where(np.arange(1000) % 100 == 7, "1", "0")
    everything = rows_trained_on(rows, Split(np.arange(1000), np.array([], dtype=np.int64), "", 0, None), config)
    clean = cleaned(rows, config, everything)
    held = rows.frame["default"].iloc[holdout_split(rows, config).holdout]
    assert len(clean.rows) == clean.sketch.n_rows == 0
    assert not clean.facts.enough
    assert clean.facts.n_needed == np.ceil(10 / (held == "1").mean())


def in_time(rows: Rows, n: int) -> Rows:
    """Return the n oldest rows: a data version from before the others came."""
    return part(rows, slice(0, n))


@pytest.mark.parametrize("n_older", [1000, 2300])
def test_a_champion_of_newer_data_is_named(n_older: int) -> None:
    """Rows that a champion of later data was trained on do not come by waiting: the facts say that it is newer."""
    rows, config = training_rows(3000), training_config(time="day")
    champion = trained_on(rows, config)
    facts = cleaned(in_time(rows, n_older), config, champion).facts
    assert (facts.n_rows, facts.n_seen_by_champion, facts.enough) == (0, facts.n_holdout, False)
    assert facts.champion_is_newer
    assert facts.reason.endswith("; 100 are needed; the champion was trained on newer data than these rows")


@pytest.mark.parametrize("changes", [{"training": {"holdout": 0.02}}, {"training": {"holdout": 0.02}, "time": None}])
def test_a_champion_of_the_same_data_is_not_newer(changes: dict[str, Any]) -> None:
    """A champion of a smaller holdout knows the older rows of this one; more rows are what helps then."""
    rows = training_rows(600)
    config = training_config(**{"time": "day", **changes, "training": {"holdout": 0.2}})
    facts = cleaned(rows, config, trained_on(rows, training_config(**{"time": "day", **changes}))).facts
    assert not facts.champion_is_newer
    assert facts.enough or "add about" in facts.reason


def test_regression_needs_rows_alone() -> None:
    """Numbers have no classes to run short of."""
    rows, config = training_rows(1000, "regression"), training_config("regression")
    assert cleaned(rows, config, None).facts.enough
    assert not cleaned(part(rows, slice(0, 300)), config, None).facts.enough


def test_fingerprint_is_of_the_rows_not_of_their_order() -> None:
    """Two comparisons on the same rows can be told from the record."""
    rows, config = labelled(50, 450), training_config()
    backwards = part(rows, np.arange(499, -1, -1))
    one, same = (with_split(some, config, list(range(500))) for some in (rows, backwards))
    other = with_split(rows, config, list(range(499)))
    assert one.facts.fingerprint == same.facts.fingerprint != other.facts.fingerprint
    assert one.sketch == same.sketch


def real_rows(name: str) -> Rows:
    """Rows of a public data set, without a key."""
    frame = pd.read_parquet(shared_data(name) / "ready.parquet").astype({"target": "str"})
    frame = frame.drop(columns="ID", errors="ignore")
    return Rows(frame, feature_hashes(frame, tuple(frame.columns.drop("target"))), 0, 0)


def real_config(rows: Rows, **changes: Any) -> ModelConfig:
    """Model file for all columns of such rows."""
    kinds = {column: rows.frame[column].dtype.kind for column in rows.frame.columns.drop("target")}
    features = {
        "numeric": [column for column, kind in kinds.items() if kind in "if"],
        "categorical": [column for column, kind in kinds.items() if kind in "ObUT"],
        "boolean": [],
        "dates": [],
    }
    return training_config(target="target", features=features, key=None, **changes)


@pytest.mark.parametrize("name", ["online_shoppers", "default_credit_card_tw"])
def test_no_real_row_that_was_trained_on_judges(name: str) -> None:
    """Compared value by value, no row left has the features of a training row of either model."""
    rows = real_rows(name)
    config, other = real_config(rows), real_config(rows, training={"seed": 3, "holdout": 0.4})
    clean = cleaned(rows, config, trained_on(rows, other))
    features = rows.frame[list(config.features.used)]
    for trained in (holdout_split(rows, config).train, holdout_split(rows, other).train):
        both = pd.concat([features.iloc[trained].drop_duplicates(), features.iloc[clean.rows].drop_duplicates()])
        assert not both.duplicated().any()
    assert clean.facts.n_rows == pytest.approx(0.4 * clean.facts.n_holdout, rel=0.1)


def test_newest_real_period_judges_as_the_data_grows() -> None:
    """Bank marketing by months: a champion of a year before has trained on none of the newest rows but copies."""
    rows = real_rows("bank_marketing")
    config = real_config(rows, time="event_month")
    older = part(rows, slice(0, 36_000))
    clean = cleaned(rows, config, trained_on(older, config))
    assert clean.facts.enough
    assert clean.facts.n_seen_by_champion < 0.01 * clean.facts.n_holdout
    assert clean.facts.rule.startswith("the newest rows: event_month from")
    small = real_config(rows, time="event_month", training={"holdout": 0.02})
    assert cleaned(rows, config, trained_on(rows, small)).facts.n_rows < 0.2 * clean.facts.n_rows
