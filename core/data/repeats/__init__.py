"""Rows that say the same as another row: copies, and repeats by chance.

May import the single modules of `core.data` that know nothing of splits.
"""
