"""The flow ``monitor`` end to end: simulated months, a real Prefect server, Evidently's report, MLflow, the history."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from core.drift.verdict import DriftVerdict
from store.database import open_database
from tasks.monitor.follow_up import start_follow_up
from tests.factories import add_credit_model
from tests.store.trigger_samples import find_trigger
from tests.tasks.monitor.incomes import CHANGES, incomes, unlabelled

pytestmark = [
    pytest.mark.e2e,
    # Evidently 0.7.23, Great Expectations 1.24 and MLflow 3.17 use names that pandas 3, NumPy 2 and their own web
    # frameworks deprecate: their warnings, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

ROOT = Path(__file__).resolve().parents[2]
SMALL = {"source.rows_per_month": "600", "training.cv": "0", "gate.min_rows": "100"}
DRIFTED = {"source.drifts": "[{kind: covariate, month: 7, size: 1.0}]"}

Monitor = Callable[..., DriftVerdict]


@pytest.fixture
def months(prefect_api: str, project: Settings) -> Callable[[int], None]:
    """Return what lets the months of the demo model pass: six to train on, later ones as batches of their own."""
    assert prefect_api
    from flows.ingest import ingest
    from flows.train import train

    for room in ("models", "expectations"):
        shutil.copytree(ROOT / "config" / room, project.root / "config" / room, dirs_exist_ok=True)
    assert train("credit", overrides={**SMALL, "source.months": "6"}).status == "promoted"

    def pass_by(month: int) -> None:
        assert ingest("credit", overrides={**SMALL, **DRIFTED, "source.months": str(month)}).accepted

    return pass_by


@pytest.fixture
def monitor(prefect_api: str) -> Monitor:
    """Return the flow, imported once its server is known."""
    assert prefect_api
    from flows.monitor import monitor

    return lambda **asked: monitor("credit", overrides={**SMALL, "drift.window_rows": "500"}, **asked)


def test_quiet_months_pass_and_the_drifted_one_is_found(
    months: Callable[[int], None], monitor: Monitor, project: Settings
) -> None:
    """Month 7 is like those before; from month 8 on applicants are poorer: watched, then drift, told to Prefect."""
    months(7)
    quiet = monitor()
    assert (quiet.status, quiet.window.n_rows, quiet.retrain) == ("ok", 600, False)
    months(8)
    first = monitor()
    assert (first.status, first.drifted) == ("watch", True)
    months(9)
    second = monitor()
    assert (second.status, second.n_signals, second.n_windows) == ("drift", 2, 3)
    assert {"credit_utilisation", "income"} <= {column.name for column in second.columns if column.drifted}
    assert monitor() == second

    page = project.var / "reports" / "credit" / "drift" / second.id[:12]
    assert "<script" not in (page / "drift.html").read_text(), "a decision waits for no plots"
    start_follow_up(project.model_copy(update={"follow_up": "wait"}))
    assert (page / "drift.html").stat().st_size > 1_000_000
    pages = project.var.glob("reports/credit/drift/*/drift.html")
    assert sorted("<script" in path.read_text() for path in pages) == [False, True, True], "the quiet month has none"
    scores = {row["name"]: row["score"] for row in _table(page / "drift.json")}
    assert scores["income"] == pytest.approx(next(one.psi for one in second.columns if one.name == "income"))

    [event] = _events("perennial.drift.detected", expected=1)
    assert event["payload"]["decision_id"] == second.id
    assert event["payload"]["reasons"] == list(second.reasons)
    assert event["payload"]["window"]["batches"] == list(second.window.batches)
    assert event["resource"]["prefect.resource.id"] == "perennial.model.credit"
    assert event["resource"]["perennial.retrain"] == str(second.retrain).lower()
    asked = find_trigger(open_database(project.database_url), "credit", f"drift:{second.id}")
    assert (asked is not None) == second.retrain
    _assert_artifacts(second)


def test_a_range_of_time_is_looked_at_back_to_the_training(months: Callable[[int], None], monitor: Monitor) -> None:
    """Rows the champion has trained on are left out, and nothing is passed off as ok."""
    months(7)
    july = monitor(since="2024-07-01", until="2024-08-01")
    assert (july.window.n_rows, july.window.n_seen) == (600, 0)
    march = monitor(since="2024-03-01", until="2024-04-01")
    assert (march.status, march.window.n_rows, march.window.n_seen) == ("insufficient", 0, 600)
    nothing = monitor(since="2031-01-01")
    assert (nothing.status, nothing.window.n_rows) == ("insufficient", 0)


def _table(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["perennial"]["columns"]
    return found


def _events(name: str, expected: int) -> list[dict[str, Any]]:
    """Events of a name on the server; they arrive by a queue."""
    from prefect.client.orchestration import get_client

    found: list[dict[str, Any]] = []
    for _attempt in range(50):
        with get_client(sync_client=True) as client:
            answer = client._client.post("/events/filter", json={"filter": {"event": {"name": [name]}}, "limit": 50})
        found = answer.json()["events"]
        if len(found) >= expected:
            return found
        time.sleep(0.2)
    return found


def _assert_artifacts(verdict: DriftVerdict) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
    from prefect.client.schemas.sorting import ArtifactSort

    with get_client(sync_client=True) as client:
        keys = ArtifactFilterKey(any_=["credit-drift", "credit-drift-report"])
        artifacts = client.read_artifacts(
            artifact_filter=ArtifactFilter(key=keys), sort=ArtifactSort.CREATED_DESC, limit=2
        )
    assert {artifact.key for artifact in artifacts} == {"credit-drift", "credit-drift-report"}
    table = next(artifact for artifact in artifacts if artifact.key == "credit-drift")
    assert verdict.reasons[0] in str(table.description)


def test_a_regression_whose_features_alone_change_is_seen_without_labels(prefect_api: str, project: Settings) -> None:
    """Rows like those before stay quiet; older people, whose incomes are less certain, are harm."""
    assert prefect_api
    from flows.ingest import ingest
    from flows.monitor import monitor
    from flows.train import train

    add_credit_model(project, incomes(6_000, 1), **CHANGES)
    (project.root / "config" / "expectations" / "credit.json").write_text('{"name": "credit", "expectations": []}')
    assert train("credit").status == "promoted"
    found = []
    for seed, older in ((2, 1.0), (3, 3.0)):
        unlabelled(incomes(1_500, seed, older)).to_csv(project.root / "rows.csv", index=False)
        assert ingest("credit").accepted
        found.append(monitor("credit"))
    quiet, shifted = found
    assert (quiet.status, quiet.harmed in (None, False)) == ("ok", True)
    assert (shifted.harmed, [(one.kind, one.metric) for one in shifted.performance]) == (
        True,
        [("estimated", "rmse"), ("estimated", "mae")],
    )
    assert monitor("credit") == shifted, "the record has both metrics"
    page = (project.var / "reports" / "credit" / "drift" / shifted.id[:12] / "drift.html").read_text()
    assert "RMSE is estimated at" in page
    assert "MAE is estimated at" in page
