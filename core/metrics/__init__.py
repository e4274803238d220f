"""Quality metrics of predictions, their confidence intervals, calibration, slices, and permutation importance.

May import the single modules of `core` and `config`.
"""
