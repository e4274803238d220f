"""Windows of a registered regression: what is estimated without labels, of batches and of the prediction log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from cli.lines.drift import monitor_lines
from config.schema import ModelConfig
from config.settings import Settings
from core.drift.verdict import DriftVerdict
from core.metrics.metrics import METRICS, Floats
from store.database import open_database
from store.log.labels import Label, record_labels
from tasks.monitor import measure as monitor
from tasks.monitor.measure import decided, keep, measure
from tasks.monitor.reference import champion_reference
from tasks.monitor.windows import Asked, monitored_window
from tasks.registry.kept import kept_bundle
from tasks.train.holdout_rows import HOLDOUT_ROWS
from tests.factories import add_credit_model, make_project
from tests.tasks.judging import add_data, config_of, enthrone, register_version
from tests.tasks.monitor.incomes import CHANGES, incomes, unlabelled
from tests.tasks.served.traffic import log_rows

pytestmark = [
    # skl2onnx 1.20 and MLflow 3.17 use names that NumPy 2 and pandas 3 deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Champion:
    """A project whose champion predicts incomes, with noise that grows with the age."""

    settings: Settings
    config: ModelConfig

    def of_batch(self, rows: pd.DataFrame) -> DriftVerdict:
        """Measure rows as a batch and decide; nothing is recorded."""
        add_data(self.settings, self.config, rows)
        window = monitored_window(self.config, Asked(source="batches"), self.settings)
        return decided(window, measure(window, self.settings), self.settings)

    def of_log(self, at: datetime, *, known: bool = True) -> DriftVerdict:
        """Measure the day of the log that begins at a time, and decide; nothing is recorded."""
        asked = Asked(source="predictions", since=at.isoformat(), until=(at + DAY).isoformat())
        window = replace(monitored_window(self.config, asked, self.settings), known=known)
        return decided(window, measure(window, self.settings), self.settings)

    def serve(self, rows: pd.DataFrame, at: datetime) -> list[str]:
        """Log the champion's predictions; return their ids."""
        sent = rows.assign(owner=rows["owner"] == "true")[["age", "region", "owner", "id"]]
        return log_rows(open_database(self.settings.database_url), sent, self.output(rows).tolist(), at, key="id")

    def output(self, rows: pd.DataFrame) -> Floats:
        """Return the champion's predictions."""
        manifest = monitored_window(self.config, Asked(source="batches"), self.settings).manifest
        with kept_bundle("credit", 1, manifest, self.settings) as folder:
            predictor = champion_reference(folder, manifest, self.config).predictor
        typed = rows.assign(owner=(rows["owner"] == "true").astype("boolean"), age=rows["age"].astype("float64"))
        return predictor.predict(typed)


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Champion:
    """Return a champion, shared by the tests of this module."""
    return trained(make_project(tmp_path_factory.mktemp("incomes")))


def trained(settings: Settings) -> Champion:
    """Train a champion on 6,000 rows."""
    changes = {name: value for name, value in CHANGES.items() if name != "features"}
    config = config_of("age", **changes)
    add_credit_model(settings, **CHANGES)
    register_version(settings, config, add_data(settings, config, incomes(6_000, 1)))
    enthrone(settings, 1)
    return Champion(settings, config)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget the rows of windows that a test measured and did not record."""
    yield
    monitor._drawn.clear()


def test_only_features_change_and_the_larger_loss_is_seen(champion: Champion) -> None:
    """Older people have less certain incomes: both metrics are estimated, and their intervals contain the labels'."""
    rows = incomes(1_500, 2, older=3.0)
    verdict = champion.of_batch(unlabelled(rows))
    judged, beside = verdict.performance
    assert [(one.kind, one.metric, one.judged) for one in verdict.performance] == [
        ("estimated", "rmse", True),
        ("estimated", "mae", False),
    ]
    assert (verdict.harmed, judged.harmed, beside.harmed) == (True, True, None)
    assert verdict.drifted
    for one in (judged, beside):
        assert one.low is not None
        assert one.high is not None
        assert one.low < METRICS[one.metric].value(rows["income"].to_numpy(), champion.output(rows)) < one.high
    assert any(reason.startswith("performance is harmed: RMSE is estimated at") for reason in verdict.reasons)
    assert any(reason.endswith("it is not judged, RMSE is") for reason in verdict.reasons)


def test_rows_like_those_before_stay_quiet(champion: Champion) -> None:
    """Nothing changes: no harm and no drift."""
    verdict = champion.of_batch(unlabelled(incomes(1_500, 3)))
    assert (verdict.status, verdict.harmed in (None, False)) == ("ok", True)
    assert verdict.performance[0].value == pytest.approx(verdict.performance[0].reference, rel=0.1)


def test_a_new_relation_is_seen_by_labels_only(champion: Champion) -> None:
    """Twice the noise at the same ages is a change that no feature shows; labels of the same rows show it."""
    rows, at = incomes(1_500, 4, noise=2.0), NOW - 30 * DAY
    ids = champion.serve(rows, at)
    blind = champion.of_log(at)
    assert (blind.window.n_labelled, blind.harmed in (None, False)) == (0, True)
    told = [Label("id", one, str(label)) for one, label in zip(ids, rows["income"], strict=True)]
    record_labels(open_database(champion.settings.database_url), "credit", told, "test", datetime.now(UTC))
    seen = champion.of_log(at)
    assert seen.harmed
    assert [(one.kind, one.harmed) for one in seen.performance] == [("realised", True), ("estimated", None)]
    assert "labelled rows of the window RMSE is" in seen.performance[1].reason, "labels withhold the estimate"


def test_the_log_gives_the_estimates_of_a_batch_from_served_predictions(
    champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows, to 1e-12, and the champion is not asked again."""
    rows, at = incomes(1_200, 6, older=2.0), NOW - 40 * DAY
    of_batch = champion.of_batch(unlabelled(rows)).performance
    champion.serve(rows, at)

    def refuse(*_: object) -> None:
        raise AssertionError("the champion was asked")

    monkeypatch.setattr("serving.bundle.predictor.Predictor.predict", refuse)
    # The batch is not among the training rows, and neither are its rows in the log.
    logged = champion.of_log(at, known=False).performance
    assert [(one.metric, one.harmed) for one in logged] == [(one.metric, one.harmed) for one in of_batch]
    found, expected = (
        [[one.value, one.low, one.high, one.reference, one.loss, one.loss_low, one.loss_high] for one in performance]
        for performance in (logged, of_batch)
    )
    assert found == [pytest.approx(numbers, rel=1e-12) for numbers in expected]


def test_a_version_without_holdout_rows_is_decided_and_says_so(
    champion: Champion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bundle from before has no estimate: a sentence says why, and document, lines and record hold no number."""
    monkeypatch.setattr("tasks.monitor.reference.read_holdout_rows", lambda *_: None)
    add_data(champion.settings, champion.config, unlabelled(incomes(1_000, 7)))
    window = monitored_window(champion.config, Asked(source="batches"), champion.settings)
    verdict = decided(window, measure(window, champion.settings), champion.settings)
    assert keep(window, verdict, champion.settings) == verdict
    assert "no answer: RMSE of 1,000 rows (labels unused) is not estimated" in " ".join(verdict.reasons)
    (found,) = json.loads(json.dumps(verdict.to_dict()))["performance"]
    assert (found["value"], found["harmed"]) == (None, None)
    assert any("no answer" in line for line in monitor_lines(verdict, {}, 200))


def test_the_same_training_keeps_the_same_holdout_rows(champion: Champion, tmp_path: Path) -> None:
    """What the estimate is learnt from is equal to the byte."""
    again = trained(make_project(tmp_path))
    one, two = (holdout_bytes(each) for each in (champion, again))
    assert len(one) > 1_000
    assert one == two


def holdout_bytes(champion: Champion) -> bytes:
    """Read the holdout rows of a champion's bundle."""
    manifest = monitored_window(champion.config, Asked(source="batches"), champion.settings).manifest
    with kept_bundle("credit", 1, manifest, champion.settings) as folder:
        return (folder / HOLDOUT_ROWS).read_bytes()
