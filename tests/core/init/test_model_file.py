from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.load import load_model_config, model_path
from config.schema import Drift, ModelConfig, Retrain, Schedule
from core.init.columns import ColumnStatistics, Decision, TargetDecision
from core.init.model_file import LEVELS_WITH_A_COLUMN, Findings, boosting_params, model_content, model_text, notes
from core.train.pipeline import ONE_HOT_LEVELS


def statistics(name: str, **known: Any) -> ColumnStatistics:
    """Build statistics of 3,000 rows without gaps."""
    basis = ColumnStatistics(name=name, type_name="DOUBLE", n_rows=3000, n_missing=0, n_distinct=100)
    return replace(basis, **known)


def findings(**changes: Any) -> Findings:
    """Build what was found in a file of loans."""
    levels = (("north", 1500), ("south", 1500))
    columns = [
        statistics("defaulted", levels=(("0", 2700), ("1", 300)), n_distinct=2),
        statistics("income"),
        statistics("region", n_distinct=2, levels=levels, type_name="VARCHAR"),
        statistics("id", n_distinct=3000),
    ]
    basis = Findings(
        name="loans",
        source={"kind": "csv", "uri": "loans.csv"},
        columns={column.name: column for column in columns},
        target="defaulted",
        goal=TargetDecision(
            "binary", "two values", positive="1", why_positive="yes", classes=(("0", 2700), ("1", 300))
        ),
        kinds={
            "income": Decision("numeric", "numbers"),
            "region": Decision("categorical", "2 levels"),
            "id": Decision("ignored", "a row number"),
        },
    )
    return replace(basis, **changes)


def written(found: Findings, folder: Path) -> ModelConfig:
    """Write the model file and load it."""
    content, why = model_content(found)
    path = model_path(folder, found.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(model_text(content, why, ["top"]), encoding="utf-8")
    loaded = load_model_config(folder, found.name)
    assert loaded == ModelConfig.model_validate(content)
    return loaded


def test_every_inferred_value_has_its_reason_beside_it() -> None:
    """A reader sees why without looking elsewhere."""
    content, why = model_content(findings(missing={"?": "the other values of 'income' are numbers"}))
    lines = model_text(content, why, ["top"]).splitlines()
    assert lines[0] == "# top"
    for value, reason in [
        ("task: binary", "two values"),
        ("- region", "2 levels"),
        ("- id", "a row number"),
        ("- '?'", "the other values of 'income' are numbers"),
        ("floor: 0.6", "chance gives 0.5"),
    ]:
        line = next(line for line in lines if line.strip().startswith(value))
        assert f"# {reason}" in line


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40), min_size=1, max_size=8, unique=True))
def test_any_column_names_and_levels_read_back(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    """Quotes, line breaks, colons, stars, control characters: the file loads to what was meant."""
    fresh = [name for name in names if name not in {"defaulted"}] or ["x"]
    found = findings(
        columns={**findings().columns, **{name: statistics(name) for name in fresh}},
        kinds={name: Decision("numeric", f"holds {name}") for name in fresh},
        missing={name: f"holds {name}" for name in fresh},
    )
    assert written(found, tmp_path_factory.mktemp("models")).features.numeric == tuple(fresh)


@pytest.mark.parametrize(
    "name",
    ["yes", "no", "1", "1.0", "null", "~", "*x", "&x", "#x", "a: b", "a #b", "- a", "{a}", "12:30", "😀", "é" * 1024],
)
def test_names_that_yaml_reads_as_something_else_are_quoted(name: str, tmp_path: Path) -> None:
    """Readers of YAML 1.1 included."""
    found = findings(
        columns={**findings().columns, name: statistics(name)}, kinds={name: Decision("numeric", "numbers")}
    )
    assert written(found, tmp_path).features.numeric == (name,)


def test_the_floor_of_each_task_is_what_knowing_nothing_reaches() -> None:
    """Regression: the error of the mean; more classes: the entropy of their shares; two: the luck of chance."""
    even = (("a", 1000), ("b", 1000), ("c", 1000))
    regression = findings(goal=TargetDecision("regression", "numbers"), baseline=12.3456)
    multiclass = findings(goal=TargetDecision("multiclass", "classes", classes=even))
    contents = [model_content(found)[0] for found in (findings(), multiclass, regression)]
    assert [content["gate"] for content in contents] == [
        {"metric": "roc_auc", "floor": 0.62, "mode": "enabled"},
        {"metric": "log_loss", "floor": 1.1, "mode": "enabled"},
        {"metric": "rmse", "floor": 12.3, "mode": "enabled"},
    ]
    # A hundredth of a share is no tolerance for errors of a dozen.
    losses = [content["release"]["guardrails"]["performance_loss"] for content in contents]
    assert losses == [0.01, 0.01, 0.12]


@pytest.mark.parametrize(("n_rows", "asked"), [(500, None), (490, 49), (200, 30), (20, 30)])
def test_few_rows_make_the_gate_ask_for_fewer(n_rows: int, asked: int | None, tmp_path: Path) -> None:
    """Where the holdout has fewer rows than the gate's default asks for, half of them will do, if that is enough."""
    found = findings(columns={name: replace(one, n_rows=n_rows) for name, one in findings().columns.items()})
    config = written(found, tmp_path)
    assert config.gate.min_rows == (asked or 100)
    assert ("min_rows" in model_content(found)[0]["gate"]) == (asked is not None)
    said = " ".join(notes(found, config))
    assert ("the gate needs 30 to compare two versions" in said) == (n_rows == 20)


def section_lines(text: str, section: str) -> list[str]:
    """Return the lines of a section of a model file without its name."""
    return text[text.index(f"\n{section}:") :].strip().split("\n\n")[0].splitlines()[1:]


def test_retraining_and_schedule_are_written_as_they_are_by_default(tmp_path: Path) -> None:
    """Nothing runs by itself before somebody says when; each value has its reason beside it."""
    config = written(findings(), tmp_path)
    assert (config.retrain, config.schedule) == (Retrain(), Schedule())
    text = model_text(*model_content(findings()), ["top"])
    for section, n_values in (("retrain", 3), ("schedule", 4)):
        lines = section_lines(text, section)
        assert len(lines) == n_values
        assert all(" # " in line for line in lines)
    assert "  ingest: null" in text


def test_the_drift_section_is_written_with_a_reason_beside_each_value(tmp_path: Path) -> None:
    """A delay of labels needs a time to count from; [k, n] is one setting on one line."""
    assert written(findings(), tmp_path).drift == Drift()
    text = model_text(*model_content(findings()), ["top"])
    assert "  persistence: [2, 3]" in text
    assert all(" # " in line for line in section_lines(text, "drift"))
    assert ("label_delay_days" in text) == (findings().time is not None)


@pytest.mark.parametrize(
    ("n_rows", "n_events", "window", "advice"),
    [
        (30_000, 150, 4_200, "windows of about 4,200 rows; drift.window_rows is 4,200"),
        (10_000, 50, 1_000, "windows of about 4,200 rows; drift.window_rows is 1,000, raise it as rows arrive"),
        (30_000, 630, 1_000, None),
    ],
)
def test_windows_are_large_enough_to_find_a_doubled_rate(
    n_rows: int, n_events: int, window: int, advice: str | None, tmp_path: Path
) -> None:
    """A window needs 21 expected events; one of more than a fifth of the rows is not set, only advised."""
    goal = replace(findings().goal, classes=(("0", n_rows - n_events), ("1", n_events)))
    columns = {name: replace(one, n_rows=n_rows) for name, one in findings().columns.items()}
    found = findings(goal=goal, columns=columns)
    config = written(found, tmp_path)
    assert (config.drift.window_rows, config.drift.min_rows) == (window, window // 5)
    said = [line for line in notes(found, config) if "a doubled rate" in line]
    assert len(said) == (advice is not None)
    assert advice is None or (said[0].startswith("look: class '1' is rare") and said[0].endswith(advice))


def test_few_rows_are_not_cut_once_more_to_stop_by() -> None:
    """Early stopping sets rows aside; a rare class would leave none in them."""
    assert boosting_params("binary", 30_000, 3000)["early_stopping"]
    assert not boosting_params("binary", 500, 200)["early_stopping"]
    assert not boosting_params("binary", 30_000, 20)["early_stopping"]


def test_new_model_files_compare_boosting_with_a_linear_model(tmp_path: Path) -> None:
    """And with their average; each candidate has its reason beside it."""
    training = written(findings(), tmp_path).training
    assert training.estimator == "auto"
    assert {name: one.estimator.rpartition(".")[2] for name, one in training.candidates.items()} == {
        "boosting": "HistGradientBoostingClassifier",
        "linear": "LogisticRegression",
    }
    lines = section_lines(model_text(*model_content(findings()), ["top"]), "training")
    for start in ("estimator: auto", "search:", "boosting:", "linear:", "average: true"):
        assert " # " in next(line for line in lines if line.strip().startswith(start))


def test_many_cells_leave_the_linear_model_out(tmp_path: Path) -> None:
    """Its matrix would not fit into memory; boosting takes the rows as they are."""
    assert LEVELS_WITH_A_COLUMN == ONE_HOT_LEVELS
    rows = 2_000_000
    many = {name: replace(one, n_rows=rows, n_missing=0) for name, one in findings().columns.items()}
    many["region"] = replace(many["region"], n_distinct=500)
    training = written(findings(columns=many), tmp_path).training
    assert training.estimator == "sklearn.ensemble.HistGradientBoostingClassifier"
    assert training.search is None


def test_what_needs_a_look_is_said() -> None:
    """Repeated keys, dates without --time, rare classes and copies do not pass in silence."""
    dated = statistics("opened", earliest=datetime(2024, 1, 1), latest=datetime(2024, 3, 1))
    found = findings(
        columns={**findings().columns, "opened": dated},
        kinds={**findings().kinds, "opened": Decision("dates", "dates")},
        n_repeats=900,
    )
    lines = " ".join(notes(found, ModelConfig.model_validate(model_content(found)[0])))
    for text in ("use --time", "use --key", "ignored 'id'", "30 % of the rows have the same features"):
        assert text in lines
