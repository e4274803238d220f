"""The rehearsal in a process of its own: rows to ask, and a verdict whatever happens to the process."""

from __future__ import annotations

import json
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from config.schema import Gate
from core.train.rehearsal import rehearsal_parts
from serving.rehearsal.rows import parse_rows
from tasks.serving.rehearse import Rehearsal, rehearsal_table, rehearsed
from tests.serving.bundles import TRUSTED, make_bundle
from tests.tasks.registration import FRAME, bundle, logistic_pipeline, predictions

GATE = Gate(metric="roc_auc", floor=0.6, max_latency_ms=5000)


def python(code: str, timeout_seconds: float = 60) -> Rehearsal:
    """Stand another program in the rehearsal's place."""
    return Rehearsal([sys.executable, "-c", code], timeout_seconds)


def test_the_first_rows_are_those_of_the_input_example(tmp_path: Path) -> None:
    """So the example's answers are known too, whatever the frame's index is."""
    pipeline, contract = logistic_pipeline()
    frame = FRAME.set_axis([3] * len(FRAME), axis=0)
    output = predictions(pipeline, contract)
    table = pd.read_parquet(BytesIO(rehearsal_table(frame, output, contract)))
    rows, expected = rehearsal_parts(table, contract)
    example = parse_rows((bundle(tmp_path / "bundle").folder / "input_example.json").read_bytes(), contract)
    assert len(example) == 5
    assert json.loads(rows.iloc[:5].to_json(orient="values")) == json.loads(example.to_json(orient="values"))
    np.testing.assert_array_equal(expected[:5], pipeline.predict_proba(example))
    np.testing.assert_array_equal(expected[5:], output)


def test_a_fresh_process_rehearses_the_bundle(tmp_path: Path) -> None:
    """The code that serves, imported anew, gives the verdict."""
    built = make_bundle(tmp_path / "bundle", graph=True)
    with Rehearsal() as rehearsal:
        rehearsal.ask(built.folder, built.manifest_sha256, TRUSTED, GATE)
        verdict = rehearsal.finish()
    assert verdict.passed, verdict.reasons
    assert (verdict.kind, verdict.n_rows) == ("onnx", 305)


def test_a_bundle_that_is_not_the_registered_one_fails(tmp_path: Path) -> None:
    """A reason, not a traceback."""
    built = make_bundle(tmp_path / "bundle", graph=False)
    with Rehearsal() as rehearsal:
        rehearsal.ask(built.folder, "0" * 64, TRUSTED, GATE)
        verdict = rehearsal.finish()
    assert not verdict.passed
    assert "not the one that was registered: expected SHA-256 000000000000" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("import os; os.abort()", "failed (exit -6): no output"),
        ("raise ValueError('tree of no leaves')", "failed (exit 1): ValueError: tree of no leaves"),
        ("print('no verdict')", "failed (exit 0)"),
        ("print('{\"passed\": true}')", "failed (exit 0)"),
        ("", "failed (exit 0): no output"),
    ],
)
def test_a_process_that_breaks_off_has_failed(code: str, says: str) -> None:
    """A crash in native code, an unforeseen error and an answer that is none are verdicts with their reason."""
    with python(code) as rehearsal:
        rehearsal.ask(Path(), "0" * 64, (), GATE)
        verdict = rehearsal.finish()
    assert not verdict.passed
    assert says in verdict.reasons[0]


def test_a_process_that_computes_too_long_has_failed(tmp_path: Path) -> None:
    """It is ended, and the gate goes on."""
    done = tmp_path / "done"
    code = "import pathlib, time\nwhile time.process_time() < 1.5: pass\n"
    with python(f"{code}pathlib.Path({str(done)!r}).touch(); time.sleep(600)", 2.5) as rehearsal:
        while not done.exists():  # as long as other processes let it wait
            time.sleep(0.05)
        verdict = rehearsal.finish()
    assert verdict.passed is False
    assert "took longer than 2.5 s and was stopped" in verdict.reasons[0]


def test_a_process_that_waits_for_the_machine_is_undecided() -> None:
    """It was stopped too, but had hardly computed: nothing is known about the model."""
    with python("import time; time.sleep(600)", timeout_seconds=0.3) as rehearsal:
        verdict = rehearsal.finish()
    assert verdict.passed is None
    assert "took longer than 0.3 s" in verdict.reasons[0]
    assert "the machine was too busy" in verdict.reasons[0]


@pytest.mark.parametrize("sign", ["SIGKILL", "SIGTERM"])
def test_a_process_that_was_killed_is_undecided(sign: str) -> None:
    """A system without memory kills; the model said nothing."""
    with python(f"import os, signal; os.kill(os.getpid(), signal.{sign})") as rehearsal:
        verdict = rehearsal.finish()
    assert verdict.passed is None
    assert f"was killed from outside ({sign}" in verdict.reasons[0]


def test_an_undecided_rehearsal_is_made_once_more(tmp_path: Path) -> None:
    """The first process is killed; a second one, when the gate's own computations have ended, gives the verdict."""
    built = make_bundle(tmp_path / "bundle", graph=True)

    def ask(rehearsal: Rehearsal) -> None:
        rehearsal.ask(built.folder, built.manifest_sha256, TRUSTED, GATE)

    with python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") as first:
        ask(first)
        verdict = rehearsed(ask, first)
    assert verdict.passed, verdict.reasons


def test_leaving_the_block_ends_the_process() -> None:
    """An error in the gate leaves no process behind that nobody waits for."""
    with python("import time; time.sleep(60)") as rehearsal:
        pass
    assert rehearsal._process.poll() is not None


def test_the_process_finds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment it gets what Python needs; a flood of output does not stop it."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("PERENNIAL_DATABASE_URL", "postgresql://user:s3cret@host/db")
    code = (
        "import json, os, sys; sys.stderr.write('x' * 1_000_000)\n"
        "print(json.dumps({'passed': True, 'kind': 'onnx', 'n_rows': 1, 'max_abs_diff': 0.0, 'p50_ms': 1.0, "
        "'p95_ms': 1.0, 'load_seconds': 1.0, 'reasons': [f'{k}={v}' for k, v in os.environ.items()]}))"
    )
    with python(code) as rehearsal:
        verdict = rehearsal.finish()
    assert verdict.passed
    assert any(line.startswith("PATH=") for line in verdict.reasons)
    assert not [line for line in verdict.reasons if "s3cret" in line]
