"""What a model file may say: bounds, and sections that must agree."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from config.schema import ModelConfig, Source
from core.metrics.metrics import METRICS
from tests.factories import credit_config

FEATURES = ("numeric", "categorical", "boolean")
SPACE = {"max_iter": [10, 100]}
FOREST = {"estimator": "sklearn.ensemble.RandomForestClassifier"}
TWO = {"forest": FOREST, "trees": {"estimator": "sklearn.ensemble.ExtraTreesClassifier"}}


def test_a_kind_whose_last_column_was_moved_is_empty() -> None:
    """In YAML, a key without items is null; the person has moved the column and left the key."""
    features = {"categorical": None, "ignored": ["region"]}
    assert credit_config(features=features).features.categorical == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"features": {"numeric": ["income", "default"]}}, "target: 'default' is also a feature"),
        ({"features": {"numeric": ["id"]}}, "key: 'id' is also a feature"),
        ({"time": "region"}, "time: the column 'region' can be a feature under features.dates only"),
        ({"features": {"ignored": ["income"]}}, "columns listed twice: income"),
        ({"features": {kind: [] for kind in FEATURES}}, "at least one feature is needed"),
        ({"positive": None}, "positive: a binary task needs the class"),
        ({"task": "multiclass"}, "positive: it belongs to a binary task"),
        ({"gate": {"metric": "rmse"}}, "gate.metric: 'rmse' does not fit the task binary: one of roc_auc"),
        ({"evaluation": {"slices": ["income"]}}, r"categorical, boolean or ignored columns, found \['income'\]"),
        ({"training": {"leakage": {"allow": ["id"]}}}, r"leakage.allow: columns that are not features: \['id'\]"),
        ({"training": {"search": {"space": SPACE}}}, "a search needs a budget: trials or minutes"),
        ({"training": {"half_life_days": 30}}, "half_life_days: it needs 'time'"),
        ({"training": {"search": {"trials": 3}}}, "a search tries either candidates or a space of parameters"),
        ({"training": {"search": {"space": SPACE, "candidates": TWO}}}, "either candidates or a space"),
        ({"training": {"search": {"candidates": {"one": FOREST}}}}, "a search compares at least two candidates"),
        (
            {"training": {"search": {"candidates": {**TWO, "average": FOREST}}}},
            "'average' is the name of the",
        ),
        ({"training": {"search": {"candidates": TWO, "trials": 3}}}, "each candidate is tried once"),
        ({"training": {"search": {"candidates": TWO}}}, "'estimator: auto' and 'search.candidates' need each other"),
        ({"training": {"estimator": "auto"}}, "'estimator: auto' and 'search.candidates' need each other"),
        (
            {"training": {"estimator": "auto", "params": {"max_depth": 3}, "search": {"candidates": TWO}}},
            r"set search.candidates.<name>.params",
        ),
        ({"source": {"kind": "csv", "uri": "a.csv", "dates": {"sen": "%d.%m.%Y"}}}, r"not declared: \['sen'\]"),
        ({"drift": {"persistence": [3, 2]}}, r"1 <= k <= n <= 100, found \[3, 2\]"),
        ({"drift": {"persistence": [0, 3]}}, r"found \[0, 3\]"),
        ({"drift": {"persistence": [1, 101]}}, r"found \[1, 101\]"),
        ({"drift": {"min_rows": 1001}}, r"min_rows \(1001\) is more than window_rows \(1000\)"),
        ({"schedule": {"retrain": "0 3 * *"}}, "expected five fields"),
        ({"schedule": {"retrain": "60 3 * * *"}}, "expected five fields"),
        ({"schedule": {"timezone": "Mars/Olympus"}}, "such as UTC or Europe/Berlin"),
        ({"gate": {"floor": 1.5}}, "gate.floor: roc_auc is between 0 and 1, found 1.5"),
        ({"gate": {"metric": "log_loss", "floor": -0.1}}, "gate.floor: log_loss is at least 0, found -0.1"),
        (
            {"task": "regression", "positive": None, "gate": {"metric": "r2", "floor": 1.2}},
            "gate.floor: r2 is at most 1, found 1.2",
        ),
        ({"training": {"cv": 1}}, r"training.cv\n.*one fold leaves no rows to train on: set 0 \(none\) or at least 2"),
        ({"gate": {"floor": float("nan")}}, "finite number"),
        ({"training": {"colour": "red"}}, "Extra inputs are not permitted"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
    ids=str,
)
def test_sections_that_do_not_agree_are_refused(changes: dict[str, Any], says: str) -> None:
    """The message names the columns or the numbers that were found."""
    with pytest.raises(ValidationError, match=says):
        credit_config(**changes)


@pytest.mark.parametrize("name", METRICS)
def test_a_floor_may_be_any_value_that_its_metric_has(name: str) -> None:
    """The bounds are those of the metrics' scales; a Brier score of several classes is up to 2."""
    least, most = {"unit": (0, 1), "positive": (0, 2), "below_one": (-1000, 1)}[METRICS[name].scale]
    task = METRICS[name].tasks[0]
    for floor in (least, most):
        gate = {"metric": name, "floor": floor}
        config = credit_config(task=task, positive="1" if task == "binary" else None, gate=gate)
        assert config.gate.floor == floor


@pytest.mark.parametrize("name", ["latest", "v1", "v12", "Credit", "1st", "", "a" * 64, "a/b", "a\n"])
def test_names_that_the_registry_or_a_path_would_misread_are_refused(name: str) -> None:
    """A model's name is a file's name, a folder's and one in MLflow's registry."""
    with pytest.raises(ValidationError, match="model"):
        credit_config(model=name)


@pytest.mark.parametrize("name", ["a", "v1a", "latest-2", "a" * 63])
def test_names_up_to_the_bound_are_taken(name: str) -> None:
    """Only the reserved words themselves are reserved."""
    assert credit_config(model=name).model == name


def test_values_at_their_bounds_are_taken() -> None:
    """A bound that is said to be inclusive is."""
    config = credit_config(
        drift={"persistence": [100, 100], "min_rows": 30, "window_rows": 30},
        training={"search": {"space": SPACE, "minutes": 0.1}, "cv": 0},
        validation={"max_quarantine": 1},
    )
    assert config.drift.persistence == (100, 100)
    assert config.validation.max_quarantine == 1.0


def test_the_defaults_of_sections_fit_their_bounds() -> None:
    """A model file that leaves a section out gets one that would also be taken if written out."""
    config = credit_config()
    assert ModelConfig.model_validate(config.model_dump(mode="json")) == config


def test_a_configuration_does_not_change() -> None:
    """What was checked stays as it was checked."""
    with pytest.raises(ValidationError, match="frozen"):
        credit_config().gate.floor = 0.1  # type: ignore[misc] # the test


def test_every_declared_column_is_named_once() -> None:
    """Key, time and target first; a time that is also a feature is one column."""
    config = credit_config(time="seen", features={"dates": ["seen"], "ignored": ["note"]})
    assert config.columns == ("id", "seen", "default", "income", "age", "region", "owner", "note")
    assert config.features.used == ("income", "age", "region", "owner", "seen")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"kind": "excel", "uri": "a.xlsx"}, "'csv', 'parquet', 'sql', 'sklearn', 'openml', 'simulated'"),
        ({"kind": "csv"}, "uri"),
        ({"kind": "csv", "uri": "a.csv", "delimiter": "||"}, "at most 1 character"),
        ({"kind": "sql", "uri_env": "postgresql://ada@db/loans", "query": "SELECT 1"}, "uri_env"),
        ({"kind": "openml", "data_id": 0}, "greater than 0"),
        ({"kind": "simulated", "months": 1201}, "less than or equal to 1200"),
        ({"kind": "simulated", "query": "SELECT 1"}, "Extra inputs are not permitted"),
        ({"kind": "csv", "uri": "a.csv", "decimal": ";"}, "'.' or ','"),
        ({"kind": "csv", "uri": "a.csv", "decimal": ",", "thousands": {"a": ","}}, "of 'a' are both ','"),
        ({"kind": "csv", "uri": "a.csv", "thousands": "."}, "decimal and thousands are both '.'"),
        ({"kind": "csv", "uri": "a.csv", "units": {"a": "5"}}, "expected a text such as '%' or 'EUR'"),
        ({"kind": "csv", "uri": "a.csv", "dates": {"a": "%d.%m"}}, "expected a day, a month and a year"),
        ({"kind": "csv", "uri": "a.csv", "dates": {"a": ["seconds", "%d.%m.%Y"]}}, "'seconds' stands alone"),
        ({"kind": "csv", "uri": "a.csv", "dates": {"a": []}}, "at least one format"),
    ],
)
def test_a_source_is_refused_by_the_rules_of_its_kind(content: dict[str, Any], says: str) -> None:
    """Only the fields of that kind are looked at, and an address with a password has no place in the file."""
    with pytest.raises(ValidationError, match=says):
        TypeAdapter(Source).validate_python(content)


MESH: dict[str, Any] = {
    "kind": "gateway",
    "namespace": "serving",
    "name": "credit",
    "backends": {"champion": "one", "challenger": "two"},
    "prometheus": {
        "requests": 'requests_total{version="$version"}',
        "latency": 'seconds_bucket{version="$version"}',
        "predictions": 'predictions_total{version="$version"}',
    },
}


def _released(release: dict[str, Any] | None = None, metrics: dict[str, Any] | None = None, **mesh: Any) -> ModelConfig:
    prometheus = {**MESH["prometheus"], **(metrics or {})}
    given = {**MESH, "prometheus": prometheus, **mesh}
    return credit_config(release={"shadow": {"requests": 0}, "mesh": given, **(release or {})})


def test_a_mesh_is_valid_with_what_it_can_give() -> None:
    """Without guardrails that need them, latencies and predictions may be left out."""
    assert _released().release.mesh is not None
    unwatched = {"guardrails": {"latency_ratio": None, "prediction_psi": None}}
    assert _released(unwatched, {"latency": None, "predictions": None}).release.mesh is not None
    assert _released(kind="rollouts", backends=None).release.mesh is not None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"release": {"shadow": {"requests": 5}}}, "shadow.requests: expected 0 with a mesh"),
        ({"release": {"min_labels": 5}}, "min_labels: expected 0 with a mesh"),
        ({"metrics": {"latency": None}}, "guardrails.latency_ratio: null"),
        ({"metrics": {"predictions": None}}, "guardrails.prediction_psi: null"),
        ({"metrics": {"requests": "sum(requests_total)"}}, "expected a metric with matchers"),
        ({"metrics": {"requests": 'requests_total{version="$vers"}'}}, r"found \$vers"),
        ({"metrics": {"requests": 'requests_total{version="2"}'}}, "both versions are the same"),
        ({"kind": "rollouts"}, "kind rollouts has none"),
        ({"backends": None}, "kind gateway needs champion and challenger"),
        ({"backends": {"champion": "one", "challenger": "one"}}, "expected two Services"),
        ({"name": "../secrets"}, "pattern"),
    ],
)
def test_a_mesh_that_cannot_be_judged_is_refused(changes: dict[str, Any], said: str) -> None:
    """A release must not wait for its deadline for what is missing in the file."""
    with pytest.raises(ValueError, match=said):
        _released(**changes)


@pytest.mark.parametrize(
    ("release", "said"),
    [
        ({"steps": [100], "shadow": {"requests": 0}}, "nothing to observe before the champion changes"),
        ({"min_labels": 5, "guardrails": {"performance_loss": None}}, "expected 0 without guardrails.performance_loss"),
    ],
)
def test_a_plan_that_cannot_be_followed_is_refused(release: dict[str, Any], said: str) -> None:
    """When the file is read, and not after a training; the mode direct follows no plan."""
    with pytest.raises(ValueError, match=said):
        credit_config(release=release)
    assert credit_config(release={"steps": [100], "shadow": {"requests": 0}, "mode": "direct"})
