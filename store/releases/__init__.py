"""Releases: their records, the transactions that start and move them, and what services report of them.

May import the modules of `store` and `core`.
"""
