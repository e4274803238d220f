"""Fixtures of the tests of batch scoring."""

from __future__ import annotations

import pytest

from tests.tasks.score.scoring import Scored, champion_project


@pytest.fixture(scope="package")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    """Return a project with a champion that is an ONNX graph."""
    return champion_project(tmp_path_factory.mktemp("champion"))
