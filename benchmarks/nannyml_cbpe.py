"""NannyML's estimate of performance for one case; runs among the peers, see ``benchmarks.cbpe_agreement``.

Its argument is a NumPy archive: ``y`` and ``reference`` (class codes and scores of labelled rows), ``window`` (scores).
Prints JSON: by metric its value and its confidence boundaries.
"""

import json
import sys

import nannyml  # type: ignore[import-not-found] # installed among the peers only
import numpy as np
import pandas as pd

METRICS = ("roc_auc", "average_precision", "accuracy", "f1")


def main() -> None:
    """Estimate and print."""
    case = np.load(sys.argv[1])
    np.random.seed(0)  # noqa: NPY002 - NannyML draws the error of the average precision from the global state
    reference, window = rows(case["reference"]), rows(case["window"])
    reference["y"] = case["y"]
    binary = case["reference"].shape[1] == 2
    estimator = nannyml.CBPE(
        problem_type="classification_binary" if binary else "classification_multiclass",
        y_pred_proba="p1" if binary else {code: f"p{code}" for code in range(case["reference"].shape[1])},
        y_pred="predicted",
        y_true="y",
        metrics=list(METRICS),
        chunk_size=len(window),
    )
    found = estimator.fit(reference).estimate(window).filter(period="analysis").to_df()
    columns = {"value": "value", "low": "lower_confidence_boundary", "high": "upper_confidence_boundary"}
    print(
        json.dumps(
            {name: {key: float(found[name][column].iloc[0]) for key, column in columns.items()} for name in METRICS}
        )
    )


def rows(output: np.ndarray) -> pd.DataFrame:
    """Return scores as NannyML wants them: a column per class, and the predicted class."""
    frame = pd.DataFrame({f"p{code}": output[:, code] for code in range(output.shape[1])})
    return frame.assign(predicted=output.argmax(axis=1))


if __name__ == "__main__":
    main()
