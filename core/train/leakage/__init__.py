"""Columns that give the target away: single ones, pairs, values of one class, copies of rows.

May import `core.data`, `core.metrics`, the single modules of `core` and `config`, and of `core.train` only its own
modules.
"""
