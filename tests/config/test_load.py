import json
import re
from pathlib import Path

import pytest

from config.load import MAX_BYTES, load_model_config, model_path
from config.schema import PATTERNS, ModelConfig
from core.errors import ConfigError

MODEL_FILE = """\
model: credit
task: binary
source: {kind: csv, uri: rows.csv}
target: default
positive: "1"
features: {numeric: [income], categorical: [region]}
validation: {suite: config/expectations/credit.json}
training: {estimator: sklearn.ensemble.HistGradientBoostingClassifier}
gate: {metric: roc_auc, floor: 0.6}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Folder of a project with one model."""
    model_path(tmp_path, "credit").parent.mkdir(parents=True)
    model_path(tmp_path, "credit").write_text(MODEL_FILE)
    return tmp_path


def _spoil(root: Path, old: str, new: str) -> None:
    text = model_path(root, "credit").read_text()
    assert old in text
    model_path(root, "credit").write_text(text.replace(old, new))


def test_a_valid_file_becomes_a_frozen_configuration(root: Path) -> None:
    """Values and defaults are read, and cannot be changed afterwards."""
    config = load_model_config(root, "credit")
    assert config.features.used == ("income", "region")
    assert config.validation.max_quarantine == 0.02
    with pytest.raises(ValueError, match="frozen"):
        config.target = "other"  # type: ignore[misc] # that it is refused is what is tested


def test_overrides_are_read_as_yaml_and_reach_nested_values(root: Path) -> None:
    """A dotted path sets one value; its text is YAML, so numbers stay numbers."""
    config = load_model_config(root, "credit", {"training.params.max_iter": "300", "evaluation.resamples": "100"})
    assert config.training.params == {"max_iter": 300}
    assert config.evaluation.resamples == 100


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gate:", "gates: 1\ngate:", r"gates: unknown key \(closest: 'gate'\)"),
        ("floor: 0.6", "floor: high", "gate.floor: .*valid number.*found 'high'"),
        ("floor: 0.6", "floor: .inf", "gate.floor: .*finite number"),
        ("floor: 0.6", "floor: 0.6, margin: -0.1", "gate.margin: .*greater than or equal to 0"),
        ("floor: 0.6", "floor: 0.6, confidence: 95", "gate.confidence: .*less than 1"),
        ("floor: 0.6", "floor: 0.6, resamples: 100", "gate.resamples: .*greater than or equal to 200"),
        ("floor: 0.6", "floor: 0.6, min_rows: 10", "gate.min_rows: .*greater than or equal to 30"),
        ("floor: 0.6", "floor: 0.6, mode: off", "gate.mode: .*'enabled', 'dry_run' or 'manual'"),
        ("metric: roc_auc", "metric: rmse", "\n  gate.metric: 'rmse' does not fit the task binary"),
        ("task: binary", "task: ranking", "task: .*found 'ranking'"),
        ("kind: csv", "kind: excel", "source.*'excel'"),
        ("numeric: [income]", "numeric: [region]", "columns listed twice: region"),
        ("numeric: [income]", "numeric: [income, default]", "target: 'default' is also a feature"),
        ('positive: "1"\n', "", "\n  positive: a binary task needs the class"),
        ("model: credit", "model: debit", "expected the name of the file, 'credit'"),
        ("model: credit", "model: v1", "reserved"),
        ("task: binary", "task: [binary", "line .* not valid YAML"),
        ("task: binary", "task: !!python/object:os.system x", "not valid YAML"),
        (MODEL_FILE, "- a\n- b\n", "expected a mapping, found list"),
    ],
)
def test_a_malformed_file_is_refused_with_the_place_and_the_reason(
    root: Path, old: str, new: str, message: str
) -> None:
    """Unknown keys, values out of bounds and broken YAML name what is wrong and where."""
    _spoil(root, old, new)
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_model_config(root, "credit")


@pytest.mark.parametrize(
    ("dotted", "value", "problem"),
    [
        ("drift.persistence", "[3, 2]", "drift.persistence: expected [k, n] with 1 <= k <= n <= 100, found [3, 2]"),
        (
            "training.search.candidates",
            "{Bad Name: {estimator: sklearn.svm.SVC}}",
            "training.search.candidates.Bad Name: expected a small letter, then at most 30 small letters, digits "
            "or '_' (found 'Bad Name')",
        ),
        (
            "training.estimator",
            "Forest",
            "training.estimator: expected auto or an import path, such as sklearn.linear_model.LogisticRegression "
            "(found 'Forest')",
        ),
        (
            "training.estimator",
            "5",
            "training.estimator: Input should be a valid string (found 5)",
        ),
        (
            "training.trusted_types",
            "[Forest]",
            "training.trusted_types.0: expected a type with its module, such as package.module.Class (found 'Forest')",
        ),
    ],
)
def test_a_problem_is_told_once_in_plain_words(root: Path, dotted: str, value: str, problem: str) -> None:
    """What was found stands there once, and a pattern is described rather than shown."""
    with pytest.raises(ConfigError) as caught:
        load_model_config(root, "credit", {dotted: value})
    assert f"  {problem}" in str(caught.value).splitlines()


def test_every_pattern_of_the_schema_is_described_in_words() -> None:
    """A pattern without words would end the command in a traceback."""
    schema = json.dumps(ModelConfig.model_json_schema())
    found = {json.loads(f'"{text}"') for text in re.findall(r'"pattern": "((?:[^"\\]|\\.)*)"', schema)}
    named = {json.loads(f'"{text}"') for text in re.findall(r'"patternProperties": {"((?:[^"\\]|\\.)*)"', schema)}
    assert found | named == set(PATTERNS)


def test_a_missing_file_lists_the_models_there_are(root: Path) -> None:
    """A misspelt name shows which ones exist and how to make one."""
    with pytest.raises(ConfigError, match=r"models here: credit.*perennial init"):
        load_model_config(root, "kredit")


def test_an_oversized_file_is_refused_before_it_is_parsed(root: Path) -> None:
    """YAML can blow up while parsing; the cap comes first."""
    model_path(root, "credit").write_text("#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="larger than 1,000,000 bytes"):
        load_model_config(root, "credit")


def test_text_that_is_not_utf8_is_refused(root: Path) -> None:
    """The error names the first byte that is wrong."""
    model_path(root, "credit").write_bytes(MODEL_FILE.encode() + b"\xff")
    with pytest.raises(ConfigError, match=r"not UTF-8 text .* at byte \d+"):
        load_model_config(root, "credit")


def test_an_override_cannot_turn_a_value_into_a_section(root: Path) -> None:
    """A path through a plain value says which part is none."""
    with pytest.raises(ConfigError, match="'target' is a value, not a section"):
        load_model_config(root, "credit", {"target.name": "x"})
