"""Which version answers a request while a release runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from core.train.trust import trusted_types
from serving.http.loaded import Loaded, Routing, subject_of
from serving.model.rows import Rows
from serving.model.served import load_model
from serving.release.breaker import Breaker
from serving.telemetry.metrics import Metrics, ModelMetrics
from tests.serving.releasing import releasing
from tests.serving.running import Example


def test_twenty_thousand_subjects(tmp_path: Path, examples: dict[str, Example]) -> None:
    """5 % are 5 ± 0.5 %, and all of them are in the 25 %; while the breaker is open there are none."""
    first, second = examples["credit"].state, examples["credit"].state
    metrics = Metrics()
    model = load_model(Path(first.folder), first.manifest, trusted_types(), name="credit", version=1)
    champion, other = (Loaded(model, state, ModelMetrics(metrics, model)) for state in (first, second))
    breaker = Breaker(tmp_path / "breakers" / "file.json")

    def drawn(share: int) -> set[str]:
        release = releasing(first, second, share=share).release
        assert release is not None
        routing = Routing(release, other, breaker)
        keys = [f"customer-{number}" for number in range(20_000)]
        asked = {key: routing.versions(champion, Rows(1, [()], [key], b"[]"), "", "id") for key in keys}
        assert {two for one, two in asked.values() if one is champion} <= {None}
        return {key for key, (one, _) in asked.items() if one is other}

    few, more = drawn(5), drawn(25)
    assert abs(len(few) / 20_000 - 0.05) <= 0.005
    assert abs(len(more) / 20_000 - 0.25) <= 0.01
    assert few < more
    assert len(drawn(100)) == 20_000
    breaker.open("breaker", "slow")
    assert drawn(100) == set()


@pytest.mark.parametrize(
    ("keys", "request_id", "subject"),
    [
        (["a"], "client", "a"),
        (["a", "a"], "client", "a"),
        (["a", "b"], "client", "client"),
        (["a", None], "", "prediction"),
        ([None, "a"], "client", "client"),
        (None, "client", "client"),
        (None, "", "prediction"),
    ],
)
def test_the_subject_of_a_request(keys: Any, request_id: str, subject: str) -> None:
    """The entity's key, if all rows have the same one; else the client's id of the request; else the prediction's."""
    rows = Rows(len(keys or "x"), [()], keys, b"[]")
    assert subject_of(rows, request_id, "prediction") == subject
