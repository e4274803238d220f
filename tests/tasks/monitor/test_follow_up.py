"""What follows a decision: MLflow's run and Evidently's plots, in a process that may be killed or run twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from config.load import load_model_config
from config.schema import ModelConfig
from config.settings import Settings
from core.drift.verdict import DriftVerdict
from core.errors import ConfigError, DataVersionError, StorageError
from core.retention.documents import NOTE
from tasks.monitor import follow_up as module
from tasks.monitor import measure as monitor
from tasks.monitor import mlflow_run
from tasks.monitor.follow_up import MAX_ATTEMPTS, PENDING, Pending, follow_up, put_off, report_now, start_follow_up
from tasks.monitor.measure import decided, keep, measure
from tasks.monitor.recorded import PAGES, chosen_verdict, recorded_verdict
from tasks.monitor.reports import draw_report
from tasks.monitor.windows import Asked, monitored_window, report_folder
from tasks.steps import find_drift
from tests.factories import add_credit_model, credit_config, credit_rows, make_project
from tests.tasks.judging import LINEAR, add_data, enthrone, register_version

pytestmark = [
    # skl2onnx 1.20, MLflow 3.17 and Evidently 0.7.23 use names that NumPy 2 and pandas 3 deprecate, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Watched:
    """A project whose model has a champion."""

    settings: Settings
    config: ModelConfig

    def decide(self, seed: int, *, report: str = "drift", moved: float = 0.0) -> DriftVerdict:
        """Monitor new rows, whose incomes are higher by some amount."""
        rows = credit_rows(700, seed=seed)
        add_data(self.settings, self.config, rows.assign(income=rows["income"] + moved))
        asked = self.config.model_copy(update={"monitor": self.config.monitor.model_copy(update={"report": report})})
        window = monitored_window(asked, Asked(), self.settings)
        return keep(window, decided(window, measure(window, self.settings), self.settings), self.settings)

    def folder(self, verdict: DriftVerdict) -> Path:
        """Folder of a decision's page."""
        return report_folder("credit", verdict.id, self.settings)

    def pages_in_mlflow(self, verdict: DriftVerdict) -> dict[str, bytes]:
        """Return the pages of the only run of a decision; empty if it has none."""
        client = MlflowClient(self.settings.mlflow_uri, self.settings.mlflow_uri)
        experiment = client.get_experiment_by_name("credit")
        assert experiment is not None
        runs = client.search_runs([experiment.experiment_id], f"tags.`perennial.drift` = '{verdict.id}'")
        assert len(runs) <= 1
        names = [item.path for run in runs for item in client.list_artifacts(run.info.run_id, "reports")]
        return {
            name.rpartition("/")[2]: Path(client.download_artifacts(runs[0].info.run_id, name)).read_bytes()
            for name in names
        }


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Return a champion of 3,000 rows."""
    settings = make_project(tmp_path_factory.mktemp("watched"))
    add_credit_model(settings)
    config = credit_config(training=LINEAR)
    register_version(settings, config, add_data(settings, config))
    enthrone(settings, 1)
    return Watched(settings, config)


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Forget the rows of windows that a test measured and did not decide on."""
    yield
    monitor._drawn.clear()


@pytest.mark.parametrize(
    ("seed", "report", "moved", "wanted"),
    [(1, "drift", 0.0, False), (2, "drift", 40.0, True), (3, "always", 0.0, True), (4, "asked", 40.0, False)],
)
def test_plots_are_drawn_where_something_drifted_or_the_model_file_says(
    watched: Watched, seed: int, report: str, moved: float, wanted: bool
) -> None:
    """The page is there with the decision in each case; the plots are noted as wanted, and drawn by no run."""
    verdict = watched.decide(seed, report=report, moved=moved)
    page = (watched.folder(verdict) / "drift.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert f"perennial report credit {verdict.id[:12]}" in page
    noted = json.loads((watched.folder(verdict) / PENDING).read_bytes())
    assert noted == {"id": verdict.id, "plots": wanted, "attempts": 0}
    (watched.folder(verdict) / PENDING).unlink()


def test_the_run_in_mlflow_gets_the_page_that_is_whole(watched: Watched) -> None:
    """With plots; the second time nothing is left to do, and the page in the folder is the one in the run."""
    verdict = watched.decide(11, report="always")
    assert watched.pages_in_mlflow(verdict) == {}
    follow_up(watched.settings)
    folder = watched.folder(verdict)
    assert sorted(path.name for path in folder.iterdir()) == sorted(PAGES)
    assert b"<script" in (folder / "drift.html").read_bytes()
    assert watched.pages_in_mlflow(verdict) == {name: (folder / name).read_bytes() for name in PAGES}
    follow_up(watched.settings)
    put_off(folder, Pending(verdict.id, plots=True))
    follow_up(watched.settings)
    assert sorted(path.name for path in folder.iterdir()) == sorted(PAGES)


def test_a_killed_process_leaves_the_decision_and_its_work(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed while it draws: the page from before stands, the next one goes on, and gives up after some attempts."""
    verdict = watched.decide(12, report="always")
    page = watched.folder(verdict) / "drift.html"
    before = page.read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.monitor.reports.draw_report", killed)
        for _ in range(MAX_ATTEMPTS):
            with pytest.raises(KeyboardInterrupt):
                follow_up(watched.settings)
            assert page.read_bytes() == before
        follow_up(watched.settings)
    assert not (watched.folder(verdict) / PENDING).exists()
    assert set(watched.pages_in_mlflow(verdict)) == set(PAGES)
    assert chosen_verdict("credit", verdict.id[:6], watched.settings) == verdict
    assert b"<script" in report_now(verdict, watched.settings).html.read_bytes()
    follow_up(watched.settings)
    assert watched.pages_in_mlflow(verdict)["drift.html"] == page.read_bytes()


def test_mlflow_away_holds_no_decision_up(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The decision is recorded; its run stays pending until MLflow is back."""

    def away(*_: Any) -> str:
        raise StorageError("MLflow is away")

    with monkeypatch.context() as patch:
        patch.setattr("tasks.monitor.mlflow_run.log_verdict", away)
        verdict = watched.decide(13)
        follow_up(watched.settings)
    assert (watched.folder(verdict) / PENDING).exists()
    follow_up(watched.settings)
    assert set(watched.pages_in_mlflow(verdict)) == set(PAGES)


def test_retention_may_remove_the_folder_meanwhile(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other decisions are done, and the removed page stays removed."""
    removed, other = watched.decide(20, report="always"), watched.decide(21)
    os.utime(watched.folder(other) / PENDING, (0, 0))
    log = mlflow_run.log_verdict

    def logged(verdict: DriftVerdict, *rest: Any) -> str:
        run_id = log(verdict, *rest)
        if verdict == removed:
            shutil.rmtree(watched.folder(removed))
        return run_id

    monkeypatch.setattr(mlflow_run, "log_verdict", logged)
    follow_up(watched.settings)
    assert not watched.folder(removed).exists()
    assert set(watched.pages_in_mlflow(other)) == set(PAGES)


def test_one_works_and_one_waits(watched: Watched) -> None:
    """A third process ends at once: the one that waits has yet to look at what is pending."""
    verdict = watched.decide(14)
    with FileLock(watched.settings.var / "locks" / "follow-up-next.lock"):
        follow_up(watched.settings)
    assert (watched.folder(verdict) / PENDING).exists()
    follow_up(watched.settings)
    assert not (watched.folder(verdict) / PENDING).exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": 1}', b'{"id": "' + b"a" * 64 + b'", "plots": true}'])
def test_a_file_that_is_not_ours_does_no_harm(watched: Watched, content: bytes) -> None:
    """Damaged, or of a decision that is not recorded: it is left alone, and the others are done."""
    strange = watched.settings.var / "reports" / "credit" / "drift" / "0123456789ab"
    strange.mkdir(parents=True, exist_ok=True)
    (strange / PENDING).write_bytes(content)
    follow_up(watched.settings)
    assert (strange / PENDING).read_bytes() == content
    (strange / PENDING).unlink()


def test_a_window_whose_rows_are_gone_says_so(watched: Watched) -> None:
    """By name and with what to do; the page without plots stays, and nothing is tried again."""
    verdict = watched.decide(15, report="always")
    page = watched.folder(verdict) / "drift.html"
    before = page.read_bytes()
    batch = watched.settings.root / "data" / "credit" / f"{verdict.window.batches[-1]}.parquet"
    aside = batch.rename(batch.with_suffix(".aside"))
    with pytest.raises(DataVersionError, match=rf"missing: .*{batch.stem}.*perennial data restore credit"):
        draw_report(verdict, watched.settings)
    follow_up(watched.settings)
    assert (page.read_bytes(), (page.parent / PENDING).exists()) == (before, False)
    aside.rename(batch)
    with pytest.raises(DataVersionError, match=r"hold 700 rows of the window now, and held 701 then"):
        draw_report(replace(verdict, window=replace(verdict.window, n_rows=701)), watched.settings)
    with pytest.raises(DataVersionError, match=NOTE):
        draw_report(replace(verdict, reasons=(*verdict.reasons, NOTE)), watched.settings)


def test_a_decision_is_chosen_by_the_beginning_of_its_id(watched: Watched) -> None:
    """The newest without one; too short, unknown and hostile ones are refused with where to look."""
    verdict = watched.decide(16)
    assert chosen_verdict("credit", None, watched.settings) == verdict
    assert chosen_verdict("credit", verdict.id, watched.settings) == verdict
    for strange in (verdict.id[:3], "f" * 64, "../..", "%", verdict.id.upper() + "!", "\x1b[31m"):
        with pytest.raises(ConfigError, match="perennial drift credit --json"):
            chosen_verdict("credit", strange, watched.settings)
    with pytest.raises(ConfigError, match="no window of 'loans' was monitored"):
        chosen_verdict("loans", None, watched.settings)


def test_the_process_runs_as_the_setting_says(
    watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Waited for, beside, or not at all; one that cannot start changes nothing."""
    told = tmp_path / "told"
    line = f"import pathlib; pathlib.Path({str(told)!r}).write_text('ran')"
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", line))
    start_follow_up(watched.settings.model_copy(update={"follow_up": "later"}))
    assert not told.exists()
    start_follow_up(watched.settings.model_copy(update={"follow_up": "wait"}))
    assert told.read_text() == "ran"
    monkeypatch.setattr(module, "COMMAND", (str(tmp_path / "missing"),))
    start_follow_up(watched.settings.model_copy(update={"follow_up": "wait"}))


def test_the_same_command_again_goes_on(watched: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It finds the decision that is recorded, and does what the killed process left; nothing where nothing is left."""
    told = tmp_path / "told"
    line = f"import pathlib; pathlib.Path({str(told)!r}).write_text('ran')"
    monkeypatch.setattr(module, "COMMAND", (sys.executable, "-c", line))
    monkeypatch.setenv("PERENNIAL_ROOT", str(watched.settings.root))
    monkeypatch.setenv("PERENNIAL_VAR", str(watched.settings.var))
    verdict = watched.decide(19)
    window = monitored_window(watched.config, Asked(), watched.settings)
    monkeypatch.setenv("PERENNIAL_FOLLOW_UP", "wait")
    assert find_drift.fn(window) == verdict
    assert told.read_text() == "ran"
    (watched.folder(verdict) / PENDING).unlink()
    told.unlink()
    assert find_drift.fn(window) == verdict
    assert not told.exists()


def test_the_process_does_what_is_pending(watched: Watched) -> None:
    """As a module of its own, by its settings; it takes 5 s, mostly for the import of MLflow."""
    verdict = watched.decide(17)
    start_follow_up(watched.settings.model_copy(update={"follow_up": "wait"}))
    log = watched.settings.var / "log" / "follow-up.log"
    assert not (watched.folder(verdict) / PENDING).exists(), log.read_text()
    assert set(watched.pages_in_mlflow(verdict)) == set(PAGES)


HEAVY = {"mlflow", "evidently", "great_expectations", "matplotlib", "plotly", "dvc", "skops", "alembic"}


def test_a_decision_imports_no_library_that_it_does_not_need(watched: Watched) -> None:
    """From the choice of the window to the record: no tracker, no validator, no plots, no data versioner.

    scikit-learn fits the classifier that the estimate without labels needs; a window that is too small has none.
    """
    rows = credit_rows(700, seed=18)
    add_data(watched.settings, watched.config, rows)
    config = load_model_config(watched.settings.root, "credit")
    window = monitored_window(config, Asked(), watched.settings)
    measure(window, watched.settings)  # keeps the champion's bundle on this machine
    code = f"""
import sys
from config.load import load_model_config
from config.settings import load_settings
from tasks.monitor.windows import Asked, monitored_window
from tasks.monitor.measure import decided, keep, measure
settings = load_settings()
config = load_model_config(settings.root, "credit")
window = monitored_window(config, Asked(), settings)
keep(window, decided(window, measure(window, settings), settings), settings)
sys.exit(" ".join({HEAVY!r} & set(sys.modules)) or 0)
"""
    environment = os.environ | {"PERENNIAL_ROOT": str(watched.settings.root), "PERENNIAL_FOLLOW_UP": "later"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert recorded_verdict(window, watched.settings) is not None
