"""Bundles that are built once and spoilt in copies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tasks.bundle import Bundle


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
