"""The page of a training: its holdout against its training rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from core.errors import BundleError, ModelNotFoundError
from tasks.train import drift_report as module
from tasks.train.drift_report import draw_training_report
from tests.factories import add_credit_model, credit_config, make_project
from tests.tasks.judging import LINEAR, add_data, register_version

pytestmark = [
    # skl2onnx 1.20, MLflow 3.17 and Evidently 0.7.23 use names that NumPy 2 and pandas 3 deprecate, not ours.
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Path]:
    """Return a project with one version, and its page as the training wrote it."""
    settings = make_project(tmp_path_factory.mktemp("trained"))
    add_credit_model(settings)
    config = credit_config(training=LINEAR)
    run = register_version(settings, config, add_data(settings, config))
    return settings, run.folder / "drift.html"


def _content(page: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.with_suffix(".json").read_bytes())
    return found


def test_a_training_writes_its_page_without_evidently_and_the_plots_come_when_asked(
    registered: tuple[Settings, Path],
) -> None:
    """From the rows of the bundle, in the place of the first page, with the same columns and scores."""
    settings, page = registered
    before, text = _content(page), page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "No decision uses this page" in text
    assert '<svg class="figure"' in text
    files = draw_training_report("credit", 1, settings)
    assert files.html == page
    assert "<script" in page.read_text(encoding="utf-8")
    after = _content(page)
    scores = [{row["name"]: row["score"] for row in content["perennial"]["columns"]} for content in (before, after)]
    assert scores[0] == pytest.approx(scores[1])
    assert len(after["metrics"]) == len(scores[0])


def test_a_version_that_is_not_there_says_so(
    registered: tuple[Settings, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown, or registered before bundles held rows of the holdout."""
    settings, _ = registered
    with pytest.raises(ModelNotFoundError, match="'credit' has no version 7"):
        draw_training_report("credit", 7, settings)
    monkeypatch.setattr(module, "read_holdout_rows", lambda *_: None)
    with pytest.raises(BundleError, match="registered before bundles held holdout rows"):
        draw_training_report("credit", 1, settings)
