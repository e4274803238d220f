"""Deletion of old rows.

May import `store`, `core` and `config`.
"""
