"""Projects with a first champion, trained once per process and copied for the tests that begin with one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from core.operate.retraining import RetrainOutcome
from core.outcome import TrainOutcome
from tests.factories import add_credit_model, make_project
from tests.project_copies import copy_project

SOON = {"cooldown_hours": 0}


@dataclass(frozen=True)
class Trained:
    """A project after a flow, and what the flow answered."""

    settings: Settings
    outcome: Any


def _made(folder: Path, flow: Callable[[], Any], **changes: Any) -> Trained:
    settings = make_project(folder)
    add_credit_model(settings, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_ROOT", str(settings.root))
        for name in ("PERENNIAL_VAR", "MLFLOW_TRACKING_URI", "PERENNIAL_MLFLOW_URI", "PERENNIAL_DATA_REMOTE"):
            patch.delenv(name, raising=False)
        return Trained(settings, flow())


@pytest.fixture(scope="session")
def _trained(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    assert prefect_api
    from flows.train import train

    return _made(tmp_path_factory.mktemp("trained"), lambda: train("credit"))


@pytest.fixture(scope="session")
def _retrained(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    assert prefect_api
    from flows.retrain import retrain

    return _made(
        tmp_path_factory.mktemp("retrained"), lambda: retrain("credit", "webhook", "standard:ci:1"), retrain=SOON
    )


@pytest.fixture
def trained(project: Settings, _trained: Trained) -> TrainOutcome:
    """Return the outcome of ``train`` in this project, with the addresses of its pages here."""
    copy_project(_trained.settings, project)
    outcome: TrainOutcome = _trained.outcome
    old, new = str(_trained.settings.root), str(project.root)
    return replace(outcome, links={title: link.replace(old, new) for title, link in outcome.links.items()})


@pytest.fixture
def retrained(project: Settings, _retrained: Trained) -> RetrainOutcome:
    """Return the outcome of ``retrain`` in this project, for the webhook ``standard:ci:1``."""
    copy_project(_retrained.settings, project)
    outcome: RetrainOutcome = _retrained.outcome
    return outcome
