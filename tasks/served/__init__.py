"""Rows of the prediction log and their labels, brought together as files of the contract's columns.

May import `tasks.source`, `tasks.versions`, `store`, `core` and `config`.
"""
