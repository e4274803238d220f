"""The prediction log as a window of a registered champion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from config.schema import ModelConfig
from config.settings import Settings
from core.drift.monitored_window import MonitoredWindow
from core.drift.verdict import DriftEvidence
from core.errors import ConfigError, ModelNotFoundError
from core.metrics.metrics import Floats
from store.database import open_database
from store.log.labels import Label, record_labels
from tasks.monitor import measure as monitor
from tasks.monitor.contract import champion_contract
from tasks.monitor.measure import decided, keep, measure
from tasks.monitor.recorded import recorded_verdict
from tasks.monitor.reference import Reference, champion_reference
from tasks.monitor.reports import draw_report
from tasks.monitor.windows import Asked, monitored_window
from tasks.registry.kept import kept_bundle
from tests.factories import add_credit_model, credit_config, credit_rows, make_project
from tests.tasks.judging import LINEAR, add_data, enthrone, register_version
from tests.tasks.served.traffic import log_rows

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

FEATURES = ["income", "age", "region", "owner"]
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Served:
    """A project whose champion answers requests."""

    settings: Settings
    config: ModelConfig
    reference: Reference

    def serve(self, rows: pd.DataFrame, at: datetime, **more: Any) -> list[str]:
        """Log the champion's answers to rows; return the ids of the predictions."""
        sent = rows.assign(owner=rows["owner"] == "true")[[*FEATURES, "id"]]
        outputs = self.output(rows).tolist()
        engine = open_database(self.settings.database_url)
        return log_rows(engine, sent, outputs, at, key="id", **more)

    def output(self, rows: pd.DataFrame) -> Floats:
        """Return the champion's answers."""
        typed = rows.assign(owner=(rows["owner"] == "true").astype("boolean"), age=rows["age"].astype("float64"))
        return self.reference.predictor.predict(typed)

    def label(self, ids: list[str], labels: list[str]) -> None:
        """Tell the outcomes of predictions."""
        told = [Label("id", one, label) for one, label in zip(ids, labels, strict=True)]
        record_labels(open_database(self.settings.database_url), "credit", told, "test", datetime.now(UTC))

    def window(self, **asked: Any) -> MonitoredWindow:
        """Choose a window."""
        return monitored_window(self.config, Asked(**asked), self.settings)

    def logged(self, since: datetime, until: datetime) -> DriftEvidence:
        """Measure a range of the log; nothing is recorded."""
        asked = {"since": since.isoformat(), "until": until.isoformat(), "source": "predictions"}
        return measure(self.window(**asked), self.settings)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Return a champion of 3,000 rows."""
    settings = make_project(tmp_path_factory.mktemp("served"))
    add_credit_model(settings)
    config = credit_config(training=LINEAR)
    register_version(settings, config, add_data(settings, config))
    enthrone(settings, 1)
    window = monitored_window(config, Asked(), settings)
    with kept_bundle("credit", 1, window.manifest, settings) as folder:
        return Served(settings, config, champion_reference(folder, window.manifest, config))


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget the rows of windows that a test measured and did not decide on."""
    yield
    monitor._drawn.clear()


def numbers(evidence: DriftEvidence) -> Any:
    """Return every number that is measured from the rows, but for columns that the log does not have."""
    columns = [asdict(column) for column in evidence.columns if column.role != "unused"]
    performance = [asdict(one) for one in evidence.performance]
    bias = asdict(evidence.bias) if evidence.bias else None
    return json.loads(json.dumps([columns, performance, bias, evidence.window.n_labelled], default=str))


def assert_close(one: Any, other: Any, where: str = "") -> None:
    """Compare nested documents; numbers to 1e-12, everything else exactly."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name, value in one.items():
            assert_close(value, other[name], f"{where}/{name}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            assert_close(left, right, f"{where}/{place}")
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-12, abs=1e-12, nan_ok=True), where
    else:
        assert one == other, where


@pytest.mark.parametrize("per_request", [1, 7])
def test_the_same_rows_give_the_same_numbers_as_a_batch(served: Served, per_request: int) -> None:
    """Counts, distances, tests, realised and estimated performance, to 1e-12."""
    rows = credit_rows(1_500, seed=30 + per_request).assign(income=lambda frame: frame["income"] * 1.3)
    rows.loc[::9, "income"] = float("nan")
    add_data(served.settings, served.config, rows)
    batch = served.window()
    assert batch.log is None
    at = NOW - (40 + per_request) * DAY
    ids = served.serve(rows, at, per_request=per_request)
    served.label(ids, rows["default"].map(str).tolist())
    asked = {"since": at.isoformat(), "until": (at + DAY).isoformat(), "source": "predictions"}
    # The batch is not among the training rows, and neither are its rows in the log.
    logged = measure(replace(served.window(**asked), known=False), served.settings)
    of_batch = measure(batch, served.settings)
    assert (logged.window.source, logged.window.n_rows, logged.window.batches) == ("predictions", 1_500, ())
    assert of_batch.window.n_rows == 1_500
    assert_close(numbers(of_batch), numbers(logged))


def test_the_champion_is_not_asked_again(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was served counts: other outputs in the log are other predictions, also beyond what the model says now."""
    rows = credit_rows(600, seed=50)
    at = NOW - 60 * DAY
    engine = open_database(served.settings.database_url)
    sent = rows.assign(owner=rows["owner"] == "true")[[*FEATURES, "id"]]
    log_rows(engine, sent, [[0.0005, 0.9995]] * 600, at, key="id")

    def refuse(*_: object) -> None:
        raise AssertionError("the champion was asked")

    monkeypatch.setattr("serving.bundle.predictor.Predictor.predict", refuse)
    found = served.logged(at, at + DAY)
    (prediction,) = (column for column in found.columns if column.role == "prediction")
    assert prediction.drifted
    assert prediction.psi > 1


def test_rows_of_other_versions_shadows_and_failures(served: Served) -> None:
    """Another version's rows are asked of the champion; shadow answers and failures never count, and are told."""
    rows = credit_rows(400, seed=51)
    at = NOW - 70 * DAY
    served.serve(rows[:200], at)
    engine = open_database(served.settings.database_url)
    sent = rows.assign(owner=rows["owner"] == "true")[[*FEATURES, "id"]]
    wrong = [[1.0, 0.0]] * 100
    log_rows(engine, sent[200:300], wrong, at, key="id", version=2, variant="challenger")
    log_rows(engine, sent[300:350], wrong, at, key="id", version=2, variant="shadow")
    log_rows(engine, sent[350:], [], at, key="id", version=2, variant="challenger", failure="it raised")
    log_rows(engine, sent[:30][["income", "id"]], wrong[:30], at, key="id", version=2, variant="challenger")
    found = served.logged(at, at + DAY)
    facts = found.window
    assert [(one.version, one.variant, one.n_rows) for one in facts.answered] == [
        (1, "champion", 200),
        (2, "challenger", 130),
    ]
    assert (facts.n_rows, facts.n_shadow, facts.n_failed, facts.n_incomplete) == (300, 50, 50, 30)
    assert any("50 that a shadow answered and 50 that failed" in note for note in facts.notes)
    (prediction,) = (column for column in found.columns if column.role == "prediction")
    assert not prediction.drifted


def test_an_empty_range_says_so(served: Served) -> None:
    """And is insufficient, not ok."""
    window = served.window(source="predictions", since="2020-01-01", until="2020-01-02")
    verdict = decided(window, measure(window, served.settings), served.settings)
    assert (verdict.status, verdict.window.n_rows) == ("insufficient", 0)
    assert "the prediction log has no answered rows of this model from 2020-01-01 00:00" in " ".join(verdict.reasons)


def test_a_decision_about_the_log_is_recorded_once_and_drawn_again(served: Served) -> None:
    """The same range is the same decision; the page can be drawn from the log; a new label is a new decision."""
    rows = credit_rows(500, seed=52).assign(income=lambda frame: frame["income"] * 3)
    at = NOW - 80 * DAY
    ids = served.serve(rows, at)
    asked = {"since": at.isoformat(), "until": (at + DAY).isoformat(), "source": "predictions"}
    window = served.window(**asked)
    kept = keep(window, decided(window, measure(window, served.settings), served.settings), served.settings)
    assert kept.status in ("watch", "drift")
    again = served.window(**asked)
    assert again.id == window.id
    assert recorded_verdict(again, served.settings) == kept
    served.label(ids[:10], ["1"] * 10)
    assert served.window(**asked).id != window.id
    assert draw_report(kept, served.settings).html.is_file()


def test_rows_that_the_champion_was_trained_on_do_not_count(served: Served) -> None:
    """Rows may have been served before a champion was trained on them: they cannot show drift."""
    at = NOW - 85 * DAY
    served.serve(credit_rows(3_000)[:250], at)
    facts = served.logged(at, at + DAY).window
    assert facts.n_seen > 150, "the others are of the holdout"
    assert facts.n_seen + facts.n_rows == 250


def test_labels_that_were_told_later_do_not_change_what_is_drawn(served: Served) -> None:
    """A decision is replayed with the labels that were known then."""
    rows = credit_rows(300, seed=53)
    at = NOW - 90 * DAY
    ids = served.serve(rows, at)
    served.label(ids[:100], ["1"] * 100)
    first = served.window(since=at.isoformat(), until=(at + DAY).isoformat(), source="predictions")
    served.label(ids, ["0"] * 300)
    then = measure(first, served.settings)
    assert first.log is not None
    now = measure(replace(first, log=replace(first.log, as_of=datetime.now(UTC))), served.settings)
    assert (then.window.n_labelled, now.window.n_labelled) == (100, 300)
    assert then.bias is not None
    assert now.bias is not None
    assert (then.bias.observed, now.bias.observed) == (1.0, 0.0)


def test_labels_are_read_by_the_champions_contract(served: Served, tmp_path: Path) -> None:
    """Its classes are the labels that a file may have."""
    assert champion_contract("credit", served.settings) == served.reference.contract
    with pytest.raises(ModelNotFoundError, match="has no champion"):
        champion_contract("credit", make_project(tmp_path))


def test_batches_and_the_log_are_not_mixed(served: Served) -> None:
    """The request for both is refused, with what to leave out."""
    with pytest.raises(ConfigError, match="leave one out"):
        served.window(source="predictions", batches=("1",))


def test_auto_judges_the_log_when_no_batch_waits(served: Served) -> None:
    """First the batch that waits, then the log since the last window; the answer says which and why."""
    add_data(served.settings, served.config, credit_rows(700, seed=54))
    served.serve(credit_rows(300, seed=55), NOW - timedelta(hours=3))
    batch = served.window()
    assert batch.log is None
    keep(batch, decided(batch, measure(batch, served.settings), served.settings), served.settings)
    log = served.window()
    assert log.log is not None
    assert sum(one.n_rows for one in log.log.answered) == 300
    assert "no batch is pending" in log.notes[0]
    verdict = decided(log, measure(log, served.settings), served.settings)
    assert any("no batch is pending" in reason for reason in verdict.reasons)
    keep(log, verdict, served.settings)
    assert served.window().log is None, "its rows are judged"
    assert served.window(source="batches").id == batch.id
    served.serve(credit_rows(20, seed=56), NOW - timedelta(seconds=100))
    assert served.window().log is None, "too few rows"


def test_a_range_is_one_of_the_log_where_the_model_file_says_so(served: Served) -> None:
    """Batches that are named, and ranges of a model that is watched by batches, stay what they were."""
    config = credit_config(training=LINEAR, monitor={"source": "predictions"})
    since = (NOW - timedelta(hours=3)).isoformat()
    window = monitored_window(config, Asked(since=since), served.settings)
    assert window.log is not None
    assert window.log.since == NOW - timedelta(hours=3)
    assert monitored_window(config, Asked(batches=("1",)), served.settings).log is None
