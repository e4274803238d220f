"""The gate on registered versions: what it compares, what it cannot, and what it does when the champion moves."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from config.schema import ModelConfig
from config.settings import Settings
from core.errors import BundleError, ConfigError, PromotionError, StorageError
from core.gate.decision import GateVerdict, ServingVerdict
from store.champions import champion_history, find_verdict, verdicts_against
from store.database import open_database
from tasks.champions.aliases import repair_all
from tasks.champions.approvals import approve
from tasks.gate import judgement as contest
from tasks.gate.compare import compare_versions
from tasks.gate.judge import judge, promote
from tasks.gate.judgement import Baseline, judgement
from tasks.gate.settled import is_settled
from tasks.registry.fetch import Fetched
from tasks.registry.versions import find_registered
from tasks.train.bench import close_bench, open_bench
from tasks.train.training_run import training_run
from tests.factories import add_credit_model, credit_rows, make_project
from tests.project_copies import copy_project
from tests.tasks.judging import add_data, config_of, enthrone, register_version, settle, train
from tests.tasks.registration import use_database

pytestmark = [
    pytest.mark.usefixtures("warm_steps"),
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


@dataclass(frozen=True)
class Arena:
    """A registry with three versions that nobody judged: of the age alone, of everything, of another split."""

    settings: Settings
    data: str
    weak: ModelConfig
    full: ModelConfig
    other_split: ModelConfig

    def judged(self, config: ModelConfig, version: int, champion: int | None) -> GateVerdict:
        """Put a version to the gate; nothing is recorded."""
        run = training_run(config, self.data, "test", self.settings)
        try:
            return judgement(run, version, Baseline(champion, 1 if champion else 0), self.settings).verdict
        finally:
            close_bench()


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Arena:
    """Register the three versions, once."""
    settings = use_database(make_project(tmp_path_factory.mktemp("arena")), empty_database)
    configs = config_of("age", gate={"floor": 0.4}), config_of(), config_of(training={"seed": 5})
    data = add_data(settings, configs[1])
    for config in configs:
        register_version(settings, config, data)
    return Arena(settings, data, *configs)


@pytest.fixture(scope="module")
def weak_champion(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> tuple[Settings, str]:
    """Train a version of the age alone and make it champion, once; return the project and its data version."""
    settings = use_database(make_project(tmp_path_factory.mktemp("weak")), empty_database)
    data = add_data(settings, config_of())
    assert train(settings, config_of("age", gate={"floor": 0.4}), data)
    return settings, data


@pytest.fixture
def data(registry: Settings, weak_champion: tuple[Settings, str]) -> str:
    """Put a copy of the weak champion's project in the place of this one; return its data version."""
    copy_project(weak_champion[0], registry)
    return weak_champion[1]


def bundle_of(client: MlflowClient, version: int) -> Path:
    """Folder of a version's bundle in the artifact store."""
    return Path(str(client.get_model_version("credit", str(version)).source).removeprefix("file://"))


def of_time(estimator: str) -> ModelConfig:
    """Model file of rows in time, for a class or for a number."""
    if estimator == "LogisticRegression":
        return config_of(time="day")
    training = {"estimator": f"sklearn.linear_model.{estimator}"}
    gate = {"metric": "rmse", "floor": 100.0}
    return config_of("age", time="day", task="regression", target="income", positive=None, training=training, gate=gate)


def versions(settings: Settings) -> list[int]:
    """Every version that ever was champion, in order."""
    return [entry.version for entry in champion_history(open_database(settings.database_url), "credit")]


@pytest.mark.slow
def test_a_better_version_takes_office_and_a_worse_one_does_not(
    registry: Settings, data: str, client: MlflowClient
) -> None:
    """Verdict, history, aliases, tags and card say the same; a repeat finds nothing left to do."""
    verdict = train(registry, config_of(), data)
    assert verdict is not None
    assert verdict.comparison is not None
    assert (verdict.decision, verdict.champion) == ("promote", 1)
    assert (verdict.comparison.difference.low or 0) > 0
    assert verdict.self_test is not None
    assert [trial.passed for trial in verdict.self_test.results] == [True, True, True]
    assert client.get_registered_model("credit").aliases == {"champion": 2, "previous": 1}

    again = train(registry, config_of("age", gate={"floor": 0.4}, training={"seed": 1}), data)
    assert again is not None
    assert again.decision == "keep"
    assert versions(registry) == [1, 2]
    tags = client.get_model_version("credit", "3").tags
    assert (tags["perennial.gate"], tags["perennial.gate.champion"]) == ("refused", "2")
    assert float(tags["perennial.gate.gain"]) < 0
    reports = Path(client.download_artifacts(str(client.get_model_version("credit", "3").run_id), "reports"))
    assert json.loads((reports / "gate.json").read_text())["decision"] == "keep"
    assert "judged after registration" not in (reports / "card.html").read_text()
    assert train(registry, config_of(), data) is None


def test_rows_a_champion_has_trained_on_do_not_judge(arena: Arena) -> None:
    """A champion of another split has seen most of the holdout; those rows are removed and counted."""
    facts = arena.judged(arena.full, 2, champion=3).holdout
    assert facts is not None
    assert facts.n_seen_by_champion == pytest.approx(0.8 * facts.n_holdout, rel=0.1)
    assert (facts.n_seen_by_challenger, facts.n_rows) == (0, facts.n_holdout - facts.n_seen_by_champion)


def test_too_few_clean_rows_leave_the_gate_undecided(arena: Arena) -> None:
    """The verdict says how many are needed."""
    strict = arena.full.model_copy(update={"gate": arena.full.gate.model_copy(update={"min_rows": 500})})
    verdict = arena.judged(strict, 2, champion=3)
    assert verdict.decision == "undecided", verdict.reasons
    assert "500 are needed" in " ".join(verdict.reasons)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["LogisticRegression", "LinearRegression"])
def test_an_older_data_version_is_judged_though_the_champion_knows_all_its_rows(
    registry: Settings, estimator: str
) -> None:
    """No row is clean: the verdict is undecided and recorded, and names the comparison that decides."""
    config = of_time(estimator)
    days = pd.Timestamp("2025-01-01") + pd.to_timedelta(np.arange(3_000) // 20, unit="D")
    rows = credit_rows(3_000).assign(day=days.astype("datetime64[us]"))
    older = add_data(registry, config, rows.head(1_000))
    newest = add_data(registry, config, rows.tail(2_000))
    first = train(registry, config, newest)
    assert first is not None
    assert first.passed, first.reasons
    verdict = train(registry, config, older)
    assert verdict is not None
    assert verdict.holdout is not None
    assert (verdict.decision, verdict.holdout.n_rows) == ("undecided", 0)
    assert "0 of 200 holdout rows are clean; removed: 200 that the champion has trained on" in " ".join(verdict.reasons)
    assert "perennial compare credit@1 credit@2" in " ".join(verdict.reasons)
    assert find_verdict(open_database(registry.database_url), "credit", 2, 1) is not None
    assert train(registry, config, older) is None
    document = json.dumps(config.model_dump(mode="json", exclude_none=True))
    (registry.root / "config" / "models" / "credit.yaml").write_text(document)
    compared = compare_versions("credit@1", "credit@2", None, registry)
    assert compared.comparison is not None
    assert compared.comparison.n_rows > 500
    assert approve("credit", "2", "to see the older rows again", registry).moved


def test_a_first_version_without_a_clean_row_is_undecided(arena: Arena) -> None:
    """The model file's seed changed since, so every holdout row was trained on: the gate has no row to be tested on."""
    unseen = open_bench(training_run(arena.full, arena.data, "test", arena.settings)).split.holdout
    run = training_run(arena.other_split, arena.data, "test", arena.settings)
    bench = open_bench(run)
    bench.split = replace(bench.split, holdout=np.setdiff1d(bench.split.holdout, unseen))
    verdict = judgement(run, 2, Baseline(None), arena.settings).verdict
    close_bench()
    assert verdict.decision == "undecided", verdict.reasons
    assert "that the challenger has trained on" in " ".join(verdict.reasons)


@pytest.mark.slow
def test_looks_at_the_same_rows_are_counted(registry: Settings) -> None:
    """The third challenger of one champion on one holdout is judged at a higher confidence."""
    data = add_data(registry, config_of())
    train(registry, config_of(), data)
    looked = [train(registry, config_of(training={"params": {"C": 0.1 * n}}), data) for n in (1, 2, 3)]
    comparisons = [verdict.comparison for verdict in looked if verdict]
    assert [comparison.looks for comparison in comparisons if comparison] == pytest.approx([1, 2, 3])
    confidences = [comparison.confidence for comparison in comparisons if comparison]
    assert confidences == pytest.approx([0.95, 1 - 0.05 / 4, 1 - 0.05 / 9])
    assert len(verdicts_against(open_database(registry.database_url), "credit", 1)) == 3


@pytest.mark.parametrize("spoiled", ["model.skops", "manifest.json"])
@pytest.mark.slow
def test_a_champion_that_cannot_be_read_is_never_replaced_unseen(
    registry: Settings, data: str, client: MlflowClient, spoiled: str
) -> None:
    """A damaged bundle of the champion leaves the gate undecided, with the reason."""
    path = bundle_of(client, 1) / spoiled
    path.write_bytes(path.read_bytes()[:-7] + b"spoiled")
    verdict = train(registry, config_of(), data)
    assert verdict is not None
    assert verdict.decision == "undecided", verdict.reasons
    assert spoiled.split(".")[0] in " ".join(verdict.reasons)
    assert versions(registry) == [1]


@pytest.mark.slow
def test_a_champion_that_is_gone_is_never_replaced_unseen(arena: Arena) -> None:
    """A champion that MLflow no longer has leaves the gate undecided."""
    verdict = arena.judged(arena.full, 2, champion=9)
    assert verdict.decision == "undecided", verdict.reasons
    assert "no version 9" in " ".join(verdict.reasons)


@pytest.mark.slow
def test_a_damaged_challenger_is_an_error_and_no_champion(registry: Settings, client: MlflowClient) -> None:
    """Without its bundle there is nothing to judge; it stays registered and is judged once it is whole."""
    data = add_data(registry, config_of())
    run = register_version(registry, config_of(), data)
    path = bundle_of(client, 1) / "model.skops"
    whole = path.read_bytes()
    path.write_bytes(whole[:-7] + b"spoiled")
    with pytest.raises(BundleError, match=r"model\.skops is not what was registered"):
        settle(registry, run)
    assert versions(registry) == []
    path.write_bytes(whole)
    verdict = settle(registry, run)
    assert verdict is not None
    assert verdict.passed


@pytest.mark.slow
def test_a_champion_with_other_columns_is_compared(arena: Arena) -> None:
    """The rows still hold a column that the model file no longer declares; the champion gets it."""
    without_age = config_of("income")
    run = register_version(arena.settings, without_age, arena.data)
    found = find_registered("credit", run.lineage.run_key, arena.settings)
    assert found is not None
    assert arena.judged(without_age, found.version, champion=1).decision == "promote"


@pytest.mark.slow
def test_a_champion_that_needs_columns_the_rows_lack_is_not_compared(registry: Settings) -> None:
    """It would be asked about nothing but gaps; the gate is undecided and names the column."""
    with_age, without = config_of("age", gate={"floor": 0.4}), config_of("income")
    data = add_data(registry, with_age)
    train(registry, with_age, data)
    # The same keys again with other values: every earlier row is replaced by one without an age.
    rows = credit_rows(3_000).assign(age=np.nan, income=lambda frame: frame["income"] + 0.01)
    verdict = train(registry, without, add_data(registry, without, rows))
    assert verdict is not None
    assert verdict.decision == "undecided", verdict.reasons
    assert "needs 'age'" in " ".join(verdict.reasons)


def test_a_holdout_of_one_class_is_undecided(arena: Arena) -> None:
    """A metric that nobody can compute on the rows promotes nobody."""
    run = training_run(arena.full, arena.data, "test", arena.settings)
    bench = open_bench(run)
    held = bench.split.holdout
    bench.split = replace(bench.split, holdout=held[bench.y[held] == 0])
    verdict = judgement(run, 2, Baseline(1, 1), arena.settings).verdict
    close_bench()
    assert verdict.decision == "undecided", verdict.reasons
    assert "class '1'" in " ".join(verdict.reasons)


@pytest.mark.slow
def test_a_slice_column_of_thousands_of_values(registry: Settings) -> None:
    """The ten largest levels and the rest are looked at; the verdict stays small."""
    rows = credit_rows(3_000)
    rows["region"] = [f"r{number % 2_500}" for number in range(len(rows))]
    config = config_of(evaluation={"slices": ["region"], "resamples": 50})
    data = add_data(registry, config, rows)
    train(registry, config_of("age", gate={"floor": 0.4}, evaluation={"resamples": 50}), data)
    verdict = train(registry, config, data)
    assert verdict is not None
    assert verdict.comparison is not None
    assert len(verdict.comparison.slices) == 11


def test_a_metric_that_does_not_fit_the_task_is_refused_with_the_model_file() -> None:
    """RMSE of a classifier never reaches the gate."""
    with pytest.raises(ValueError, match="does not fit the task"):
        config_of(gate={"metric": "rmse"})


@pytest.mark.slow
def test_a_champion_that_moved_while_a_version_was_judged(registry: Settings, data: str, client: MlflowClient) -> None:
    """The compare-and-set fails, the version is judged again, against whoever is champion now."""
    other = register_version(registry, config_of(training={"seed": 0, "params": {"C": 0.5}}), data)
    run = register_version(registry, config_of(), data)
    verdict = judge(run, 3, registry)
    assert verdict.champion == 1
    enthrone(registry, 2)
    assert not promote(run, verdict, registry)
    again = settle(registry, run)
    assert again is not None
    assert (again.champion, again.decision) == (2, "keep")
    assert versions(registry) == [1, 2]
    assert other.config.training.params["C"] == 0.5
    assert client.get_registered_model("credit").aliases["champion"] == 2


@pytest.mark.slow
def test_manual_mode_waits_and_dry_run_only_records(registry: Settings, data: str, client: MlflowClient) -> None:
    """Neither moves the champion; the one that waits is the challenger."""
    dry = train(registry, config_of(gate={"mode": "dry_run"}), data)
    assert dry is not None
    assert dry.passed
    assert client.get_registered_model("credit").aliases == {"champion": 1}
    other = {"params": {"C": 0.5}}
    waiting = train(registry, config_of(gate={"mode": "manual"}, training=other), data)
    assert waiting is not None
    assert waiting.passed
    assert client.get_registered_model("credit").aliases == {"champion": 1, "challenger": 3}
    enthrone(registry, 2)
    repair_all(registry)
    assert client.get_registered_model("credit").aliases == {"champion": 2, "previous": 1}
    again = train(registry, config_of(gate={"mode": "manual"}, training=other), data)
    assert again is not None
    assert again.champion == 2


@pytest.mark.slow
def test_a_registry_that_was_made_anew_is_noticed(registry: Settings) -> None:
    """A verdict on record about another bundle of the same number is an error, not an answer."""
    data = add_data(registry, config_of())
    run = register_version(registry, config_of(), data)
    settle(registry, run)
    found = find_registered("credit", run.lineage.run_key, registry)
    assert found is not None
    with pytest.raises(StorageError, match="the registry was replaced"):
        is_settled(run.config, found.version, "0" * 64, registry)


@pytest.mark.slow
def test_compare_by_hand_changes_nothing(registry: Settings, data: str, client: MlflowClient) -> None:
    """It answers as the gate would, on the newest data, and leaves no verdict."""
    add_credit_model(registry, training={"estimator": "sklearn.linear_model.LogisticRegression", "cv": 0})
    register_version(registry, config_of(), data)
    before = client.get_registered_model("credit").aliases
    verdict = compare_versions("credit@champion", "credit@2", None, registry)
    assert (verdict.decision, verdict.champion, verdict.version) == ("promote", 1, 2)
    reverse = compare_versions("credit@2", "credit@1", data, registry)
    assert reverse.decision == "keep"
    assert find_verdict(open_database(registry.database_url), "credit", 2) is None
    assert client.get_registered_model("credit").aliases == before
    with pytest.raises(ConfigError, match="two versions of one model"):
        compare_versions("credit@1", "other@2", None, registry)
    with pytest.raises(ConfigError, match="both version 1"):
        compare_versions("credit@1", "credit@champion", None, registry)


@pytest.mark.slow
def test_a_repeated_judgement_is_the_recorded_one(registry: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the verdict was recorded, the next run promotes by it and counts no second look."""
    data = add_data(registry, config_of())
    run = register_version(registry, config_of(), data)
    first = judge(run, 1, registry)

    def judged_twice(*_: Any) -> None:
        raise AssertionError("the verdict was on record")

    monkeypatch.setattr("tasks.gate.judgement.judgement", judged_twice)
    assert settle(registry, run) == first
    assert versions(registry) == [1]


@pytest.mark.slow
def test_a_key_that_repeats_makes_clusters(registry: Settings) -> None:
    """Rows that are copies of a customer's row count once in the comparison, and the verdict says so."""
    rows = credit_rows(600)
    copies = rows.loc[rows.index.repeat(8)].reset_index(drop=True)
    copies["age"] = (18 + np.arange(len(copies)) % 60).astype("float64")
    repeating: dict[str, Any] = {"key_is_unique": False}
    weak, full = config_of("age", gate={"floor": 0.3}, **repeating), config_of(**repeating)
    data = add_data(registry, full, copies)
    train(registry, weak, data)
    verdict = train(registry, full, data)
    assert verdict is not None
    assert verdict.comparison is not None
    effect = verdict.comparison.difference.clusters
    assert effect is not None
    assert effect.clusters == "id"
    assert 5 < effect.effect < 11
    assert effect.sentence in verdict.reasons


@pytest.mark.slow
def test_a_busy_machine_is_rehearsed_again_by_the_next_command(
    registry: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The undecided verdict is recorded, but settles nothing: the same command again promotes the version."""
    data = add_data(registry, config_of())
    run = register_version(registry, config_of(), data)
    busy = ServingVerdict(None, "skops", 305, 0.0, 300.0, 340.0, 0.1, ("the machine was too busy",), 80.0, 4.0)
    with monkeypatch.context() as patch:
        patch.setattr(contest, "rehearsed", lambda *_: busy)
        first = settle(registry, run)
    assert first is not None
    assert (first.decision, first.rehearse_again) == ("undecided", True)
    assert versions(registry) == []
    with pytest.raises(PromotionError, match=r"too busy to rehearse.*perennial judge credit@1"):
        approve("credit", "1", "in a hurry", registry)
    second = settle(registry, run)
    assert second is not None
    assert second.passed, second.reasons
    assert versions(registry) == [1]


@pytest.mark.slow
def test_a_champion_that_answers_nan_is_not_compared(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be said against a champion whose answers are no numbers; the gate is undecided."""
    load = contest.load_contestant

    class Silent:
        """A pipeline whose probabilities are NaN."""

        classes_ = np.array([0, 1])

        def predict_proba(self, frame: pd.DataFrame) -> Any:
            return np.full((len(frame), 2), np.nan)

    def silent(files: Fetched, config: ModelConfig) -> contest.Contestant:
        loaded = load(files, config)
        return replace(loaded, pipeline=Silent()) if files.version == 1 else loaded

    monkeypatch.setattr(contest, "load_contestant", silent)
    verdict = arena.judged(arena.full, 2, champion=1)
    assert verdict.decision == "undecided", verdict.reasons
    assert "NaN or infinity" in " ".join(verdict.reasons)
