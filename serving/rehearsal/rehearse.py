"""Rehearse the serving of a bundle in this process: load it, predict its stored rows, and measure the latency.

``python -m serving.rehearsal.rehearse`` reads one line of JSON, a :class:`Question`, and prints one line of JSON, a
:class:`core.gate.decision.ServingVerdict`. A bundle that cannot be served gives a verdict, not an error.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet
from pydantic import TypeAdapter

from core.errors import BundleError, SchemaError
from core.feature_contract import FeatureContract
from core.gate.decision import ServingVerdict
from core.gate.latency import Latency, Speed
from core.metrics.agreement import Agreement, agreement
from core.metrics.metrics import Floats
from core.train.rehearsal import MAX_REHEARSAL_ROWS, REHEARSAL, rehearsal_columns, rehearsal_parts
from serving.bundle.predictor import Predictor, load_predictor
from serving.bundle.reader import read_document
from serving.rehearsal.reference import reference_model
from serving.rehearsal.rows import parse_rows
from serving.rehearsal.timing import timed_latency

EXAMPLE = "input_example.json"
RUNTIMES = {"onnx": "ONNX Runtime", "skops": "the stored pipeline"}

_PASSED: dict[Speed, bool | None] = {"fast": True, "slow": False, "unknown": None}


@dataclass(frozen=True)
class Question:
    """The parameters of :func:`rehearse`."""

    folder: Path
    manifest: str
    trusted: tuple[str, ...]
    max_latency_ms: float


def rehearse(folder: Path, manifest_sha256: str, trusted: Sequence[str], max_latency_ms: float) -> ServingVerdict:
    """Load a bundle as the service does, and compare its answers with those of the training pipeline.

    Parameters
    ----------
    folder
        A private copy of the bundle.
    manifest_sha256
        Registered hash of its manifest.
    trusted
        Types that the stored pipeline may contain.
    max_latency_ms
        Bound of the 95th percentile of the latency of one row, in milliseconds.
    """
    kind = ""
    try:
        began = time.perf_counter()
        predictor = load_predictor(folder, manifest_sha256, trusted)
        load_seconds, kind = time.perf_counter() - began, predictor.kind
        rows, expected = load_rehearsal(folder, predictor.contract)
        example = parse_rows(read_document(folder, EXAMPLE), predictor.contract)
        found = np.concatenate([predictor.predict(example), predictor.predict(rows.iloc[len(example) :])])
        compared = agreement(found, expected, predictor.contract)
        measured = _latency(predictor, rows, max_latency_ms)
    except (BundleError, SchemaError) as error:
        return ServingVerdict(False, kind, 0, None, None, None, None, (f"the bundle cannot be served: {error}",))
    return ServingVerdict(
        passed=compared.holds and _PASSED[measured.speed],
        kind=kind,
        n_rows=compared.n_rows,
        max_abs_diff=compared.max_abs_diff,
        p50_ms=measured.p50_ms,
        p95_ms=measured.p95_ms,
        load_seconds=load_seconds,
        reasons=(_answers_sentence(kind, compared), measured.sentence),
        cpu_ms=measured.cpu_ms,
        slowdown=measured.slowdown,
    )


def load_rehearsal(folder: Path, contract: FeatureContract) -> tuple[pd.DataFrame, Floats]:
    """Read a bundle's rehearsal rows and the training pipeline's answers, (n, k) or (n,).

    Raises
    ------
    BundleError
        There are none or too many, or their columns do not match the contract.
    """
    path = folder / REHEARSAL
    if not path.is_file():
        raise BundleError(f"the bundle has no {REHEARSAL} with the expected answers; train again")
    try:
        with parquet.ParquetFile(path) as file:
            # The rows are counted before they are read: a small file can contain millions.
            n_rows, most = file.metadata.num_rows, 2 * MAX_REHEARSAL_ROWS
            if not 0 < n_rows <= most:
                raise BundleError(f"expected 1 to {most:,} rows in {path}, found {n_rows:,}; train again")
            table = file.read().cast(_schema(contract))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BundleError(f"{path} does not hold the contract's columns and answers: {error}; train again") from error
    return rehearsal_parts(table.to_pandas(ignore_metadata=True), contract)


def _schema(contract: FeatureContract) -> pa.Schema:
    kinds = [
        *[pa.float64() for _ in contract.numeric],
        *[pa.string() for _ in contract.categorical],
        *[pa.bool_() for _ in contract.boolean],
        *[pa.timestamp("us") for _ in contract.dates],
    ]
    inputs, outputs = rehearsal_columns(contract)
    return pa.schema([*zip(inputs, kinds, strict=True), *((name, pa.float64()) for name in outputs)])


def _latency(predictor: Predictor, rows: pd.DataFrame, max_latency_ms: float) -> Latency:
    def predict(place: int) -> object:
        return predictor.predict(rows.iloc[[place % len(rows)]])

    return timed_latency(predict, reference_model(), max_latency_ms)


def _answers_sentence(kind: str, compared: Agreement) -> str:
    if not compared.holds:
        return f"{RUNTIMES[kind]} differs from the training pipeline {compared.sentence}"
    return (
        f"{RUNTIMES[kind]} gives the training pipeline's answers on {compared.n_rows:,} rows "
        f"(the largest difference is {compared.max_abs_diff:.2g})"
    )


def main() -> None:
    """Read a question as a line of JSON from standard input, rehearse the bundle, and print the verdict.

    Without a line the process ends. It imports everything before it reads, so that a caller who starts it early waits
    only for the rehearsal.
    """
    asked = sys.stdin.readline()
    if asked:
        question = TypeAdapter(Question).validate_json(asked)
        verdict = rehearse(question.folder, question.manifest, question.trusted, question.max_latency_ms)
        sys.stdout.write(f"{json.dumps(asdict(verdict), allow_nan=False)}\n")


if __name__ == "__main__":
    main()
