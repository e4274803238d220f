"""What the tests of several forms of requests share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.train.trust import trusted_types
from serving.model.rows import RowReader
from serving.model.served import ServedModel, load_model
from tasks.registry.bundle import Bundle
from tests.serving.model.test_rows import KINDS


@pytest.fixture(scope="module")
def model(graph_bundle: Bundle) -> ServedModel:
    """Return a model with columns of all kinds; it only reads and writes here."""
    served = load_model(graph_bundle.folder, graph_bundle.manifest_sha256, trusted_types(), name="credit", version=3)
    contract = replace(KINDS, classes=("0", "1"))
    return replace(served, contract=contract, reader=RowReader(contract, 50))
