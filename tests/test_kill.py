"""kill -9 anywhere in ``perennial train``, then the same command again."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

POINTS = Path(__file__).with_name("train_points.py")

pytestmark = pytest.mark.e2e


@pytest.mark.timeout(2700)
def test_a_killed_training_is_finished_by_the_same_command(prefect_api: str, warm: Path, tmp_path: Path) -> None:
    """After a kill before the first and after every stage: one batch, one version, one champion, no run left open."""
    assert prefect_api
    done = subprocess.run(
        [sys.executable, str(POINTS), str(tmp_path), str(warm)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *killed, undisturbed = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"run"')]
    assert [run for run in killed if run["ended"] != signal.SIGKILL] == [], done.stderr
    assert len(killed) == 10
    assert undisturbed["ended"] == 0, done.stderr
    root = tmp_path / "project"
    assert len(list((root / "data" / "credit").iterdir())) == 1
    _assert_one_version_per_key(f"sqlite:///{root / 'var' / 'mlflow.db'}")


def _assert_one_version_per_key(address: str) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(address, address)
    versions = client.search_model_versions("name = 'credit'")
    keys = [version.tags["perennial.run_key"] for version in versions]
    assert len(keys) == len(set(keys))
    assert client.get_model_version_by_alias("credit", "champion")
    experiment = client.get_experiment_by_name("credit")
    assert experiment is not None
    newest = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    assert len(newest) >= 1
