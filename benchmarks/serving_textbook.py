"""The endpoint that tutorials write: FastAPI, a pickled pipeline, a frame of the payload.

``PIPELINE`` in the environment is the path of the pipeline. The handlers are plain ``def``, so FastAPI runs them in its
threads and the loop stays free.
"""

import os

import joblib
import pandas as pd
from fastapi import FastAPI

from benchmarks.serving_rows import Application

app = FastAPI()
pipeline = joblib.load(os.environ["PIPELINE"])


@app.post("/predict")
def predict(payload: Application) -> dict[str, float]:
    """Probability of one application."""
    return {"probability": pipeline.predict_proba(pd.DataFrame([payload.model_dump()]))[0, 1]}


@app.post("/predict_many")
def predict_many(payload: list[Application]) -> dict[str, list[float]]:
    """Probabilities of many."""
    frame = pd.DataFrame([row.model_dump() for row in payload])
    return {"probabilities": pipeline.predict_proba(frame)[:, 1].tolist()}
