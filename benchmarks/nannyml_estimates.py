"""NannyML's estimates without labels, by CBPE and by DLE; runs among the peers, see ``benchmarks.estimates``.

Its argument is a folder of NumPy archives, in order: ``kind`` (``cbpe`` or ``dle``), ``metrics``, ``y``, ``reference``
and ``window`` (scores of the positive class, or predictions), ``X`` and ``Xw`` (features, for DLE), and ``rows``: the
number of rows of a window, of which an archive may hold several, one after the other. Prints JSON, in the last line,
per metric and window: the value, its boundaries of confidence, and whether it is beyond NannyML's own threshold, on
the side of a loss.
"""

import json
import sys
import warnings
from pathlib import Path

import nannyml  # type: ignore[import-not-found] # installed among the peers only
import numpy as np
import pandas as pd


def main() -> None:
    """Estimate and print."""
    warnings.simplefilter("ignore")
    print(json.dumps([one for path in sorted(Path(sys.argv[1]).glob("*.npz")) for one in answers(np.load(path))]))


def answers(case: np.lib.npyio.NpzFile) -> list[dict[str, float | bool]]:
    """Value, interval and alert for each metric and window; the reference is cut into chunks of a window's size."""
    size = int(case["rows"])
    cbpe = str(case["kind"]) == "cbpe"
    reference, window = (rows(case[name], case[features]) for name, features in (("reference", "X"), ("window", "Xw")))
    reference["y"] = case["y"]
    metrics = [str(one) for one in case["metrics"]]
    if cbpe:
        estimator = nannyml.CBPE(
            problem_type="classification_binary", y_pred_proba="p", y_pred="called", y_true="y",
            metrics=metrics, chunk_size=size,
        )  # fmt: skip
    else:
        names = [f"x{place}" for place in range(case["X"].shape[1])]
        estimator = nannyml.DLE(feature_column_names=names, y_pred="p", y_true="y", metrics=metrics, chunk_size=size)
    found = estimator.fit(reference).estimate(window).filter(period="analysis").to_df()
    return [one for metric in metrics for one in of_metric(found[metric], cbpe)]


def of_metric(found: pd.DataFrame, greater_is_better: bool) -> list[dict[str, float | bool]]:
    """Return the answers for one metric, by window."""
    low, high = found["value"] < found["lower_threshold"], found["value"] > found["upper_threshold"]
    worse = low if greater_is_better else high
    columns = (found["value"], found["lower_confidence_boundary"], found["upper_confidence_boundary"], worse)
    return [
        {"value": float(value), "low": float(low), "high": float(high), "harmed": bool(harmed)}
        for value, low, high, harmed in zip(*columns, strict=True)
    ]


def rows(output: np.ndarray, features: np.ndarray) -> pd.DataFrame:
    """Return a frame as NannyML wants it."""
    frame = pd.DataFrame(features, columns=[f"x{place}" for place in range(features.shape[1])])
    return frame.assign(p=output, called=(output > 0.5).astype(int))


if __name__ == "__main__":
    main()
