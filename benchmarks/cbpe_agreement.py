"""Estimates without labels beside NannyML's, on the same rows.

Run ``python -m benchmarks.cbpe_agreement``; prints a Markdown table. ``--keep`` writes NannyML's numbers to
``tests/core/performance/nannyml_cbpe.json``, which the tests compare with. NannyML's boundaries are
three of its standard errors around its value.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import peers
from core.metrics.metrics import metric_values
from core.performance.cbpe import ScoreCalibration, estimated
from tests.core.performance.cbpe_cases import CASES, CbpeCase

KEPT = peers.ROOT / "tests" / "core" / "performance" / "nannyml_cbpe.json"
METRICS = ("roc_auc", "average_precision", "accuracy", "f1")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="write NannyML's numbers beside the tests")
    keep = parser.parse_args().keep
    found = {}
    print("| case | metric | Perennial | NannyML | its boundaries | realised |")
    print("|---|---|---:|---:|---:|---:|")
    for name, make in CASES.items():
        case = make()
        found[name] = nannyml(case)
        print("\n".join(lines(name, case, found[name])), flush=True)
    if keep:
        KEPT.write_text(json.dumps(found, indent=1) + "\n")


def nannyml(case: CbpeCase) -> dict[str, dict[str, float]]:
    """NannyML's value and boundaries, by metric."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.npz"
        np.savez(path, y=case.y, reference=case.reference, window=case.window)
        answer: dict[str, dict[str, float]] = json.loads(peers.run(Path(__file__).with_name("nannyml_cbpe.py"), path))
    return answer


def lines(name: str, case: CbpeCase, theirs: dict[str, dict[str, Any]]) -> list[str]:
    """Lines of the table for one case."""
    calibration = ScoreCalibration.fit(case.y, case.reference)
    realised = metric_values(case.window_y, case.window, METRICS)
    ours = {metric: estimated(case.window, calibration, metric, confidence=0.95).value for metric in METRICS}
    return [
        f"| {name} | {metric} | {ours[metric]:.4f} | {theirs[metric]['value']:.4f} "
        f"| {theirs[metric]['low']:.4f} to {theirs[metric]['high']:.4f} | {realised[metric]:.4f} |"
        for metric in METRICS
    ]


if __name__ == "__main__":
    main()
