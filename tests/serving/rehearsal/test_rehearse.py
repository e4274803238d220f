"""A bundle passes its rehearsal only with training's answers, in time."""

from __future__ import annotations

import json
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.gate.decision import ServingVerdict
from core.train.rehearsal import REHEARSAL
from serving.rehearsal.rehearse import main, rehearse
from tasks.registry.bundle import Bundle
from tests.serving.bundles import DATED, TRUSTED, copied, make_bundle, regression, reseal
from tests.tasks.registration import FRAME, logistic_pipeline, predictions


def rehearsed(folder: Path, digest: str, max_latency_ms: float = 5000) -> ServingVerdict:
    """Rehearse with a bound that a busy machine keeps."""
    return rehearse(folder, digest, TRUSTED, max_latency_ms)


@pytest.mark.parametrize(("name", "kind"), [("graph_bundle", "onnx"), ("plain_bundle", "skops")])
def test_a_sound_bundle_passes(request: pytest.FixtureRequest, name: str, kind: str) -> None:
    """Example and holdout rows are answered as in training, and every number is there."""
    bundle: Bundle = request.getfixturevalue(name)
    verdict = rehearsed(bundle.folder, bundle.manifest_sha256)
    assert (verdict.passed, verdict.kind, verdict.n_rows) == (True, kind, 305)
    assert verdict.max_abs_diff is not None
    assert verdict.max_abs_diff < 1e-6
    assert verdict.p50_ms is not None
    assert verdict.p95_ms is not None
    assert 0 < verdict.p50_ms <= verdict.p95_ms < 5000
    assert verdict.cpu_ms is not None
    assert 0 < verdict.cpu_ms <= verdict.p50_ms * 1.5
    assert verdict.slowdown is not None
    assert verdict.slowdown >= 1
    assert verdict.load_seconds is not None
    assert 0 < verdict.load_seconds < 60
    assert "gives the training pipeline's answers on 305 rows" in verdict.reasons[0]
    assert "one row takes" in verdict.reasons[1]


def test_a_regression_with_dates_passes(regression_bundle: Bundle) -> None:
    """Dates travel through the example's JSON and the rows' Parquet."""
    verdict = rehearsed(regression_bundle.folder, regression_bundle.manifest_sha256)
    assert (verdict.passed, verdict.n_rows) == (True, 305), verdict.reasons


def test_columns_without_a_value_pass(tmp_path: Path) -> None:
    """A holdout may hold no value of a column at all."""
    empty: dict[str, Any] = {"income": np.nan, "region": None, "owner": None, "opened": pd.NaT}
    frame = DATED.assign(**empty).astype({"opened": "datetime64[us]", "region": object, "owner": object})
    bundle = make_bundle(tmp_path / "bundle", regression(), graph=True, frame=frame)
    verdict = rehearsed(bundle.folder, bundle.manifest_sha256)
    assert verdict.passed, verdict.reasons


def test_other_answers_than_training_fail(tmp_path: Path) -> None:
    """One row of many that serving answers otherwise is enough."""
    output = predictions(*logistic_pipeline())
    output[200] = output[200][::-1] + 0.01
    bundle = make_bundle(tmp_path / "bundle", graph=True, output=output)
    verdict = rehearsed(bundle.folder, bundle.manifest_sha256)
    assert (verdict.passed, verdict.kind, verdict.n_rows) == (False, "onnx", 305)
    assert "ONNX Runtime differs from the training pipeline by up to" in verdict.reasons[0]
    assert "in 1 of 305 rows" in verdict.reasons[0]


def test_an_example_answered_otherwise_fails(tmp_path: Path, plain_bundle: Bundle) -> None:
    """The example is asked as a request would ask, and compared with what training said of its rows."""
    folder = copied(plain_bundle, tmp_path)
    example = json.loads((folder / "input_example.json").read_text())
    example["data"][2][1] += 1
    (folder / "input_example.json").write_text(json.dumps(example))
    verdict = rehearsed(folder, reseal(folder))
    assert not verdict.passed
    assert "in 1 of 305 rows" in verdict.reasons[0]


def test_an_example_that_is_no_request_fails(tmp_path: Path, plain_bundle: Bundle) -> None:
    """What the example would get as an answer is the reason."""
    folder = copied(plain_bundle, tmp_path)
    (folder / "input_example.json").write_text('{"columns": ["age"], "data": []}')
    verdict = rehearsed(folder, reseal(folder))
    assert (verdict.passed, verdict.kind, verdict.p95_ms) == (False, "skops", None)
    assert verdict.reasons == (
        "the bundle cannot be served: the rows lack columns that the model needs: income, region, owner",
    )


def test_a_slow_model_fails(graph_bundle: Bundle) -> None:
    """Its answers may be right: beyond the bound it is not served."""
    verdict = rehearsed(graph_bundle.folder, graph_bundle.manifest_sha256, max_latency_ms=1e-6)
    assert not verdict.passed
    assert verdict.reasons[1].endswith("at most 1e-06 ms are allowed (gate.max_latency_ms)")


def _parquet(frame: pd.DataFrame) -> bytes:
    content = BytesIO()
    frame.to_parquet(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "has no rehearsal.parquet"),
        (b"", "does not hold the contract's columns"),
        (b"PAR1" * 100, "does not hold the contract's columns"),
        (_parquet(FRAME), "does not hold the contract's columns"),
        (_parquet(FRAME.iloc[:0]), "found 0"),
        (_parquet(pd.DataFrame({"x": np.zeros(3_000_000)})), "found 3,000,000; train again"),
    ],
)
def test_rows_that_are_none_fail(tmp_path: Path, plain_bundle: Bundle, content: bytes | None, says: str) -> None:
    """Nothing to compare with is no pass, and a small file that announces millions of rows is not read."""
    folder = copied(plain_bundle, tmp_path)
    (folder / REHEARSAL).unlink()
    if content is not None:
        (folder / REHEARSAL).write_bytes(content)
    verdict = rehearsed(folder, reseal(folder))
    assert not verdict.passed
    assert says in verdict.reasons[0]


def test_a_broken_bundle_is_an_answer(
    tmp_path: Path, plain_bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command prints one line of JSON and ends well, with the reason in it."""
    folder = copied(plain_bundle, tmp_path)
    (folder / "card.md").write_text("# another")
    question = {"folder": str(folder), "manifest": plain_bundle.manifest_sha256, "trusted": TRUSTED}
    monkeypatch.setattr("sys.stdin", StringIO(json.dumps({**question, "max_latency_ms": 250}) + "\n"))
    main()
    printed = json.loads(capsys.readouterr().out)
    assert (printed["passed"], printed["kind"], printed["n_rows"]) == (False, "", 0)
    assert "contains files that its manifest does not list: 'card.md'" in printed["reasons"][0]
