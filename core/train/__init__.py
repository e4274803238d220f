"""Training.

Estimators, the pipeline, leakage checks, the run key, the model card's content, and which types skops may load. May
import `core.data`, `core.metrics`, the single modules of `core`, and `config`.
"""
