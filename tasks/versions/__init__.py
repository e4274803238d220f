"""Data versions: batches, DVC's cache and remotes, snapshots, and restoring.

May import `tasks.source`, `store`, `core` and `config`.
"""
