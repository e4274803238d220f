"""NannyML's estimates without labels, by CBPE and by DLE; runs among the peers, see ``benchmarks.estimates``.

Its argument is a folder of NumPy archives, in order: ``kind`` (``cbpe`` or ``dle``), ``y``, ``reference`` and
``window`` (scores of the positive class, or predictions), ``X`` and ``Xw`` (features, for DLE). Prints JSON, in the
last line, per archive: the value, and whether it is beyond NannyML's own threshold, on the side of a loss.
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
    print(json.dumps([answer(np.load(path)) for path in sorted(Path(sys.argv[1]).glob("*.npz"))]))


def answer(case: np.lib.npyio.NpzFile) -> dict[str, float | bool]:
    """Value and alert for one window; the reference is cut into chunks of the window's size."""
    cbpe = str(case["kind"]) == "cbpe"
    reference, window = (rows(case[name], case[features]) for name, features in (("reference", "X"), ("window", "Xw")))
    reference["y"] = case["y"]
    metric = "roc_auc" if cbpe else "rmse"
    if cbpe:
        estimator = nannyml.CBPE(
            problem_type="classification_binary", y_pred_proba="p", y_pred="called", y_true="y",
            metrics=[metric], chunk_size=len(window),
        )  # fmt: skip
    else:
        names = [f"x{place}" for place in range(case["X"].shape[1])]
        estimator = nannyml.DLE(
            feature_column_names=names, y_pred="p", y_true="y", metrics=[metric], chunk_size=len(window)
        )
    found = estimator.fit(reference).estimate(window).filter(period="analysis").to_df()[metric]
    value, low, high = (found[name].iloc[0] for name in ("value", "lower_threshold", "upper_threshold"))
    worse = value < low if cbpe else value > high
    return {"value": float(value), "harmed": bool(worse)}


def rows(output: np.ndarray, features: np.ndarray) -> pd.DataFrame:
    """Return a frame as NannyML wants it."""
    frame = pd.DataFrame(features, columns=[f"x{place}" for place in range(features.shape[1])])
    return frame.assign(p=output, called=(output > 0.5).astype(int))


if __name__ == "__main__":
    main()
