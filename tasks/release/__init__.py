"""Staged releases: start one, look at it, and move it.

May import `tasks.champions`, `tasks.registry`, `tasks.runs`, `store`, `core` and `config`.
"""
