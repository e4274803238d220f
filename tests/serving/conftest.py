"""Bundles that are built once and spoilt in copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.postgres import postgres_address  # noqa: F401 - a fixture
from tests.store.conftest import database, tell  # noqa: F401 - fixtures

if TYPE_CHECKING:
    from tasks.registry.bundle import Bundle
    from tests.serving.running import Example


@pytest.fixture(scope="session")
def graph_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of a classifier with its ONNX graph."""
    from tests.serving.bundles import make_bundle

    return make_bundle(tmp_path_factory.mktemp("graph") / "bundle", graph=True)


@pytest.fixture(scope="session")
def plain_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of the same classifier without a graph, of another run."""
    from tests.serving.bundles import make_bundle

    return make_bundle(tmp_path_factory.mktemp("plain") / "bundle", graph=False, key="b")


@pytest.fixture(scope="session")
def regression_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Bundle of a regression with dates, and its graph."""
    from tests.serving.bundles import DATED, make_bundle, regression

    return make_bundle(tmp_path_factory.mktemp("regression") / "bundle", regression(), graph=True, frame=DATED)


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Example]:
    """Models to serve by name: credit (binary, graph), grade (three classes, no graph), price (regression, graph)."""
    from tests.serving.running import credit_example, grade_example, price_example

    folder = tmp_path_factory.mktemp("served")
    found = [make(folder) for make in (credit_example, grade_example, price_example)]
    return {example.state.name: example for example in found}
