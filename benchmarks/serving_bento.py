"""The pipeline as a service of BentoML, once as it comes and once with its adaptive batching.

Runs in BentoML's own environment, see ``benchmarks.serving_servers``. ``PIPELINE`` in the environment is the path of
the pipeline, ``WORKERS`` the number of processes.
"""

import os
from typing import Any

import bentoml  # type: ignore[import-not-found] # installed in its own environment only
import joblib
import pandas as pd


@bentoml.service(workers=int(os.environ["WORKERS"]))
class Credit:
    """Probabilities of default."""

    def __init__(self) -> None:
        self.pipeline = joblib.load(os.environ["PIPELINE"])

    @bentoml.api  # type: ignore[untyped-decorator] # see above
    def predict(self, rows: pd.DataFrame) -> list[float]:
        """Probabilities of the rows of one request."""
        return list(self.pipeline.predict_proba(rows)[:, 1])

    # Lists, not frames: BentoML 1.4.40 takes the shape of a frame for its number of rows, and every request times out.
    @bentoml.api(batchable=True)  # type: ignore[untyped-decorator] # see above
    def predict_batched(self, rows: list[dict[str, Any]]) -> list[float]:
        """Probabilities of the rows of requests that BentoML has put together."""
        return list(self.pipeline.predict_proba(pd.DataFrame(rows))[:, 1])
