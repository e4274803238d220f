"""What a step hands to the next: references whose content any process can read."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import FunctionTransformer

from config.settings import Settings
from core.errors import BundleError, StorageError, TrainingError
from core.metrics.bootstrap import Estimate
from core.train.training_run import EvaluatedRun, TrainingRun
from tasks.train.bench import close_bench, open_bench
from tasks.train.evaluate import evaluate_run
from tasks.train.fit import FittedModel, fit_model
from tasks.train.registration import register_run
from tasks.train.step_files import FIT, OUTPUT, forget_steps, keep_fitted, read_evaluation, read_fitted
from tasks.train.training_run import training_run
from tests.tasks.judging import add_data, config_of

STEP = """
import pickle, sys
from pathlib import Path
from config.settings import load_settings
from tasks.train.evaluate import evaluate_run
from tasks.train.fit_run import fit_run

name, given, made = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
reference = pickle.loads(given.read_bytes())
result = fit_run(reference, load_settings()) if name == "fit" else evaluate_run(reference)
made.write_bytes(pickle.dumps(result))
"""
"""A step in a process of its own; its reference travels as Prefect sends it, pickled."""


@pytest.fixture
def run(project: Settings) -> TrainingRun:
    """Return a run over stored rows, with a search and with slices."""
    search = {"trials": 2, "space": {"C": {"low": 0.1, "high": 10.0}}}
    config = config_of(evaluation={"slices": ["owner"]}, training={"search": search})
    return training_run(config, add_data(project, config), "test", project)


def _fitted(run: TrainingRun, settings: Settings) -> FittedModel:
    bench = open_bench(run)
    bench.fitted = fit_model(bench.rows, bench.split, run.config, bench.contract, settings, run.lineage.run_key)
    return bench.fitted


def _registered_files(run: TrainingRun, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Hash of each file of the bundle that the last step builds.

    Left out is what is never the same twice: MLflow's file with its time stamps, and the pipeline's with the addresses
    of its objects; the graph is made from the same pipeline, and stays.
    """
    from tasks.train import registration

    hashes: dict[str, str] = {}

    def note(bundle: Any, *_: Any) -> None:
        manifest = json.loads((bundle.folder / "manifest.json").read_text())
        hashes.update(
            {
                file["path"]: file["sha256"]
                for file in manifest["files"]
                if file["path"] not in {"MLmodel", "model.skops"}
            }
        )
        raise StorageError("as far as this test goes")

    monkeypatch.setattr(registration, "register_bundle", note)
    with pytest.raises(StorageError, match="as far as"):
        register_run(EvaluatedRun(run), settings)
    close_bench()
    return hashes


@pytest.mark.slow
def test_steps_in_processes_of_their_own_register_the_same_bundle(
    run: TrainingRun, project: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each process finds what it needs by the reference alone, and every file of the bundle is the same."""
    evaluate_run(keep_fitted(_fitted(run, project), run))
    together = _registered_files(run, project, monkeypatch)
    forget_steps(run)
    (tmp_path / "run").write_bytes(pickle.dumps(run))
    for name, given, made in (("fit", "run", "fitted"), ("evaluate", "fitted", "evaluated")):
        command = [sys.executable, "-c", STEP, name, str(tmp_path / given), str(tmp_path / made)]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "evaluated").stat().st_size < 20_000
    evaluated = pickle.loads((tmp_path / "evaluated").read_bytes())  # noqa: S301 - written above
    apart = _registered_files(evaluated.run, project, monkeypatch)
    assert "model.onnx" in together
    assert apart == together


def test_what_is_read_is_what_was_kept(run: TrainingRun, project: Settings) -> None:
    """Scores, search, metrics, undefined values and output come back as they were."""
    fitted = _fitted(run, project)
    evaluate_run(keep_fitted(fitted, run))
    kept = open_bench(run).evaluated
    close_bench()
    again = open_bench(run)
    assert (again.fitted.params, again.fitted.cv_scores) == (fitted.params, fitted.cv_scores)
    assert again.fitted.search == fitted.search
    assert again.evaluated.evaluation == kept.evaluation
    np.testing.assert_array_equal(again.evaluated.output, kept.output)
    close_bench()


def test_an_undefined_metric_stays_undefined(run: TrainingRun, project: Settings) -> None:
    """NaN comes back as NaN, not as None."""
    evaluate_run(keep_fitted(_fitted(run, project), run))
    path = run.folder / "steps" / "evaluation.json"
    content = json.loads(path.read_text())
    content["metrics"]["roc_auc"] = {"value": math.nan, "low": None, "high": None}
    path.write_text(json.dumps(content))
    estimate = read_evaluation(run).evaluation.metrics["roc_auc"]
    assert isinstance(estimate, Estimate)
    assert math.isnan(estimate.value)
    close_bench()


def test_a_pipeline_with_a_function_is_refused_at_once(run: TrainingRun, project: Settings) -> None:
    """What cannot be stored without pickle ends the run before anything is measured, with the reason."""
    fitted = _fitted(run, project)
    fitted.pipeline.steps.insert(2, ("own", FunctionTransformer(number for number in range(3))))
    with pytest.raises(TrainingError, match="without pickle"):
        keep_fitted(fitted, run)
    close_bench()


def test_a_damaged_pipeline_is_refused(run: TrainingRun, project: Settings) -> None:
    """A file that was cut short is an error with its path."""
    keep_fitted(_fitted(run, project), run)
    path = run.folder / "steps" / "model.skops"
    path.write_bytes(path.read_bytes()[:1_000])
    with pytest.raises(BundleError, match=r"model\.skops"):
        read_fitted(run, open_bench(run).contract)
    close_bench()


def test_a_folder_that_cannot_be_written_is_a_storage_error(run: TrainingRun, project: Settings) -> None:
    """The step is named by its folder, and may be repeated."""
    fitted = _fitted(run, project)
    run.folder.mkdir(parents=True)
    (run.folder / "steps").write_text("in the way")
    with pytest.raises(StorageError, match="cannot be written"):
        keep_fitted(fitted, run)
    (run.folder / "steps").unlink()
    keep_fitted(fitted, run)
    assert sorted(path.name for path in (run.folder / "steps").iterdir()) == [FIT, "model.skops"]
    assert not (run.folder / "steps" / OUTPUT).exists()
    close_bench()
