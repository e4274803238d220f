"""Windows of a registered champion: what is chosen, measured, decided and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from scipy import stats

from config.schema import ModelConfig
from config.settings import Settings
from core.drift.columns import ColumnDrift
from core.drift.monitored_window import MonitoredWindow
from core.drift.verdict import DriftEvidence, DriftVerdict
from core.errors import BundleError, ConfigError, DataVersionError, ModelNotFoundError, SchemaError
from tasks.monitor import measure as monitor
from tasks.monitor import scored
from tasks.monitor.follow_up import follow_up
from tasks.monitor.measure import decided, keep, measure
from tasks.monitor.recorded import PAGES, newest_report, recorded_verdict, recorded_verdicts, report_links
from tasks.monitor.windows import Asked, monitored_window
from tests.factories import add_credit_model, credit_config, credit_rows, make_project
from tests.tasks.judging import LINEAR, add_data, enthrone, register_version

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


@dataclass(frozen=True)
class Watched:
    """A project whose model has a champion, trained on the first batch."""

    settings: Settings
    config: ModelConfig
    trained_on: str

    def add(self, rows: pd.DataFrame) -> str:
        """Land rows as a batch and return its name."""
        add_data(self.settings, self.config, rows)
        return self.batches()[-1]

    def batches(self) -> list[str]:
        """Names, in order."""
        return sorted(path.stem for path in (self.settings.root / "data" / "credit").glob("*.parquet"))

    def window(self, *batches: str, drift: dict[str, Any] | None = None, **asked: Any) -> MonitoredWindow:
        """Choose a window."""
        config = self.config
        if drift:
            config = config.model_copy(update={"drift": config.drift.model_copy(update=drift)})
        return monitored_window(config, Asked(batches=batches, **asked), self.settings)

    def evidence(self, *batches: str, **asked: Any) -> DriftEvidence:
        """Measure a window; nothing is recorded."""
        return measure(self.window(*batches, **asked), self.settings)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Return a champion of 3,000 rows."""
    settings = make_project(tmp_path_factory.mktemp("watched"))
    add_credit_model(settings)
    config = credit_config(training=LINEAR)
    trained_on = add_data(settings, config)
    register_version(settings, config, trained_on)
    enthrone(settings, 1)
    return Watched(settings, config, trained_on)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget the rows of windows that a test measured and did not decide on."""
    yield
    monitor._drawn.clear()


def named(evidence: DriftEvidence, name: str) -> ColumnDrift:
    """Return one column's drift."""
    return next(column for column in evidence.columns if column.name == name)


def test_new_rows_of_the_same_world_have_not_drifted(watched: Watched) -> None:
    """The default window is the new batch; features, target and predictions are compared, labels are judged by."""
    name = watched.add(credit_rows(1_500, seed=2))
    evidence = watched.evidence()
    assert evidence.window.batches == (name,)
    assert (evidence.window.n_rows, evidence.window.n_seen, evidence.window.n_labelled) == (1_500, 0, 1_500)
    assert {column.role for column in evidence.columns} == {"feature", "target", "prediction", "unused"}
    assert not any(column.drifted for column in evidence.columns)
    assert sum(column.importance for column in evidence.columns) == pytest.approx(1)
    realised, estimated = evidence.performance
    assert (realised.harmed, estimated.harmed) == (False, False)
    assert realised.value == pytest.approx(estimated.value, abs=0.05)


@pytest.mark.parametrize(
    ("change", "column", "remark"),
    [
        ({"income": np.nan}, "income", "income has no value in this window"),
        ({"region": "north"}, "region", "every row has region = north"),
        ({"region": "mars"}, "region", ""),
        ({"age": 44}, "age", "every row has age = 44"),
    ],
)
def test_what_is_wrong_with_a_column_is_told(
    watched: Watched, change: dict[str, Any], column: str, remark: str
) -> None:
    """All null, constant, wholly new: the column drifted, and the sentence says how."""
    name = watched.add(credit_rows(700, seed=int(hash(column) % 97) + 10).assign(**change))
    found = named(watched.evidence(name), column)
    assert found.drifted
    assert found.remark.startswith(remark)


def test_rare_rows_are_all_scored_and_stand_for_themselves(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sample of 600 rows and all of the rarer class give the metric and the level of all rows."""
    name = watched.add(credit_rows(4_000, seed=21))
    everything = watched.evidence(name)
    monkeypatch.setattr(monitor, "sample_rows", lambda _: 600)
    for module in (monitor, scored):
        monkeypatch.setattr(module, "rare_classes", lambda rows: (min(rows, key=rows.__getitem__),))
    found = watched.evidence(name)
    n_rare = min(column_counts(everything))
    assert 600 < found.window.n_sampled < 600 + n_rare
    assert found.window.n_labelled == found.window.n_sampled
    realised, whole = found.performance[0], everything.performance[0]
    assert realised.n_rows == found.window.n_labelled
    assert "labelled rows that represent 4,000" in realised.reason
    assert realised.value == pytest.approx(whole.value, abs=0.02)
    assert realised.low is not None
    assert realised.high is not None
    assert realised.low < whole.value < realised.high
    assert found.bias is not None
    assert everything.bias is not None
    assert found.bias.observed == pytest.approx(everything.bias.observed, abs=1e-9)
    assert found.bias.predicted == pytest.approx(everything.bias.predicted, abs=0.02)


def column_counts(evidence: DriftEvidence) -> tuple[int, int]:
    """Return the labelled rows of the window by class, from the rate of the chosen one."""
    target = named(evidence, "target")
    assert target.rate is not None
    rare = round(target.rate.rate * target.n_current)
    return rare, target.n_current - rare


def test_columns_that_are_not_features_are_told_and_decide_nothing(tmp_path: Path) -> None:
    """A constant column that varies, and keys of another form, are rows of the table; the window stays ok."""
    settings = make_project(tmp_path)
    config = credit_config(training=LINEAR, features={"ignored": ["channel"]})
    add_credit_model(settings, features={"ignored": ["channel"]})
    register_version(settings, config, add_data(settings, config, credit_rows(1_500).assign(channel="web")))
    enthrone(settings, 1)
    rows = credit_rows(1_000, seed=3)
    add_data(
        settings, config, rows.assign(channel=np.where(rows.index % 3, "web", "app").tolist(), id=rows["id"].str[3:])
    )
    window = monitored_window(config, Asked(), settings)
    verdict = decided(window, measure(window, settings), settings)
    found = {column.name: column for column in verdict.columns if column.role == "unused"}
    assert {name: (column.drifted, column.kind) for name, column in found.items()} == {
        "channel": (True, "levels"),
        "id": (True, "forms"),
    }
    assert all(column.importance == 0 for column in found.values())
    assert (verdict.status, verdict.drifted, verdict.importance_share) == ("ok", False, 0.0)
    assert (
        "channel had one value in the training rows (web); now 33.4 % of the rows have others: it may be worth "
        "training with it"
    ) in verdict.reasons


def test_a_counter_that_moves_the_predictions_does_not_cry_wolf(tmp_path: Path) -> None:
    """A feature that counts days is far from its training values in every window; the verdict says so and stays ok."""
    settings = make_project(tmp_path)
    config = credit_config(training=LINEAR, time="at", features={"numeric": ["income", "age", "day"]})

    def rows(first: int, n_rows: int, seed: int) -> pd.DataFrame:
        places = np.arange(first, first + n_rows)
        at = [datetime(2024, 1, 1) + timedelta(minutes=20 * int(place)) for place in places]
        low = credit_rows(n_rows, seed=seed)
        risky = np.random.default_rng(seed).random(n_rows) < 1 / (1 + np.exp(1.0 - places / 2_000))
        label = np.where(risky, 1, low["default"])
        return low.assign(day=places // 72 / 1.0, at=at, default=label)

    register_version(settings, config, add_data(settings, config, rows(0, 3_000, 1)))
    enthrone(settings, 1)
    add_data(settings, config, rows(4_500, 1_000, 2))
    window = monitored_window(config, Asked(), settings)
    verdict = decided(window, measure(window, settings), settings)
    day = next(column for column in verdict.columns if column.name == "day")
    assert (day.drifted, day.remark) == (
        False,
        "day rises with at: it moves by construction, so its values are not judged",
    )
    prediction = next(column for column in verdict.columns if column.role == "prediction")
    assert "only because of day, which moves by construction" in prediction.remark
    assert not prediction.drifted
    assert any(prediction.remark == reason for reason in verdict.reasons)
    assert verdict.performance[0].kind == "realised"
    assert verdict.performance[0].source.startswith("expected from 18 earlier periods (2024-01-17")
    assert "do not hold the season of this window" in " ".join(verdict.window.notes)


def test_a_column_that_a_batch_lacks_has_no_values(watched: Watched) -> None:
    """A batch written under a contract without it is read as it is, and the column drifts."""
    name = watched.add(credit_rows(600, seed=5))
    path = watched.settings.root / "data" / "credit" / f"{name}.parquet"
    part = pq.read_table(path).drop_columns(["owner"])
    other = path.with_name("9001-without.parquet")
    pq.write_table(part, other)
    try:
        found = named(watched.evidence("9001-without"), "owner")
        assert (found.drifted, found.missing) == (True, 1.0)
    finally:
        other.unlink()


def test_columns_that_are_not_compared_are_told(watched: Watched) -> None:
    """A column the source had and nobody declared, and one that is declared now and the champion does not take."""
    name = watched.add(credit_rows(600, seed=7))
    path = watched.settings.root / "data" / "credit" / f"{name}.parquet"
    other = path.with_name("9003-more.parquet")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({b"perennial.undeclared": b'["notes"]'}), other)
    try:
        config = credit_config(training=LINEAR, features={"numeric": ["income", "age", "savings"]})
        window = monitored_window(config, Asked(batches=("9003-more",)), watched.settings)
        notes = measure(window, watched.settings).window.notes
        assert "dropped, because the model file does not declare it: notes" in notes
        assert "the champion does not use savings: not compared" in notes
    finally:
        other.unlink()


def test_values_of_another_type_are_an_error(watched: Watched) -> None:
    """Text where numbers are declared stops the monitoring with the column's name."""
    name = watched.add(credit_rows(600, seed=6))
    path = watched.settings.root / "data" / "credit" / f"{name}.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("age")
    other = path.with_name("9002-text.parquet")
    pq.write_table(table.set_column(place, "age", pa.array(["old"] * len(table))), other)
    try:
        with pytest.raises(SchemaError, match="'age'"):
            watched.evidence("9002-text")
    finally:
        other.unlink()


def test_rows_that_the_champion_was_trained_on_are_left_out(watched: Watched) -> None:
    """Of the first batch only the holdout is new to it, and the choice says so."""
    evidence = watched.evidence(watched.batches()[0])
    assert evidence.window.n_seen + evidence.window.n_rows == 3_000
    assert evidence.window.n_rows == pytest.approx(600, abs=60)
    assert "in the data the champion was trained on" in " ".join(evidence.window.notes)


def test_without_a_new_batch_nothing_is_said(watched: Watched) -> None:
    """An empty window is insufficient, never ok."""
    window = replace(watched.window(), paths=(), id="0" * 64)
    verdict = decided(window, measure(window, watched.settings), watched.settings)
    assert (verdict.status, verdict.retrain) == ("insufficient", False)
    assert "0 rows" in verdict.reasons[0]


def test_a_data_version_can_stand_in_the_champions_place(watched: Watched) -> None:
    """Held against rows without income, the window drifted though it is like the training rows."""
    watched.add(credit_rows(900, seed=20).assign(income=np.nan))
    from tasks.versions.versions import data_history

    version = str(data_history("credit", watched.settings).current)
    name = watched.add(credit_rows(900, seed=21))
    quiet, other = watched.evidence(name), watched.evidence(name, against=version[:8])
    assert other.against == version
    assert named(quiet, "income").missing_reference == 0 < named(other, "income").missing_reference
    assert named(other, "income").psi > named(quiet, "income").psi


def test_exact_distances_are_those_of_the_values(watched: Watched) -> None:
    """Kolmogorov-Smirnov and Wasserstein over every training row and every row of the window."""
    rows = credit_rows(800, seed=30)
    name = watched.add(rows)
    income = named(watched.evidence(name, exact=True), "income")
    assert income.ks is not None
    assert named(watched.evidence(name), "income").ks is None
    # 2,400 of these 3,000 rows were trained on; the distances to all of them are near, not equal.
    everything = credit_rows(3_000)["income"]
    assert income.ks.statistic == pytest.approx(stats.ks_2samp(everything, rows["income"]).statistic, abs=0.02)
    assert income.wasserstein == pytest.approx(stats.wasserstein_distance(everything, rows["income"]), abs=0.5)


def test_the_same_window_is_decided_once(watched: Watched) -> None:
    """A decision is kept in the history and on disk, MLflow's run follows; a repeat finds it."""
    name = watched.add(credit_rows(1_200, seed=40))
    window = watched.window(name)
    assert recorded_verdict(window, watched.settings) is None
    verdict = keep(window, decided(window, measure(window, watched.settings), watched.settings), watched.settings)
    assert verdict.status == "ok"
    again = watched.window(name)
    assert again.id == window.id
    assert recorded_verdict(again, watched.settings) == verdict
    noted = recorded_verdict(replace(again, notes=("1 batch that arrived late",)), watched.settings)
    assert noted == replace(verdict, reasons=(*verdict.reasons, "1 batch that arrived late"))
    measure(window, watched.settings)
    later = keep(window, replace(verdict, measured_at=datetime(2030, 1, 1, tzinfo=UTC)), watched.settings)
    assert later == verdict
    assert {path.name for path in window.folder.iterdir()} == {*PAGES, "pending.json"}
    follow_up(watched.settings)
    assert {path.name for path in window.folder.iterdir()} == {*PAGES}
    client = MlflowClient(watched.settings.mlflow_uri, watched.settings.mlflow_uri)
    experiment = client.get_experiment_by_name("credit")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`perennial.drift` = '{window.id}'")
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert runs[0].data.metrics["psi/income"] == pytest.approx(named_psi(verdict, "income"))
    assert {item.path for item in client.list_artifacts(runs[0].info.run_id, "reports")} == {
        "reports/drift.html",
        "reports/drift.json",
        "reports/verdict.json",
    }
    assert report_links(verdict, watched.settings)["drift report"] == newest_report([verdict], watched.settings)


def test_a_killed_run_is_made_up_for(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the decision was recorded, and again while MLflow was told: one decision, one run."""
    window = watched.window(watched.add(credit_rows(800, seed=45)))

    def attempt() -> DriftVerdict:
        evidence = measure(window, watched.settings)
        return keep(window, decided(window, evidence, watched.settings), watched.settings)

    with monkeypatch.context() as patch:
        patch.setattr(monitor, "record_window", _killed)
        with pytest.raises(KeyboardInterrupt):
            attempt()
    follow_up(watched.settings)
    assert _finished_runs(watched.settings, window.id) == [], "nothing is told of a decision that is not recorded"
    assert recorded_verdict(window, watched.settings) is None
    assert attempt() == recorded_verdict(window, watched.settings)
    with monkeypatch.context() as patch:
        patch.setattr("mlflow.MlflowClient.log_batch", _killed)
        with pytest.raises(KeyboardInterrupt):
            follow_up(watched.settings)
    follow_up(watched.settings)
    assert _finished_runs(watched.settings, window.id) == ["FINISHED"]


def _killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def _finished_runs(settings: Settings, decision: str) -> list[str]:
    client = MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    experiment = client.get_experiment_by_name("credit")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`perennial.drift` = '{decision}'")
    return [run.info.status for run in runs]


def named_psi(verdict: Any, name: str) -> float:
    """PSI of a column."""
    return next(float(column.psi) for column in verdict.columns if column.name == name)


def test_drift_is_drift_when_it_lasts(watched: Watched) -> None:
    """The first drifted window is watched, the second is drift; other rules make other decisions."""
    statuses = []
    for seed in (50, 51):
        rows = credit_rows(1_000, seed=seed)
        window = watched.window(watched.add(rows.assign(income=rows["income"] + 30)))
        verdict = decided(window, measure(window, watched.settings), watched.settings)
        statuses.append(keep(window, verdict, watched.settings).status)
    assert statuses == ["watch", "drift"]
    assert watched.window(watched.batches()[-1], drift={"psi": 0.2}).id != window.id
    assert [one.status for one in recorded_verdicts("credit", watched.settings)][-2:] == statuses


def test_labels_that_are_too_young_do_not_count(watched: Watched) -> None:
    """Without a time column no label has an age, so every one counts."""
    name = watched.add(credit_rows(500, seed=60))
    evidence = measure(watched.window(name, drift={"label_delay_days": 30.0}), watched.settings)
    assert (evidence.window.n_young, evidence.window.n_labelled) == (0, 500)


def test_rows_without_labels_have_an_estimate(watched: Watched) -> None:
    """Nothing is realised; the scores promise about what the holdout had, which few rows cannot confirm."""
    watched.add(credit_rows(1_000, seed=62))  # labels before the window agree, whatever other tests have added
    name = watched.add(credit_rows(900, seed=61).assign(default=None))
    evidence = watched.evidence(name)
    (estimated,) = evidence.performance
    assert (estimated.kind, estimated.harmed) == ("estimated", None)
    assert estimated.reason.startswith("no answer: ROC AUC is estimated at")
    assert not any(column.role == "target" for column in evidence.columns)


def test_labels_before_the_window_check_the_estimate(watched: Watched) -> None:
    """Rows that came before and are labelled by now show that features and target are related in a new way."""
    older = credit_rows(1_000, seed=63)
    shuffled = older["default"].sample(frac=1.0, random_state=0).to_numpy()
    watched.add(older.assign(default=shuffled))
    (estimated,) = watched.evidence(watched.add(credit_rows(900, seed=64).assign(default=None))).performance
    assert estimated.harmed is None
    assert "1,000 labelled rows before the window" in estimated.reason


Spoil = Callable[[Watched], object]


@pytest.mark.parametrize(
    ("ask", "error", "says"),
    [
        (lambda watched: watched.window("0001-nope"), ConfigError, "0001-nope"),
        (lambda watched: watched.window(since="2026-01-01"), ConfigError, "time column"),
        (lambda watched: watched.window(since="yesterday"), ConfigError, "expects a time"),
        (lambda watched: watched.window(against="ffffff"), DataVersionError, "ffffff"),
    ],
)
def test_what_cannot_be_meant_is_refused(watched: Watched, ask: Spoil, error: type[Exception], says: str) -> None:
    """An unknown batch, a range without a time, no time at all, an unknown data version."""
    with pytest.raises(error, match=says):
        ask(watched)


def test_without_a_champion_there_is_nothing_to_watch(tmp_path: Path) -> None:
    """The message says what to do."""
    settings = make_project(tmp_path)
    add_credit_model(settings)
    with pytest.raises(ModelNotFoundError, match="perennial train credit"):
        monitored_window(credit_config(), Asked(), settings)


def test_a_bundle_that_was_changed_is_not_measured_with(watched: Watched) -> None:
    """The profile is read from a verified copy: the one that this machine keeps, else one of the registry's."""
    kept = watched.settings.var / "serving" / "bundles"
    watched.evidence(watched.batches()[-1])
    profile = next((watched.settings.var / "mlruns").rglob("profile.json"))
    honest = profile.read_bytes()
    profile.write_bytes(honest.replace(b"1", b"2"))
    try:
        assert watched.evidence(watched.batches()[-1]).champion == 1
        for copy in kept.rglob("profile.json"):
            copy.write_bytes(profile.read_bytes())
        with pytest.raises(BundleError, match="not what was registered"):
            watched.evidence(watched.batches()[-1])
    finally:
        profile.write_bytes(honest)
