"""A project with the trained demo model, its pipeline for those who serve it otherwise, and rows to ask about."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from config.schema import SimulatedSource
from core.data.simulate import simulate_month
from core.feature_contract import FeatureContract
from core.train.trust import trusted_types
from serving.bundle.predictor import load_pipeline

ROOT = Path(__file__).resolve().parents[1]
PERENNIAL = (sys.executable, "-m", "cli")
MODEL = "credit"

N_BODIES = 200
N_ROWS = 2000
MONTH = 13
"""After the year that the model has seen."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Project:
    """What the servers are given, and what they are asked.

    Parameters
    ----------
    root
        Of the project that Perennial serves.
    pipeline, mlflow_model
        The registered version's fitted pipeline: pickled, and as a model of MLflow's.
    rows, probabilities
        Raw feature values as JSON has them, and what the pipeline answers.
    """

    root: Path
    pipeline: Path
    mlflow_model: Path
    rows: Sequence[Row] = field(repr=False)
    probabilities: Sequence[float] = field(repr=False)

    def slices(self, n_rows: int) -> list[slice]:
        """Places of the rows of each of the bodies, all different."""
        firsts = (number * (N_ROWS - n_rows) // N_BODIES for number in range(N_BODIES))
        return [slice(first, first + n_rows) for first in firsts]

    def forget_predictions(self) -> None:
        """Put the operational database back to what it was after training."""
        for file in self._database.parent.glob(f"{self._database.name}-*"):
            file.unlink()
        shutil.copy(self.pipeline.with_name(self._database.name), self._database)

    def n_logged(self) -> int:
        """Count the requests in the prediction log; for when no service runs."""
        with closing(sqlite3.connect(self._database)) as connection:
            return int(connection.execute("SELECT count(*) FROM prediction_requests").fetchone()[0])

    @property
    def _database(self) -> Path:
        return self.root / "var" / "perennial.db"


def environment(root: Path) -> dict[str, str]:
    """Environment variables of a process that works in a project, or imports what its pipeline is made of."""
    # MLflow finds uvicorn on the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # No project, database or server of the environment.
    others = {
        name: value for name, value in os.environ.items() if not name.startswith(("PERENNIAL_", "PREFECT_", "MLFLOW_"))
    }
    return {**others, "PATH": path, "PERENNIAL_ROOT": str(root), "PYTHONPATH": str(ROOT)}


def trained_project(folder: Path) -> Project:
    """Make a project in a folder and train the demo model in it."""
    root = folder / "project"
    _make(root)
    try:
        _run([*PERENNIAL, "train", MODEL], root)
    finally:
        # The local Prefect server that training starts would take its part of the cores.
        _run([*PERENNIAL, "server", "stop"], root)
    return _prepared(root, folder)


def _make(root: Path) -> None:
    for room in ("models", "expectations"):
        shutil.copytree(ROOT / "config" / room, root / "config" / room)
    (root / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", root / ".dvc" / "config")
    (root / ".gitignore").write_text("/data\n/var/\n")
    _run(["git", "init", "--quiet"], root)
    _run(["git", "add", "."], root)
    _run(["git", "-c", "user.name=b", "-c", "user.email=b@example.org", "commit", "--quiet", "--message=start"], root)


def _run(command: list[str], root: Path) -> None:
    done = subprocess.run(command, check=False, cwd=root, env=environment(root), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def _prepared(root: Path, folder: Path) -> Project:
    bundles = [*(root / "var" / "mlruns" / MODEL / "models").glob("*/artifacts")]
    pipeline = load_pipeline(bundles[0], trusted_types())
    shutil.copy(root / "var" / "perennial.db", folder)
    joblib.dump(pipeline, folder / "pipeline.joblib")
    _save_for_mlflow(pipeline, folder / "mlflow_model")
    columns = [*FeatureContract.from_dict(pipeline[0].contract).raw_columns]
    world = SimulatedSource(kind="simulated", rows_per_month=N_ROWS, seed=7)
    frame = simulate_month(world, MONTH)[columns]
    rows = [
        {name: None if pd.isna(value) else value for name, value in row.items()} for row in frame.to_dict("records")
    ]
    probabilities = pipeline.predict_proba(frame)[:, 1].tolist()
    return Project(root, folder / "pipeline.joblib", folder / "mlflow_model", rows, probabilities)  # type: ignore[arg-type]


def _save_for_mlflow(pipeline: Any, path: Path) -> None:
    """Save it as MLflow does by itself, but without a signature: checking one takes a quarter of its speed."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow.sklearn

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it warns of pickles
    mlflow.sklearn.save_model(
        pipeline,
        path,
        serialization_format="cloudpickle",
        pyfunc_predict_fn="predict_proba",
        pip_requirements=["scikit-learn"],  # else it starts a process to find out
    )
