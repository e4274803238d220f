"""Staged releases: start one, look at it, and move it.

May import `tasks.runs`, `tasks.registry` and `tasks.champions`.
"""
