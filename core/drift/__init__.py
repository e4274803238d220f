"""Drift: profiles of columns, PSI and its null distribution, windows, and the verdict over a window.

May import `core.data`, `core.metrics`, `core.performance`, the single modules of `core`, and `config`.
"""
