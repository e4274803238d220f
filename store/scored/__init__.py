"""Scored batches: one entry per batch scoring, with where its rows are.

May import `store` and `core`.
"""
