"""Rows as values: columns, splits, data-version differences, batch verdicts, and the simulator.

May import the single modules of `core` and `config`.
"""
