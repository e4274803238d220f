"""kill -9 anywhere in ``perennial train``, then the same command again."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from config.settings import Settings
from tests.factories import add_credit_model

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("prefect")]

POINTS = [
    "tasks.source.stage.stage_rows",
    "tasks.validation.validate.validate_rows",
    "tasks.versions.versions.write_batch",
    "tasks.versions.versions.version_data",
    "tasks.versions.versions.lay_out_snapshot",
    "tasks.train.fit.fit_model",
    "tasks.registry.bundle.build_bundle",
    "tasks.registry.register._create_version",
    "tasks.gate.judge.take_office",
]

CHILD = """
import importlib, os, signal, sys
module, _, name = sys.argv[1].rpartition(".")
when = sys.argv[2]
owner = importlib.import_module(module)
real = getattr(owner, name)

def deadly(*arguments, **options):
    if when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    real(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, deadly)
if module == "tasks.registry.bundle":
    importlib.import_module("tasks.train.registration").build_bundle = deadly
from flows.train import train
train("credit")
"""


@pytest.mark.timeout(900)
def test_a_killed_training_is_finished_by_the_same_command(prefect_api: str, project: Settings) -> None:
    """After a kill before and after every stage: one batch, one version, one champion, no run left open."""
    assert prefect_api
    for number, point in enumerate(POINTS):
        add_credit_model(project, training={"cv": 0, "seed": number})
        for when in ("before", "after"):
            assert _train(project, point, when) == -signal.SIGKILL, (point, when)
    survivor = subprocess.run(
        [sys.executable, "-c", "from flows.train import train; print(train('credit'))"],
        cwd=ROOT,
        env=os.environ | {"PERENNIAL_ROOT": str(project.root)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "status='" in survivor.stdout
    assert len(list((project.root / "data" / "credit").iterdir())) == 1
    _assert_one_version_per_key(project)


def _train(project: Settings, point: str, when: str) -> int:
    child = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), point, when],
        cwd=ROOT,
        env=os.environ | {"PERENNIAL_ROOT": str(project.root)},
        check=False,
        capture_output=True,
    )
    return child.returncode


def _assert_one_version_per_key(project: Settings) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(project.mlflow_uri, project.mlflow_uri)
    versions = client.search_model_versions("name = 'credit'")
    keys = [version.tags["perennial.run_key"] for version in versions]
    assert len(keys) == len(set(keys))
    assert client.get_model_version_by_alias("credit", "champion")
    experiment = client.get_experiment_by_name("credit")
    assert experiment is not None
    newest = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    assert len(newest) >= 1
