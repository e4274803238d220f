"""Retention: which of the things that a running platform accumulates may be removed.

May import the single modules of `core` and `config`.
"""
